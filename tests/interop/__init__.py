"""Tests with the official client of Weave, unchanged."""
