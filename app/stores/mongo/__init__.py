"""The MongoDB store, by pymongo: read store.py first.

store.py implements the contract of app/stores/base.py, with the parts of it that are in
document_store.py (predictions and evaluation runs), deletions.py, keys.py, leaves.py and
listing.py; driver.py has the client and its errors; documents.py the form of documents, the indexes
and filters; parts.py keeps texts that are too large for a document; schema.py creates indexes and
migrates documents; additions.py adds documents and writes.py scores; changes.py follows those;
checks.py checks a database.
"""
