"""Faults under load, with real processes: what was acknowledged is there, and there once.

`make test-faults` runs them, `make test` does not: they kill, fill and damage.
"""
