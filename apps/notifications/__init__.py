"""The Notifications service: what a patient is told, when, and never twice. It knows ids and times; names it asks for."""
