"""Faults under load, with real processes: each acknowledged score is stored exactly once.

`make test-faults` runs them, `make test` does not: they kill, fill and damage.
"""
