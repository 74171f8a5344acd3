"""Follow the scores of a project with MongoDB's change stream."""

from __future__ import annotations

import base64
import json
import re
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from bson import json_util
from pymongo import ASCENDING
from pymongo.change_stream import ChangeStream
from pymongo.collection import Collection
from pymongo.errors import OperationFailure

from app.errors import CursorExpired, InvalidParameter
from app.stores.base import START, Changes
from app.stores.model import Score
from app.stores.mongo.documents import IN_PARTS, size, to_score
from app.stores.mongo.driver import PAGE_BYTES
from app.stores.mongo.parts import find_by_ids, read_whole_page

Scores = Collection[dict[str, Any]]
Cursor = dict[str, Any]
"""The position of a reader.

`token` is a resume token of the change stream. `after` is the last id that was returned while the
scores that were stored before the stream began are read, and absent afterwards.
"""

AWAIT_MILLISECONDS = 250
"""How long one call of the server waits for a change, at most."""

DRAIN_SECONDS = 0.5
"""How long to go on collecting scores after the first one."""

TOO_OLD = frozenset({136, 260, 280, 286})
"""CappedPositionLost, InvalidResumeToken, ChangeStreamFatalError, ChangeStreamHistoryLost."""

MALFORMED = frozenset({9, 207})
"""FailedToParse and InvalidUUID."""

UNNAMED = "Location"
"""How the server names an error that has only a number, as most of a token that it cannot read."""

NO_CURSOR = "this is not a cursor of this service"
EXPIRED = (
    "The server no longer knows this cursor. Start again with cursor=start, or from now "
    "on without a cursor"
)


def read_changes(
    collection: Scores,
    project: tuple[str, str],
    text: str | None,
    limit: int,
    wait: float,
    closed: threading.Event,
) -> Changes:
    """Return the scores of (entity, project) after a cursor, as `Store.read_changes` promises.

    The wait ends early when `closed` is set.
    """
    cursor = _decoded(text)
    if cursor["token"] is None:
        # The stream begins before the stored scores are read, so that no score is missed.
        with _watch(collection, project, None, 0) as stream:
            cursor["token"] = stream.resume_token
    if "after" in cursor:
        scores, is_whole = _walk(collection, project, cursor["after"], limit)
        if is_whole:
            # Later scores are in the stream. So this part ends even if others keep writing.
            del cursor["after"]
        elif scores:
            cursor["after"] = scores[-1].score_id
        if scores:
            return Changes(scores, _encoded(cursor))
    documents: list[dict[str, Any]] = []
    read = 0
    with _watch(collection, project, cursor["token"], wait) as stream:
        for document in _incoming(stream, wait, closed):
            documents.append(document)
            read += size(document)
            if len(documents) == limit or read >= PAGE_BYTES:
                break
        scores = [*map(to_score, _whole(collection, documents))]
        return Changes(scores, _encoded({"token": stream.resume_token}))


def _walk(
    collection: Scores, project: tuple[str, str], after: str, limit: int
) -> tuple[list[Score], bool]:
    """Return the stored scores after an id, in the order of ids, and whether they are the last."""
    wanted = {"entity": project[0], "project": project[1], "score_id": {"$gt": after}}
    documents, is_whole = read_whole_page(
        collection,
        lambda: collection.find(wanted).sort("score_id", ASCENDING).hint("scores_by_project"),
        limit,
    )
    return [to_score(document) for document in documents], is_whole


def _whole(collection: Scores, documents: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Yield the documents of a stream, but not those in parts that were deleted meanwhile."""
    for each in documents:
        if IN_PARTS in each:
            place = (each["entity"], each["project"])
            yield from find_by_ids(collection, *place, [each["score_id"]])
        else:
            yield each


def _incoming(
    stream: ChangeStream[dict[str, Any]], wait: float, closed: threading.Event
) -> Iterator[dict[str, Any]]:
    """Yield the documents of new scores; if there are none, wait for the first.

    Ends with the current batch of the server, because it might never end while others keep writing.
    Raises CursorExpired if the collection was dropped.
    """
    deadline = time.monotonic() + wait
    since: float | None = None
    while True:
        change = stream.try_next()
        now = time.monotonic()
        if not stream.alive or (change and change["operationType"] != "insert"):
            raise CursorExpired(EXPIRED)
        if change is None and (since is not None or now >= deadline or closed.is_set()):
            return
        if change is not None:
            since = since or now
            yield change["fullDocument"]
            if stream.resume_token != change["_id"] or now - since > DRAIN_SECONDS:
                return


@contextmanager
def _watch(
    collection: Scores, project: tuple[str, str], token: Mapping[str, Any] | None, wait: float
) -> Iterator[ChangeStream[dict[str, Any]]]:
    """Open a stream of new scores. Raises CursorExpired."""
    entity, name = project
    inserts = {
        "operationType": "insert",
        "fullDocument.entity": entity,
        "fullDocument.project": name,
    }
    wanted = {"$or": [inserts, {"operationType": "invalidate"}]}
    try:
        with collection.watch(
            [{"$match": wanted}],
            resume_after=token,
            max_await_time_ms=max(1, min(int(wait * 1000), AWAIT_MILLISECONDS)),
        ) as stream:
            yield stream
    except OperationFailure as error:
        if error.code in TOO_OLD:
            raise CursorExpired(EXPIRED) from error
        if token is not None and _is_malformed(error):
            raise InvalidParameter("cursor", None, NO_CURSOR) from error
        raise


def _is_malformed(error: OperationFailure) -> bool:
    name = str((error.details or {}).get("codeName", ""))
    return error.code in MALFORMED or name.startswith(UNNAMED)


def _encoded(cursor: Cursor) -> str:
    return base64.urlsafe_b64encode(json_util.dumps(cursor).encode()).decode().rstrip("=")


def _decoded(text: str | None) -> Cursor:
    """Return the position in the text of a cursor. Raises InvalidParameter."""
    if text is None:
        return {"token": None}
    if text == START:
        return {"token": None, "after": ""}
    try:
        padded = f"{text}{'=' * (-len(text) % 4)}"
        extended_json = base64.b64decode(padded, "-_", validate=True).decode()
        # First as plain JSON, because json_util raises errors of any kind.
        if _is_cursor(json.loads(extended_json)):
            cursor: Cursor = json_util.loads(extended_json)
            return cursor
    except (ValueError, RecursionError):
        pass
    raise InvalidParameter("cursor", text, NO_CURSOR)


def _is_cursor(cursor: object) -> bool:
    return (
        isinstance(cursor, dict)
        and set(cursor) <= {"token", "after"}
        and _is_token(cursor.get("token"))
        and isinstance(cursor.get("after", ""), str)
    )


def _is_token(token: object) -> bool:
    """Return whether this has the form of a resume token of MongoDB: hexadecimal text, and bits."""
    if not isinstance(token, dict) or not set(token) <= {"_data", "_typeBits"}:
        return False
    data = token.get("_data")
    if not isinstance(data, str) or not re.fullmatch("(?:[0-9A-Fa-f]{2}){4,}", data):
        return False
    return "_typeBits" not in token or _is_binary(token["_typeBits"])


def _is_binary(value: object) -> bool:
    binary = value.get("$binary") if isinstance(value, dict) and len(value) == 1 else None
    return (
        isinstance(binary, dict)
        and set(binary) == {"base64", "subType"}
        and isinstance(binary["base64"], str)
        and binary["subType"] == "00"
    )
