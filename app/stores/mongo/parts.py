"""Keep texts that make a document too large for MongoDB in parts, in a collection of their own.

Such a document has "" in place of the text, and in IN_PARTS the id of the text's parts. An id is
new for each text that is written, and its parts never change, so nobody reads a mix of two texts.
Parts are written before the document that names them, and removed once it no longer does. A reader
that misses some reads the document again. A write that breaks off may leave parts that no document
names, which `remove_orphans` finds by their age.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any, NamedTuple

from pymongo import ASCENDING
from pymongo.client_session import ClientSession
from pymongo.collection import Collection
from pymongo.cursor import Cursor
from pymongo.database import Database

from app.errors import StoreDamaged
from app.ids import first_id_at, new_id
from app.stores.documents import by_project
from app.stores.mongo.documents import HAS_PARTS, IN_PARTS, Index, id_field
from app.stores.mongo.driver import is_too_large, our_errors, read_page

Documents = Collection[dict[str, Any]]
Bson = dict[str, Any]
Page = tuple[list[Bson], bool]
"""Some documents, and whether those are all."""

Find = Callable[[], Cursor[Bson]]
"""Opens a new cursor of the same documents."""

PARTS = "parts"
"""The name of the collection."""

PART_INDEXES = (
    # With all that is asked about parts, so that their bytes are only read to be returned.
    Index(
        "parts_by_id",
        ("entity", "project", "id", "n", "bytes", "collection", "document_id"),
    ),
)

PART_BYTES = 4 * 1024 * 1024

MOST_BYTES = 8 * 1024 * 1024
"""A larger document has its longest texts in parts. It is half of what MongoDB allows, so that
changes of a document need not know its size."""

CHANGE_CHARACTERS = 256 * 1024
"""A longer text that changes a document is put in parts, whatever the document's size is."""

MAY_BE_IN_PARTS = frozenset(
    {
        *("inputs_json", "output_json", "usage_json", "metadata_json", "error", "description"),
        *("summary_json", "attributes_json", "start_json", "end_json", "body_json"),
        *("value_json", "reason", "text"),
    }
)
"""The fields that no filter and no index needs, except whether they are texts."""

ATTEMPTS = 10
PAUSE_SECONDS = 0.1
"""How often to read documents again whose parts are missing, and the pause in between."""

ORPHAN_AGE = timedelta(hours=1)
"""No write takes so long: older parts that no document names are not about to be named."""

PAGE = 1_000


class Name(NamedTuple):
    """The id of some parts, and of the document that names or named them."""

    entity: str
    project: str
    document_id: str
    part_id: str


def in_parts(
    collection: Documents, whole: Bson, before: Bson | None = None
) -> tuple[Bson, list[Bson]]:
    """Return a document as it is stored, and the parts to write before it.

    `before` is the whole stored document that it replaces; a text that is the same stays where it
    is, if it is in parts.
    """
    named = {
        name: each
        for name, each in (before or {}).get(IN_PARTS, {}).items()
        if before and whole.get(name) == before[name]
    }
    stored = whole | dict.fromkeys(named, "")
    parts: list[Bson] = []
    for name in sorted(MAY_BE_IN_PARTS & stored.keys(), key=lambda name: -len(stored[name])):
        if not is_too_large(stored, MOST_BYTES):
            break
        named[name], made = _parts_of(collection, whole, stored[name])
        parts += made
        stored[name] = ""
    return (stored | {IN_PARTS: named} if named else stored), parts


def _parts_of(
    collection: Documents, owner: Mapping[str, Any], text: str
) -> tuple[Bson, list[Bson]]:
    """Return what a document says of a text in parts, and the parts."""
    data, part_id = text.encode(), new_id()
    common = {
        "entity": owner["entity"],
        "project": owner["project"],
        "id": part_id,
        "collection": collection.name,
        "document_id": owner[id_field(collection.name)],
    }
    pieces = [data[first : first + PART_BYTES] for first in range(0, len(data), PART_BYTES)]
    parts = [
        {**common, "n": n, "bytes": len(piece), "data": piece} for n, piece in enumerate(pieces)
    ]
    return {"id": part_id, "bytes": len(data)}, parts


