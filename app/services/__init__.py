"""What Scoreline does: plain functions of a store and plain values; no HTTP, no database."""
