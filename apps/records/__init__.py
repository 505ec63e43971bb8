"""Project 3, records: patients, their visits and notes, encrypted field by field."""