def changes_in_parts(
    collection: Documents, owner: Mapping[str, Any], changes: Mapping[str, Any]
) -> tuple[Bson, list[Bson]]:
    """Return an update that sets fields of a document, and the parts to write before it."""
    parts: list[Bson] = []
    given: Bson = {}
    unset: Bson = {}
    for name, value in changes.items():
        if name in MAY_BE_IN_PARTS and value is not None and len(value) > CHANGE_CHARACTERS:
            given[f"{IN_PARTS}.{name}"], made = _parts_of(collection, owner, value)
            given[name] = ""
            parts += made
            continue
        if name in MAY_BE_IN_PARTS:
            unset[f"{IN_PARTS}.{name}"] = ""
        (unset if value is None else given)[name] = "" if value is None else value
    update = {"$set": given, "$unset": unset}
    return {operator: fields for operator, fields in update.items() if fields}, parts


def never_fits(whole: Bson) -> bool:
    """Return whether a document is too large even with all that may be in parts there."""
    return is_too_large(whole, MOST_BYTES) and is_too_large(smallest(whole))


def smallest(whole: Bson) -> Bson:
    """Return a document as large as it is stored with all that may be in parts there."""
    names = MAY_BE_IN_PARTS & whole.keys()
    reference = {"id": new_id(), "bytes": 0}
    return whole | dict.fromkeys(names, "") | {IN_PARTS: dict.fromkeys(names, reference)}


def write_parts(
    collection: Documents, parts: Sequence[Bson], session: ClientSession | None = None
) -> None:
    """Store the parts of documents of a collection."""
    if parts:
        collection.database[PARTS].insert_many(parts, session=session)


def put_in_parts(
    collection: Documents, whole: Iterable[Bson], session: ClientSession | None = None
) -> list[Bson]:
    """Store the parts of new documents; return the documents as they are stored."""
    pairs = [in_parts(collection, each) for each in whole]
    for _, parts in pairs:
        write_parts(collection, parts, session)
    return [stored for stored, _ in pairs]


def projection(shown: Sequence[str]) -> dict[str, int]:
    """Return the projection of some fields, with what it takes to read those that are in parts."""
    where = [f"{IN_PARTS}.{name}" for name in shown if name in MAY_BE_IN_PARTS]
    return dict.fromkeys([*shown, *where, *(("entity", "project") if where else ())], 1)


def find_in_order(
    collection: Documents,
    wanted: Bson,
    order: Sequence[tuple[str, int]],
    index: str | None = None,
    fields: Mapping[str, int] | None = None,
) -> Cursor[Bson]:
    """Return a new cursor of documents, by an index if it is named."""
    found = collection.find(wanted, fields).sort(list(order))
    return found.hint(index) if index else found


def read_whole_page(collection: Documents, find: Find, most: int) -> Page:
    """Return a page as `read_page` does, of the cursor that `find` opens, with texts in parts."""
    return _read_whole(collection, lambda: read_page(find(), most))


def _read_whole(
    collection: Documents, read: Callable[[], Page], session: ClientSession | None = None
) -> Page:
    """Return the documents that `read` returns, with the texts that are in parts.

    All is read again if parts are missing, because another write has just replaced or deleted
    their document. Raises StoreDamaged if that does not help.
    """
    for _ in range(ATTEMPTS):
        documents, is_whole = read()
        with our_errors():
            missing = [each for each in documents if not _put_together(collection, each, session)]
        if not missing:
            return documents, is_whole
        time.sleep(PAUSE_SECONDS)
    raise StoreDamaged(f"parts of {missing[0]['_id']!r} in {collection.name} are missing")


def find_by_ids(
    collection: Documents,
    entity: str,
    project: str,
    ids: Sequence[str],
    session: ClientSession | None = None,
) -> list[Bson]:
    """Return the whole documents or scores with these ids that are stored."""
    field = id_field(collection.name)
    named = {"entity": entity, "project": project, field: {"$in": list(ids)}}
    index = "scores_by_project" if collection.name == "scores" else f"{collection.name}_by_id"
    return find_whole(
        collection, lambda: collection.find(named, session=session).hint(index), session
    )


def find_whole(
    collection: Documents, find: Find, session: ClientSession | None = None
) -> list[Bson]:
    """Return all documents of the cursor that `find` opens, with their texts that are in parts."""

    def read() -> Page:
        with our_errors():
            return list(find()), True

    return _read_whole(collection, read, session)[0]


