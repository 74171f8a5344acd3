"""Copy everything that one store holds to another, and compare the two."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, fields, replace
from datetime import datetime
from itertools import groupby, takewhile
from operator import itemgetter
from typing import Any, NamedTuple, TypeVar

from app import jsontext
from app.errors import Conflict, StoreUnavailable, TooLarge
from app.parts import in_parts
from app.services.clearing import finish_all
from app.services.lists import up_to
from app.stores.base import DocumentQuery, Kept, ScoreQuery, Store
from app.stores.documents import characters
from app.stores.model import DOCUMENTS, ApiKey, Approval, Document, Item, Metric, Score
from app.stores.weave import SENT_DOCUMENTS

Result = TypeVar("Result")

Kind = type[Score] | type[Document]

KINDS = (*DOCUMENTS, *SENT_DOCUMENTS, Metric, Approval)

PART = 500
"""How many scores or documents are written to the target at a time."""

PART_CHARACTERS = 4 << 20
"""A part ends earlier once its texts have about this length together."""

ROUNDS = 3
"""How many times what a comparison finds missing is copied. A score may become durable after the
copy has passed its id."""

RETRY_SECONDS = 90.0
"""How long a write is retried. After a copy is killed, a MongoDB server holds the locks of its
transaction for a minute (transactionLifetimeLimitSeconds)."""

CHANGING = {"key_id", "created_at", "revoked_at", "last_used_at"}
"""The fields of an API key that may differ between a store and its copy."""

IDENTITY = {"entity", "project", "id", "sort_id"}
"""The fields of a document that never change."""

ALL = 2**53
"""A limit that no project reaches."""

Progress = Callable[[int], None]
"""A callback that gets how many more scores were copied or compared."""


class Place(NamedTuple):
    """Where a score or document is; both ids of a score are its `score_id`."""

    entity: str
    project: str
    sort_id: str
    id: str


class Contents:
    """The number of scores or documents of one side, and the SHA-256 of them all, in order."""

    def __init__(self) -> None:
        self.count = 0
        self._hash = hashlib.sha256()

    @property
    def digest(self) -> str:
        """The SHA-256 of everything that was added so far, in hexadecimal digits."""
        return self._hash.hexdigest()

    def add(self, text: str) -> None:
        """Add one score or document in its canonical form."""
        self.count += 1
        self._hash.update(text.encode())

    def __eq__(self, other: object) -> bool:
        """Return whether two sides hold the same."""
        if not isinstance(other, Contents):
            return NotImplemented
        return (self.count, self.digest) == (other.count, other.digest)

    __hash__ = None  # type: ignore[assignment]


@dataclass
class Copied:
    """What was done with the scores or the documents of one kind, and how the stores differ."""

    kind: Kind
    horizon: str
    """The highest id (of documents, `sort_id`) that is copied and compared."""
    source: Contents = field(default_factory=Contents)
    target: Contents = field(default_factory=Contents)
    missing: list[Place] = field(default_factory=list)
    """What only the source has."""
    extra: list[Place] = field(default_factory=list)
    """What only the target has."""
    added: int = 0
    changed: int = 0
    deleted: int = 0

    @property
    def equal(self) -> bool:
        """Whether both sides hold the same."""
        return self.source == self.target


@dataclass
class CopiedStore:
    """The result of a copy: how many API keys it added, and what it did with the rest."""

    keys: int
    scores: Copied
    documents: list[Copied]
    came_since: int
    """About how many scores the source got during the copy; the next copy adds them."""

    @property
    def equal(self) -> bool:
        """Whether both stores hold the same scores and documents."""
        return self.scores.equal and all(each.equal for each in self.documents)


def copy_store(
    source: Store, target: Store, *, delete_extra: bool, progress: Progress
) -> CopiedStore:
    """Copy what `target` lacks from `source`, then compare all scores and documents.

    Only what was there at the beginning is copied, so that the copy ends while the source is
    written to. Nothing is overwritten and ids stay the same, so an interrupted copy can be
    repeated. Only what has changed of a prediction or a run, such as its status, is changed in the
    target too, and a document that was replaced, such as a metric. With `delete_extra`, what only
    the target has is deleted. Raises Conflict if anything else differs between the two, and
    TooLarge if the target cannot store something.

    What a pending deletion of the source covers is not copied; those of the target are finished
    before.
    """
    finish_all(target)
    began = source.extent()
    scores = Copied(Score, began.newest_id or "")
    keys = _copy_keys(source, target)
    _copy(source, target, scores, delete_extra=delete_extra, progress=progress)
    documents = [Copied(kind, source.extent(kind).newest_id or "") for kind in KINDS]
    for each in documents:
        _copy(source, target, each, delete_extra=delete_extra)
    came_since = max(0, source.extent().count - began.count)
    return CopiedStore(keys, scores, documents, came_since)


def _copy(
    source: Store,
    target: Store,
    copied: Copied,
    *,
    delete_extra: bool,
    progress: Progress = lambda _: None,
) -> None:
    """Copy and compare everything of one kind, as `copy_store` does."""
    for part in _parts(_read(source, copied)):
        copied.added += _put(target, part, may_differ=delete_extra)
        progress(len(part))
    for _ in range(ROUNDS):
        _compare(source, target, copied, progress)
        if not copied.missing and not (delete_extra and copied.extra):
            return
        if delete_extra:  # First, because the same id or key may have been used again.
            copied.deleted += _delete_extra(source, target, copied)
        for part in _parts(_read_missing(source, copied)):
            copied.added += _put(target, part)


def _read(store: Store, copied: Copied) -> Iterator[Item]:
    """Yield what a store holds up to the horizon: scores by project, documents all together."""
    if issubclass(copied.kind, Document):
        found = store.read_documents(copied.kind, DocumentQuery())
        yield from takewhile(lambda document: document.sort_id <= copied.horizon, found)
        return
    place = store.next_project(None)
    while place:
        yield from store.scan_scores(up_to(ScoreQuery(*place, limit=ALL), copied.horizon))
        place = store.next_project(place)


def _parts(items: Iterable[Item]) -> Iterator[list[Item]]:
    return in_parts(items, PART, _length, PART_CHARACTERS)


def _length(item: Item) -> int:
    return len(item.value_json) if isinstance(item, Score) else characters(item)


def _put(target: Store, part: Sequence[Item], *, may_differ: bool = False) -> int:
    """Add what `target` lacks of a part; return how much was added.

    Raises Conflict if something differs. With `may_differ` it is left to the next comparison.
    """
    scores = [item for item in part if isinstance(item, Score)]
    documents = [item for item in part if isinstance(item, Document)]
    outcomes = _retried(
        lambda: (
            target.add_missing(scores, partial=True) if scores else target.add_documents(documents)
        )
    )
    for item, outcome in zip(part, outcomes, strict=True):
        if outcome.kept is Kept.TOO_LARGE:
            raise TooLarge(f"{_name(item)}: the target cannot store one so large")
        if may_differ:
            continue
        if outcome.kept is Kept.KEY_TAKEN or outcome.id != _place(item).id:
            raise Conflict(
                f"{_name(item)} cannot be added: another one of the target has its idempotency key"
            )
        if outcome.kept is Kept.ID_TAKEN and not _is_replaced(target, item):
            raise _differs(item)
    return sum(outcome.kept is Kept.CREATED for outcome in outcomes)


def _is_replaced(target: Store, item: Item) -> bool:
    """Return whether the target has a document as it was before the source replaced it."""
    if isinstance(item, Score):
        return False
    found = target.find_document(type(item), item.entity, item.project, item.id)
    return found is not None and found.sort_id == item.sort_id and _hash_differs(found, item)


def _hash_differs(first: Document, second: Document) -> bool:
    """Return whether one was replaced, which changes its `body_hash`."""
    return first.body_hash != second.body_hash


def _retried(write: Callable[[], Result]) -> Result:
    """Return what `write` returns, and retry it for RETRY_SECONDS. Raises StoreUnavailable."""
    deadline = time.monotonic() + RETRY_SECONDS
    while True:
        try:
            return write()
        except StoreUnavailable:
            if time.monotonic() > deadline:
                raise


def _compare(source: Store, target: Store, copied: Copied, progress: Progress) -> None:
    """Compare what two stores hold of one kind, and update changed fields in the target.

    Raises Conflict if other fields differ.
    """
    copied.source, copied.target = Contents(), Contents()
    copied.missing, copied.extra = [], []
    left = _counted(_read(source, copied), progress)
    for ours, found in _pairs(left, _read(target, copied)):
        theirs = found
        our_text, their_text = (canonical(each) if each else "" for each in (ours, theirs))
        if ours and theirs and our_text != their_text:
            theirs, their_text = (ours, our_text) if _change(target, ours, theirs) else (None, "")
            copied.changed += theirs is not None
        if ours:
            copied.source.add(our_text)
        if theirs:
            copied.target.add(their_text)
        if ours and not theirs:
            copied.missing.append(_place(ours))
        if theirs and not ours:
            copied.extra.append(_place(theirs))


def canonical(item: Item) -> str:
    """Return a score or a document as a line of JSON, the same for every kind of store."""
    values = {each.name: getattr(item, each.name) for each in fields(item)}
    for name, value in values.items():
        if isinstance(value, datetime):
            values[name] = value.isoformat()
    return jsontext.write(values) + "\n"


def _counted(items: Iterator[Item], progress: Progress) -> Iterator[Item]:
    for part in _parts(items):
        yield from part
        progress(len(part))


def _pairs(
    left: Iterator[Item], right: Iterator[Item]
) -> Iterator[tuple[Item | None, Item | None]]:
    """Yield what both sides have in pairs of the same place, with None for a missing one."""
    ours, theirs = next(left, None), next(right, None)
    while ours or theirs:
        first = min(_order(each) for each in (ours, theirs) if each)
        pair = (
            ours if ours and _order(ours) == first else None,
            theirs if theirs and _order(theirs) == first else None,
        )
        yield pair
        ours = next(left, None) if pair[0] else ours
        theirs = next(right, None) if pair[1] else theirs


def _order(item: Item) -> Any:
    """Return the key by which both sides are sorted (see `_read`)."""
    return _place(item) if isinstance(item, Score) else item.sort_id


def _place(item: Item) -> Place:
    return Place(item.entity, item.project, item.sort_id, item.id)


def _change(target: Store, ours: Item, theirs: Item) -> bool:
    """Update a document as in the source; return False if the target no longer has it."""
    if isinstance(ours, Score) or isinstance(theirs, Score):
        raise _differs(ours)
    changing: Iterable[str] = ours.changing
    if _hash_differs(ours, theirs):
        changing = {each.name for each in fields(ours)} - IDENTITY
    changes = {name: getattr(ours, name) for name in changing}
    if replace(theirs, **changes) != ours:
        raise _differs(ours)
    place = (ours.entity, ours.project, ours.id)
    return _retried(lambda: target.change_document(type(ours), *place, **changes))


def _delete_extra(source: Store, target: Store, copied: Copied) -> int:
    """Delete from `target` after checking once more that `source` does not have it."""
    deleted = 0
    for entity, project, part in _by_project(copied.extra):
        there = set(map(_place, _find(source, copied.kind, entity, project, part)))
        ids = [place.id for place in part if place not in there]
        if issubclass(copied.kind, Document):
            deleted += target.delete_documents(copied.kind, entity, project, ids) if ids else 0
        else:
            deleted += target.delete_scores(entity, project, ids) if ids else 0
    return deleted


def _read_missing(source: Store, copied: Copied) -> Iterator[Item]:
    for entity, project, part in _by_project(copied.missing):
        yield from _find(source, copied.kind, entity, project, part)


def _by_project(places: list[Place]) -> Iterator[tuple[str, str, list[Place]]]:
    """Yield entity, project and at most PART places at a time."""
    for (entity, project), found in groupby(sorted(places), itemgetter(0, 1)):
        some = list(found)
        for first in range(0, len(some), PART):
            yield entity, project, some[first : first + PART]


def _find(
    store: Store, kind: Kind, entity: str, project: str, places: Sequence[Place]
) -> Iterator[Item]:
    ids = [place.id for place in places]
    if issubclass(kind, Document):
        return store.find_documents(kind, entity, project, ids)
    return store.read_scores(entity, project, ids)


def _differs(item: Item) -> Conflict:
    return Conflict(f"{_name(item)} differs in the target; it was not changed")


def _name(item: Item) -> str:
    place = _place(item)
    noun = item.collection.removesuffix("s").replace("_", " ")
    return f"{noun} {place.id} of {place.entity}/{place.project}"


def _copy_keys(source: Store, target: Store) -> int:
    """Add the API keys that `target` lacks, and revoke those that are revoked in `source`."""
    there = {key.key_id: key for key in target.list_keys()}
    added = 0
    for key in source.list_keys():
        # One key may have two ids, after two first starts with the same key file.
        found = there.get(key.key_id) or target.find_key(key.key_hash)
        if found is None:
            target.add_key(key)
            added += 1
        elif _lasting(found) != _lasting(key):
            raise Conflict(f"API key {key.key_id} differs in the target; it was not changed")
        elif key.revoked_at and not found.revoked_at:
            target.revoke_key(found.key_id, key.revoked_at)
    return added


def _lasting(key: ApiKey) -> dict[str, object]:
    return {each.name: getattr(key, each.name) for each in fields(key) if each.name not in CHANGING}
