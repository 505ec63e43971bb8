"""Pure scheduling: no clock, no I/O, no framework.

Instants are whole seconds since 1970-01-01T00:00:00Z. Intervals are half-open: the start belongs to them, the end does not.
"""
