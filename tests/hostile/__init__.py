"""Damaged input at every public door: ``python -m tests.hostile`` counts what fails."""
