"""Project 5, notifications: what patients are told, when, and by which channel."""
