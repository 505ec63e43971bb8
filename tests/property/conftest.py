"""The fixtures of this folder."""

from tests.practice import desk, gate_open, http, practice, token

__all__ = ["desk", "gate_open", "http", "practice", "token"]
