"""Exports: write the scores of a project as JSON lines, CSV or Parquet."""
