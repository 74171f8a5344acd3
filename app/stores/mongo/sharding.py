"""Shard the collections of a MongoDB store, and tell how they are sharded."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pymongo import MongoClient
from pymongo.database import Database
from pymongo.errors import OperationFailure

from app.errors import StoreRefused
from app.stores.model import Approval, Metric
from app.stores.mongo.parts import PARTS
from app.stores.mongo.unique_keys import UNIQUE_KEYS
from app.stores.weave import SENT_DOCUMENTS

ShardKey = tuple[str, ...]
Command = dict[str, Any]

SHARD_KEYS: Mapping[str, ShardKey] = {
    # The scores of a prediction are on one shard, and those of a run on few.
    "scores": ("entity", "project", "evaluation_run_id", "prediction_id"),
    "predictions": ("entity", "project", "id"),
    "evaluation_runs": ("entity", "project", "id"),
    **{kind.collection: ("entity", "project", "id") for kind in SENT_DOCUMENTS},
    **{kind.collection: ("entity", "project", "id") for kind in (Metric, Approval)},
    UNIQUE_KEYS: ("entity", "project", "kind", "key"),
    PARTS: ("entity", "project", "id"),
}
"""The shard key of each collection, all fields ascending; others are small and stay unsharded."""

SHARDED = "isdbgrid"
"""How a mongos calls itself in its description."""

COMMAND_NOT_FOUND = 59


def server_description(client: MongoClient[dict[str, Any]]) -> Mapping[str, Any]:
    """Return the server's description of itself; MongoDB 4.4.0 and 4.4.1 have no `hello`."""
    try:
        return client.admin.command("hello")
    except OperationFailure as error:
        if error.code != COMMAND_NOT_FOUND:
            raise
    return client.admin.command("isMaster")


def shard_keys(database: Database[dict[str, Any]]) -> dict[str, Mapping[str, Any]]:
    """Return the shard keys of the sharded collections of a database, by name."""
    collections = database.client["config"]["collections"]
    names = {f"{database.name}.{name}": name for name in SHARD_KEYS}
    # MongoDB 4.4 keeps those that were dropped, and 8.0 lists some that are not sharded.
    found = collections.find(
        {"_id": {"$in": list(names)}, "dropped": {"$ne": True}, "unsplittable": {"$ne": True}}
    )
    return {names[each["_id"]]: each["key"] for each in found}


def is_wanted(name: str, key: Mapping[str, Any]) -> bool:
    """Return whether a collection is sharded by its key in SHARD_KEYS."""
    return list(key.items()) == list(_ascending(SHARD_KEYS[name]).items())


def sharding_commands(database: Database[dict[str, Any]]) -> Iterator[Command]:
    """Yield the commands that shard what is not yet sharded by SHARD_KEYS.

    Raises StoreRefused if the server is no mongos, or if a collection has a shard key that cannot
    be refined.
    """
    if server_description(database.client).get("msg") != SHARDED:
        raise StoreRefused("this is not a sharded cluster: connect to a mongos")
    found = shard_keys(database)
    commands = [
        _command(database.name, name, found.get(name))
        for name in SHARD_KEYS
        if name not in found or not is_wanted(name, found[name])
    ]
    if commands:
        yield {"enableSharding": database.name}
    yield from commands


def _command(database: str, name: str, now: Mapping[str, Any] | None) -> Command:
    wanted = _ascending(SHARD_KEYS[name])
    if now is None:
        return {"shardCollection": f"{database}.{name}", "key": wanted}
    if list(now.items()) != list(wanted.items())[: len(now)]:
        raise StoreRefused(
            f"{name} is sharded by {', '.join(now)}, which cannot become "
            f"{', '.join(wanted)}: copy the store to a new database with `scoreline store copy`"
        )
    return {"refineCollectionShardKey": f"{database}.{name}", "key": wanted}


def _ascending(fields: ShardKey) -> dict[str, int]:
    return dict.fromkeys(fields, 1)
