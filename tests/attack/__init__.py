"""Attacks on a running service: `make test-attack` runs them, `make test` does not."""
