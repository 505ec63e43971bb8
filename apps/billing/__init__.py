"""Project 4, billing: what a visit costs, who paid, and a ledger whose sum is zero."""
