"""Analysis: figures computed from scores: summaries, comparisons and gates."""
