"""The baseline: a clinic's monolith as a capable team writes it before it meets load. README.md says what it is and is not."""
