"""The MongoDB store, by pymongo: read store.py first.

store.py implements the contract of app/stores/base.py; driver.py has the client and its errors;
documents.py the form of documents, the indexes and filters; schema.py creates indexes and migrates
documents; writes.py adds scores; document_store.py keeps predictions and evaluation runs;
changes.py follows scores; checks.py checks a database.
"""
