"""Project 2, auth: who people and programs are. So far it signs the tokens that every service verifies offline."""
