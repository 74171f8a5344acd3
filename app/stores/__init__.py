"""Open a store by its URL; only this package knows databases."""

from __future__ import annotations

import re
from pathlib import Path

from app.stores.base import Store
from app.stores.commits import OnCommit, ignore_commit


def open_store(url: str, on_commit: OnCommit = ignore_commit) -> Store:
    """Return the store at `url`, which is not read or written yet.

    `on_commit` is called with the number of scores in each group commit. Raises StoreRefused if the
    engine cannot use the URL.
    """
    if file := embedded_file(url):
        from app.stores.sqlite.store import SqliteStore

        return SqliteStore(file, on_commit)
    # Imported here, because the driver costs memory and start time.
    from app.stores.mongo.store import open_mongo_store

    return open_mongo_store(url, on_commit)


def embedded_file(url: str) -> Path | None:
    """Return the file of the embedded store at `url`, or None if it names another engine."""
    scheme, _, path = url.partition("://")
    return Path(path.removeprefix("/")).absolute() if scheme == "sqlite" else None


def printable_url(url: str) -> str:
    """Return a store's URL without user, password and options, which may be printed."""
    return re.sub(r"//[^/]*@", "//", url.partition("?")[0])
