"""The MongoDB store, by pymongo: read store.py first."""
