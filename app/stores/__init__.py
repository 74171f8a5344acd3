"""Open a store by its URL; only this package knows databases."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

from app.errors import StoreRefused
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


def shard_store(url: str, *, dry_run: bool) -> Iterator[dict[str, Any]]:
    """Shard the collections of the store at `url`; yield each command after it was run.

    With `dry_run`, run none and change nothing. Raises StoreRefused if the store is no sharded
    MongoDB cluster, and StoreUnavailable.
    """
    if embedded_file(url):
        raise StoreRefused("the embedded store cannot be sharded")
    from app.stores.mongo.store import open_mongo_store

    with closing(open_mongo_store(url)) as store:
        yield from store.shard(dry_run=dry_run)


def embedded_file(url: str) -> Path | None:
    """Return the file of the embedded store at `url`, or None if it names another engine."""
    scheme, _, path = url.partition("://")
    return Path(path.removeprefix("/")).absolute() if scheme == "sqlite" else None


def printable_url(url: str) -> str:
    """Return a store's URL without user, password and options, which may be printed."""
    return re.sub(r"//[^/]*@", "//", url.partition("?")[0])
