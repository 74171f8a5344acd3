"""Tests of app/statistics: known answers of other programs, and a naive way to compute them."""
