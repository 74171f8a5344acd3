"""Keep what is unique in a project: idempotency keys, and the ids of scores that clients give.

On a sharded collection, a unique index must begin with the shard key, so `scores` cannot have one.
The collection `unique_keys` has a document for each such key or id. It is written in the same
transaction as the score or document that has it, and deleted with it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from pymongo.client_session import ClientSession
from pymongo.collection import Collection
from pymongo.read_concern import ReadConcern

from app.stores.base import SharedKey
from app.stores.documents import Key, by_project
from app.stores.mongo.documents import IN_PARTS, Index, id_field
from app.stores.mongo.parts import names_in, remove_unused

Documents = Collection[dict[str, Any]]

UNIQUE_KEYS = "unique_keys"
"""The name of the collection."""

UNIQUE_KEY_INDEXES = (
    Index("unique_keys_by_key", ("entity", "project", "kind", "key"), {"unique": True}),
)

IDEMPOTENCY_KEY = "idempotency_key"
ID = "id"


class Taken(NamedTuple):
    """The id and body hash of the score or document that has an idempotency key."""

    id: str
    body_hash: str


def unique_keys(collection: Documents) -> Documents:
    """Return the collection of unique keys in the database of another collection."""
    return collection.database[UNIQUE_KEYS]


def _kind(collection: Documents, of: str) -> str:
    """Return the kind of a unique key, such as `scores.idempotency_key`."""
    return f"{collection.name}.{of}"


def idempotency_keys(
    collection: Documents, documents: Iterable[Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """Return the unique keys for the idempotency keys of documents of a collection."""
    return [
        _unique_key(collection, IDEMPOTENCY_KEY, each, each[IDEMPOTENCY_KEY])
        for each in documents
        if each.get(IDEMPOTENCY_KEY) is not None
    ]


def given_ids(
    collection: Documents, documents: Iterable[Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """Return the unique keys for the ids of documents that have been given one."""
    return [
        _unique_key(collection, ID, each, each[id_field(collection.name)]) for each in documents
    ]


def _unique_key(
    collection: Documents, of: str, document: Mapping[str, Any], key: str
) -> dict[str, Any]:
    return {
        "entity": document["entity"],
        "project": document["project"],
        "kind": _kind(collection, of),
        "key": key,
        "id": document[id_field(collection.name)],
        "body_hash": document["body_hash"],
    }


def find_taken(
    collection: Documents, keys: Iterable[Key | None], session: ClientSession | None
) -> dict[Key, Taken]:
    """Return what has each of some idempotency keys, for those that are taken.

    Without a session, only what a majority of the servers has counts.
    """
    found: dict[Key, Taken] = {}
    source = unique_keys(collection)
    if session is None:
        source = source.with_options(read_concern=ReadConcern("majority"))
    for (entity, project), texts in by_project(keys).items():
        wanted = _filter(collection, entity, project, IDEMPOTENCY_KEY, texts)
        for each in source.find(wanted, session=session):
            found[entity, project, each["key"]] = Taken(each["id"], each["body_hash"])
    return found


def find_other_content(
    collection: Documents, key: SharedKey, session: ClientSession | None
) -> list[str]:
    """Return the ids of what has keys that begin like a shared one, and another hash."""
    above, below = key.bounds
    wanted = {
        "entity": key.entity,
        "project": key.project,
        "kind": _kind(collection, IDEMPOTENCY_KEY),
        "key": {"$gt": above, "$lt": below},
        "body_hash": {"$ne": key.body_hash},
    }
    found = unique_keys(collection).find(wanted, {"id": 1}, session=session)
    return [each["id"] for each in found]


def find_begun(collection: Documents, taken: Mapping[Key, Taken]) -> dict[Key, Taken]:
    """Return the idempotency keys whose score or document is not stored.

    On a server without transactions, a key is written first, so its write is going on or has broken
    off.
    """
    name = id_field(collection.name)
    stored: set[Key] = set()
    ids = by_project((*key[:2], each.id) for key, each in taken.items())
    for (entity, project), texts in ids.items():
        wanted = {"entity": entity, "project": project, name: {"$in": texts}}
        found = collection.find(wanted, {name: 1, "_id": 0})
        stored.update((entity, project, each[name]) for each in found)
    return {key: each for key, each in taken.items() if (*key[:2], each.id) not in stored}


def delete_with_keys(
    collection: Documents, wanted: Mapping[str, Any], session: ClientSession | None
) -> int:
    """Delete the scores or documents of one project that `wanted` matches, their keys and parts.

    Returns how many there were; a transaction must be able to hold them. Without a transaction the
    keys are freed first, so that the same call completes a deletion that has broken off.
    """
    found = list(collection.find(wanted, fields_to_delete(collection), session=session))
    return delete_found(collection, wanted, found, session)


def fields_to_delete(collection: Documents) -> dict[str, int]:
    """Return the projection that `delete_found` needs."""
    return dict.fromkeys((IDEMPOTENCY_KEY, id_field(collection.name), IN_PARTS), 1)


def delete_found(
    collection: Documents,
    wanted: Mapping[str, Any],
    found: Sequence[Mapping[str, Any]],
    session: ClientSession | None,
) -> int:
    """Delete documents of one project that `wanted` found, as `delete_with_keys` does.

    Another write may have replaced some of them since, under the same id or with the same key;
    these stay.
    """
    name = id_field(collection.name)
    ids = [each[name] for each in found]
    for of, field in ((IDEMPOTENCY_KEY, IDEMPOTENCY_KEY), (ID, name)):
        if texts := [each[field] for each in found if each.get(field) is not None]:
            keys = _filter(collection, wanted["entity"], wanted["project"], of, texts)
            unique_keys(collection).delete_many({**keys, "id": {"$in": ids}}, session=session)
    these = {"$and": [wanted, {name: {"$in": ids}}]}
    deleted = collection.delete_many(these, session=session).deleted_count if found else 0
    place = {"entity": wanted["entity"], "project": wanted["project"]}
    remove_unused(collection, names_in(collection, [{**place, **each} for each in found]), session)
    return deleted


def _filter(
    collection: Documents, entity: str, project: str, of: str, texts: Sequence[str]
) -> dict[str, Any]:
    return {
        "entity": entity,
        "project": project,
        "kind": _kind(collection, of),
        "key": {"$in": list(texts)},
    }
