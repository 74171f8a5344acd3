"""The MongoDB store, by pymongo: read store.py first.

store.py has the verbs of the contract; driver.py the client and its errors; documents.py the
documents, their indexes and filters; schema.py makes and migrates them; writes.py adds scores;
changes.py follows them; checks.py checks a database.
"""
