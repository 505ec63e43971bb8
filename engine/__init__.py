"""Project 1, the Appointments service: the booking core and nothing that can wait."""
