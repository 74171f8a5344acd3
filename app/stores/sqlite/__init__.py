"""The embedded store, an SQLite file: read store.py first."""
