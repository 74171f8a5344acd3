"""The only place that knows a database: open a store by its URL."""

from __future__ import annotations

from app.stores.base import Store
from app.stores.commits import OnCommit, uncounted


def open_store(url: str, on_commit: OnCommit = uncounted) -> Store:
    """Open the store that `url` names; nothing is read or written yet.

    `on_commit` is told how many single scores each commit holds.
    Raises StoreRefused on a URL that its engine cannot use.
    """
    scheme, _, path = url.partition("://")
    if scheme == "sqlite":
        from app.stores.sqlite import SqliteStore

        return SqliteStore(path.removeprefix("/"), on_commit)
    # The driver costs memory and start time that the embedded store need not pay.
    from app.stores.mongo import open_mongo_store

    return open_mongo_store(url, on_commit)
