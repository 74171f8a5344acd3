"""Exports: the scores of a list as JSON lines, CSV or Parquet."""
