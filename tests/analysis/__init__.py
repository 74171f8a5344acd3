"""Tests of app/analysis."""
