"""Answers to questions about scores: summaries, comparisons, gates."""
