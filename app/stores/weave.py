"""What Weave's SDK sends, as a store keeps it: calls, feedback, objects and their contents."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import NamedTuple

from app.stores.model import AnyDocument, Document, Score


@dataclass(frozen=True, slots=True, kw_only=True)
class Call(Document):
    """One traced call of a function.

    `start_json` and `end_json` are the objects that started and ended it, as JSON text; one that
    was sent complete has all its fields in `start_json`. Times are UTC in microseconds.
    """

    collection = "calls"
    changing = frozenset(
        {
            *("body_hash", "trace_id", "parent_id", "op_name"),
            *("started_at", "ended_at", "start_json", "end_json", "renamed_json"),
        }
    )

    trace_id: str | None = None
    parent_id: str | None = None
    op_name: str | None = None
    started_at: datetime | None = None
    ended_at: datetime | None = None
    start_json: str | None = None
    end_json: str | None = None
    renamed_json: str | None = None
    """The display name that was set later, which may be null, as JSON text."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Feedback(Document):
    """What was said about a call: a scorer's result, an annotation, a reaction or a note.

    `body_json` is the object that was sent, as JSON text.
    """

    collection = "feedback"
    changing = frozenset(
        {
            *("body_hash", "call_id", "awaited_call"),
            *("weave_ref", "feedback_type", "body_json", "sender_role"),
        }
    )

    call_id: str | None = None
    """The id of the call in `weave_ref`, if it names one."""
    awaited_call: str | None = None
    """The same id, while a score is to be made of it: that call, or its parent, has not arrived."""
    weave_ref: str
    feedback_type: str
    body_json: str
    sender_role: str | None = None
    """The role of the key that sent it, if that may change what keys of other owners wrote."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectVersion(Document):
    """One version of a named object; its `id` consists of the object's id and the digest.

    `value_json` is the object as JSON text, null once the version is deleted. A deleted version is
    kept, so that the numbers of the others stay.
    """

    collection = "object_versions"
    changing = frozenset(
        {
            *("body_hash", "published_at", "published_by", "deleted_at"),
            *("value_json", "tags_json"),
        }
    )

    object_id: str
    digest: str
    kind: str
    """Either op or object."""
    base_class: str | None = None
    """The name of the class that says what it is, such as Dataset."""
    leaf_class: str | None = None
    """The name of its own class."""
    published_at: datetime
    """When it was last created; the last one of an object is the latest."""
    published_by: str | None = None
    """The owner of the key that last created it, if that is not `wb_user_id`."""
    deleted_at: datetime | None = None
    value_json: str
    tags_json: str | None = None
    """Its tags as a JSON list, null if there are none."""


DELETED = "null"
"""The value of a deleted version, as JSON."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Alias(Document):
    """A name for one version of an object; its `id` consists of the object's id and the name."""

    collection = "aliases"
    changing = frozenset({"body_hash", "digest"})

    object_id: str
    name: str
    digest: str
    """The digest of the version."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost(Document):
    """What the tokens of a model cost from a date on; `body_json` has all of that as JSON text."""

    collection = "costs"
    changing = frozenset[str]()

    body_json: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Content(Document):
    """A row, a table or a file; its `id` consists of kind and digest.

    `text` is the row as JSON, the digests of a table's rows as a JSON list, or a file in Base64.
    """

    collection = "contents"
    changing = frozenset[str]()

    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreSource(Document):
    """Which score came from a source: from a call that predicts and scores, and a scorer's name.

    `score_id` is the newest score from it. If that was deleted by its id, the same value makes no
    new one.
    """

    collection = "score_sources"
    changing = frozenset(
        {"body_hash", "evaluation_run_id", "prediction_id", "score_id", "judgements_json"}
    )

    evaluation_run_id: str | None = None
    prediction_id: str
    score_id: str
    judgements_json: str | None = None
    """The hashes of the values of several judgements that made its scores, by the id of the call
    or feedback, and that of the newest under an empty id, as JSON text."""


SENT_DOCUMENTS: tuple[type[Document], ...] = (
    *(Content, ObjectVersion, Alias, Call, Feedback, ScoreSource),
    Cost,
)
"""Every kind of document that Weave's SDK brings."""

Merge = Callable[[AnyDocument, AnyDocument], AnyDocument]
"""Returns what to store, from the stored document and the one that was sent.

The `body_hash` of what it returns differs from that of the stored document if anything does.
"""


class Projected(NamedTuple):
    """A score to add, its source, and the `body_hash` of the stored source if there is one.

    The store sets the `score_id` of the source, the one of its last score if it has several.
    """

    score: Score
    source: ScoreSource
    known_hash: str | None


def without_value(stored: ObjectVersion, now: datetime) -> ObjectVersion:
    """Return a version as it stays when it is deleted."""
    return replace(
        stored, body_hash=now.isoformat(), deleted_at=now, value_json=DELETED, tags_json=None
    )


def replace_source(stored: ScoreSource, sent: ScoreSource) -> ScoreSource:
    """Return what was sent in place of the stored source."""
    return replace(sent, sort_id=stored.sort_id)
