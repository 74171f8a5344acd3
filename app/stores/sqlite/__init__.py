"""The embedded store, an SQLite file: read store.py first.

store.py implements the contract of app/stores/base.py, with the parts of it that are in
documents.py (predictions and evaluation runs), deletions.py, keys.py, leaves.py and listing.py;
files.py has the files and their locks, and connections.py the connections to them; rows.py has the
form of a score's row and the statements; writes.py adds scores; schema.py migrates the
tables by migrations.py and rewrites.py; backup.py copies a file, and checks.py checks it.
"""