def _put_together(collection: Documents, document: Bson, session: ClientSession | None) -> bool:
    """Put the texts that are in parts in their place; return False if parts are missing."""
    for name, reference in document.get(IN_PARTS, {}).items():
        place = {"entity": document["entity"], "project": document["project"]}
        wanted = {**place, "id": reference["id"]}
        found = collection.database[PARTS].find(wanted, {"data": 1}, session=session)
        found = found.sort("n", ASCENDING).hint("parts_by_id")
        data = b"".join(each["data"] for each in found)
        if len(data) != reference["bytes"]:
            return False
        document[name] = data.decode()
    return True


def names_of(parts: Iterable[Mapping[str, Any]]) -> list[Name]:
    """Return the ids of parts."""
    fields = ("entity", "project", "document_id", "id")
    return [Name(*(each[field] for field in fields)) for each in parts]


def names_in(collection: Documents, documents: Iterable[Mapping[str, Any]]) -> list[Name]:
    """Return the ids of the parts that documents name."""
    return [
        Name(each["entity"], each["project"], each[id_field(collection.name)], reference["id"])
        for each in documents
        for reference in each.get(IN_PARTS, {}).values()
    ]


def remove_unused(
    collection: Documents, names: Sequence[Name], session: ClientSession | None = None
) -> None:
    """Remove the parts that their documents do not name any more."""
    unused = _unused(collection, names, session)
    for (entity, project), ids in by_project((*each[:2], each.part_id) for each in unused).items():
        wanted = {"entity": entity, "project": project, "id": {"$in": ids}}
        collection.database[PARTS].delete_many(wanted, session=session)


def _unused(
    collection: Documents, names: Sequence[Name], session: ClientSession | None = None
) -> list[Name]:
    used: set[str] = set()
    field = id_field(collection.name)
    for (entity, project), ids in by_project(each[:3] for each in names).items():
        wanted = {"entity": entity, "project": project, field: {"$in": ids}}
        fields = ["entity", "project", field, IN_PARTS]
        found = collection.find(wanted, fields, session=session)
        used.update(each.part_id for each in names_in(collection, found))
    return [each for each in names if each.part_id not in used]


# Parts that a write which broke off has left


def orphans(
    database: Database[Bson], place: Mapping[str, str]
) -> Iterator[tuple[Documents, list[Name]]]:
    """Yield the ids of old parts that no document names, by the collection of the document."""
    before = first_id_at(datetime.now(UTC) - ORPHAN_AGE)
    fields = ("entity", "project", "id", "collection", "document_id")
    found = database[PARTS].find(
        {**place, "id": {"$lt": before}, "n": 0}, {**dict.fromkeys(fields, 1), "_id": 0}
    )
    found = found.hint("parts_by_id")
    while page := list(islice(found, PAGE)):
        for name in sorted({each["collection"] for each in page}):
            of_one = [
                Name(each["entity"], each["project"], each["document_id"], each["id"])
                for each in page
                if each["collection"] == name
            ]
            if unused := _unused(database[name], of_one):
                yield database[name], unused


def remove_orphans(database: Database[Bson], entity: str, project: str) -> None:
    """Remove the old parts in a project that no document names."""
    for collection, names in orphans(database, {"entity": entity, "project": project}):
        remove_unused(collection, names)


def find_damaged(collection: Documents) -> Iterator[Mapping[str, Any]]:
    """Yield the documents of a collection whose parts are missing."""
    field = id_field(collection.name)
    fields = ["entity", "project", field, IN_PARTS]
    found = collection.find(HAS_PARTS, fields).hint(f"{collection.name}_in_parts")
    for each in found:
        if not _has_all_parts(collection, each):
            same = {name: each[name] for name in ("entity", "project", field)}
            now = collection.find_one(same, fields)  # It may just have been replaced.
            if now and not _has_all_parts(collection, now):
                yield now


def _has_all_parts(collection: Documents, document: Mapping[str, Any]) -> bool:
    place = {"entity": document["entity"], "project": document["project"]}
    parts = collection.database[PARTS]
    for reference in document.get(IN_PARTS, {}).values():
        wanted = {**place, "id": reference["id"]}
        found = parts.find(wanted, {"bytes": 1, "_id": 0}).hint("parts_by_id")
        if sum(each["bytes"] for each in found) != reference["bytes"]:
            return False
    return True
