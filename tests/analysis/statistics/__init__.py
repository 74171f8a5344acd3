"""Tests of app/analysis/statistics, against other programs and naive computations."""
