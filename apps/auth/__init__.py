"""Project 2, auth: who people and programs are, and what proves it."""
