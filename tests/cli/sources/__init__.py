"""Tests of what reads other services' exports."""
