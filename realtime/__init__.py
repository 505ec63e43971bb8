"""The push process: Channels on Daphne, no models, no database."""
