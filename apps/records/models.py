"""The tables of records."""
