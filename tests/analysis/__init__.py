"""Tests of the answers to questions about scores."""
