"""The only place that knows a database: open a store by its URL."""

from __future__ import annotations

import re
from pathlib import Path

from app.stores.base import Store
from app.stores.commits import OnCommit, ignore_commit


def open_store(url: str, on_commit: OnCommit = ignore_commit) -> Store:
    """Open the store that `url` names; nothing is read or written yet.

    `on_commit` is told how many single scores each commit holds.
    Raises StoreRefused on a URL that its engine cannot use.
    """
    if file := embedded_file(url):
        from app.stores.sqlite.store import SqliteStore

        return SqliteStore(file, on_commit)
    # The driver costs memory and start time that the embedded store need not pay.
    from app.stores.mongo.store import open_mongo_store

    return open_mongo_store(url, on_commit)


def embedded_file(url: str) -> Path | None:
    """The file of the embedded store that `url` names; None when it names another engine."""
    scheme, _, path = url.partition("://")
    return Path(path.removeprefix("/")).absolute() if scheme == "sqlite" else None


def shown(url: str) -> str:
    """A store's URL as it may be printed: without user, password and options."""
    return re.sub(r"//[^/]*@", "//", url.partition("?")[0])
