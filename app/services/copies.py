"""Copy everything that one store holds to another, and compare the two."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, fields, replace
from datetime import datetime
from itertools import groupby, takewhile
from operator import itemgetter
from typing import Any, TypeVar

from app import jsontext
from app.errors import Conflict, StoreUnavailable, TooLarge
from app.services.clearing import finish_all
from app.services.lists import up_to
from app.stores.base import DocumentQuery, Kept, ScoreQuery, Store
from app.stores.documents import PRIMARY_KEY, characters
from app.stores.model import DOCUMENTS, ApiKey, Document, Score
from app.stores.weave import SENT_DOCUMENTS

Item = TypeVar("Item")

PAGE = 5_000
PAGE_CHARACTERS = 4 << 20
"""A page ends after PAGE scores, or once their values have about this length together. Small pages
would be slow, because some servers scan all their scores for each page."""

PART = 500
"""How many scores are written to the target at a time."""

ROUNDS = 3
"""How many times the scores that a comparison finds missing are copied. A score may become durable
after the copy has passed its id."""

RETRY_SECONDS = 90.0
"""How long a write is retried. After a copy is killed, a MongoDB server holds the locks of its
transaction for a minute (transactionLifetimeLimitSeconds)."""

CHANGING = {"key_id", "created_at", "revoked_at", "last_used_at"}
"""The fields of an API key that may differ between a store and its copy."""

Place = tuple[str, str, str]
"""Entity, project and id of a score."""

Progress = Callable[[int], None]
"""A callback that gets the number of scores of each page that was copied or compared."""


class Contents:
    """The number of scores or documents of one side, and the SHA-256 of them all, in order."""

    def __init__(self) -> None:
        self.count = 0
        self._hash = hashlib.sha256()

    @property
    def digest(self) -> str:
        """The SHA-256 of everything that was added so far, in hexadecimal digits."""
        return self._hash.hexdigest()

    def add(self, item: Score | Document) -> None:
        """Add one score or document."""
        self.count += 1
        self._hash.update(canonical(item).encode())

    def __eq__(self, other: object) -> bool:
        """Return whether two sides hold the same."""
        if not isinstance(other, Contents):
            return NotImplemented
        return (self.count, self.digest) == (other.count, other.digest)

    __hash__ = None  # type: ignore[assignment]


@dataclass
class StoreDifference:
    """How two stores differ in their scores up to the id `horizon`."""

    horizon: str
    source: Contents = field(default_factory=Contents)
    target: Contents = field(default_factory=Contents)
    missing: list[Place] = field(default_factory=list)
    """The scores that only the source has."""
    extra: list[Place] = field(default_factory=list)
    """The scores that only the target has."""

    @property
    def equal(self) -> bool:
        """Whether both sides hold the same scores."""
        return self.source == self.target


@dataclass
class Copied:
    """The result of a copy: how many scores and keys it added and how many scores it deleted."""

    difference: StoreDifference
    documents: list[CopiedDocuments] = field(default_factory=list)
    """What was done with the documents of each kind."""
    scores: int = 0
    keys: int = 0
    deleted: int = 0
    came_since: int = 0
    """About how many scores the source got during the copy; the next copy adds them."""

    @property
    def equal(self) -> bool:
        """Whether both stores hold the same scores and documents."""
        return self.difference.equal and all(each.equal for each in self.documents)


@dataclass
class CopiedDocuments:
    """The result of copying all documents of one kind, and how the stores differ afterwards."""

    kind: type[Document]
    source: Contents = field(default_factory=Contents)
    target: Contents = field(default_factory=Contents)
    missing: list[str] = field(default_factory=list)
    """The `sort_id` of the documents that only the source has."""
    extra: list[Document] = field(default_factory=list)
    """What only the target has."""
    added: int = 0
    changed: int = 0
    deleted: int = 0

    @property
    def equal(self) -> bool:
        """Whether both sides hold the same documents."""
        return self.source == self.target


def canonical(item: Score | Document) -> str:
    """Return a score or a document as a line of JSON, the same for every kind of store."""
    values = {each.name: getattr(item, each.name) for each in fields(item)}
    for name, value in values.items():
        if isinstance(value, datetime):
            values[name] = value.isoformat()
    return jsontext.write(values) + "\n"


def copy_store(source: Store, target: Store, *, delete_extra: bool, progress: Progress) -> Copied:
    """Copy what `target` lacks from `source`, then compare all scores and documents.

    Only scores up to the newest one at the beginning are copied, so that the copy ends while the
    source is written to. Nothing is overwritten and ids stay the same, so an interrupted copy can
    be repeated. Only what has changed of a prediction or a run, such as its status, is changed in
    the target too. With `delete_extra`, what only the target has is deleted. Raises Conflict if
    anything else differs between the two, and TooLarge if the target cannot store something.

    What a pending deletion of the source covers is not copied; those of the target are finished
    before.
    """
    finish_all(target)
    difference = StoreDifference(source.extent().newest_id or "")
    copied = Copied(difference, keys=_copy_keys(source, target))
    for part in _parts(source, copied.difference.horizon):
        copied.scores += _put(target, part)
        progress(len(part))
    for _ in range(ROUNDS):
        found = compare_stores(source, target, copied.difference.horizon, progress)
        copied.difference = found
        if not found.missing and not (delete_extra and found.extra):
            break
        _repair(source, target, copied, delete_extra=delete_extra)
    copied.documents = [
        copy_documents(source, target, kind, delete_extra=delete_extra)
        for kind in (*DOCUMENTS, *SENT_DOCUMENTS)
    ]
    copied.came_since = max(0, source.extent().count - copied.difference.source.count)
    return copied


def _repair(source: Store, target: Store, copied: Copied, *, delete_extra: bool) -> None:
    for entity, project, score_ids in _ids_in_parts(copied.difference.missing):
        copied.scores += _put(target, list(source.read_scores(entity, project, score_ids)))
    if delete_extra:
        copied.deleted += _delete(source, target, copied.difference.extra)


def compare_stores(
    source: Store, target: Store, horizon: str, progress: Progress
) -> StoreDifference:
    """Compare the scores of two stores up to the id `horizon`.

    Raises Conflict if a score differs, naming it.
    """
    found = StoreDifference(horizon)
    ours_and_theirs = _pairs(_scores(source, horizon, progress), _scores(target, horizon), _place)
    for ours, theirs in ours_and_theirs:
        if ours:
            found.source.add(ours)
        if theirs:
            found.target.add(theirs)
        if ours and theirs:
            _check_same(ours, theirs)
        elif ours:
            found.missing.append(_place(ours))
        elif theirs:
            found.extra.append(_place(theirs))
    return found


def _place(score: Score) -> Place:
    return (score.entity, score.project, score.score_id)


def _pairs(
    left: Iterator[Item], right: Iterator[Item], id_of: Callable[[Item], Any]
) -> Iterator[tuple[Item | None, Item | None]]:
    """Yield what both sides have in pairs with the same id, with None for a missing one."""
    ours, theirs = next(left, None), next(right, None)
    while ours or theirs:
        first = min(id_of(each) for each in (ours, theirs) if each)
        pair = (
            ours if ours and id_of(ours) == first else None,
            theirs if theirs and id_of(theirs) == first else None,
        )
        yield pair
        ours = next(left, None) if pair[0] else ours
        theirs = next(right, None) if pair[1] else theirs


def _parts(store: Store, horizon: str) -> Iterator[list[Score]]:
    """Yield all scores up to the id `horizon`, project by project, in the order of ids."""
    for entity, project in _projects(store):
        query = up_to(ScoreQuery(entity, project, limit=PAGE), horizon)
        while page := _page(store, query):
            query = replace(query, after=page[-1].score_id)
            for first in range(0, len(page), PART):
                yield page[first : first + PART]


def _projects(store: Store) -> Iterator[tuple[str, str]]:
    found = store.next_project(None)
    while found:
        yield found
        found = store.next_project(found)


def _page(store: Store, query: ScoreQuery) -> list[Score]:
    page: list[Score] = []
    characters = 0
    for score in store.scan_scores(query):
        page.append(score)
        characters += len(score.value_json)
        if characters > PAGE_CHARACTERS:
            break
    return page


def _scores(store: Store, horizon: str, progress: Progress = lambda _: None) -> Iterator[Score]:
    for part in _parts(store, horizon):
        yield from part
        progress(len(part))


def _put(target: Store, page: list[Score]) -> int:
    """Add the scores that `target` lacks; return how many were added."""
    outcomes = _retried(lambda: target.add_missing(page, partial=True))
    for score, outcome in zip(page, outcomes, strict=True):
        if outcome.kept is Kept.TOO_LARGE:
            raise TooLarge(f"score {score.score_id}: the target cannot store a score so large")
        if outcome.kept is Kept.KEY_TAKEN:
            raise Conflict(
                f"score {score.score_id} of {score.entity}/{score.project} cannot be added: "
                "another score of the target has its idempotency key"
            )
        if outcome.kept is Kept.ID_TAKEN:
            raise _differs(score)
    return sum(outcome.kept is Kept.CREATED for outcome in outcomes)


def _retried(write: Callable[[], Item]) -> Item:
    """Return what `write` returns, and retry it for RETRY_SECONDS. Raises StoreUnavailable."""
    deadline = time.monotonic() + RETRY_SECONDS
    while True:
        try:
            return write()
        except StoreUnavailable:
            if time.monotonic() > deadline:
                raise


def _check_same(ours: Score, theirs: Score) -> None:
    if canonical(ours) != canonical(theirs):
        raise _differs(ours)


def _differs(score: Score) -> Conflict:
    return Conflict(
        f"score {score.score_id} of {score.entity}/{score.project} differs in the target; "
        "it was not changed"
    )


def _delete(source: Store, target: Store, extra: list[Place]) -> int:
    """Delete scores from `target` after checking once more that `source` does not have them."""
    deleted = 0
    for entity, project, score_ids in _ids_in_parts(extra):
        there = {score.score_id for score in source.read_scores(entity, project, score_ids)}
        left = [score_id for score_id in score_ids if score_id not in there]
        deleted += target.delete_scores(entity, project, left) if left else 0
    return deleted


def _ids_in_parts(places: list[Place]) -> Iterator[tuple[str, str, list[str]]]:
    """Yield entity, project and at most PART ids at a time, from places in order."""
    for (entity, project), some in groupby(places, itemgetter(0, 1)):
        score_ids = [place[2] for place in some]
        for first in range(0, len(score_ids), PART):
            yield entity, project, score_ids[first : first + PART]


# Documents


def copy_documents(
    source: Store, target: Store, kind: type[Document], *, delete_extra: bool
) -> CopiedDocuments:
    """Copy the documents of one kind as `copy_store` does, then compare them."""
    horizon = source.extent(kind).newest_id or ""
    copied = CopiedDocuments(kind)
    for part in _document_parts(_documents(source, kind, horizon)):
        copied.added += _put_documents(target, part, may_differ=delete_extra)
    for _ in range(ROUNDS):
        _compare_documents(source, target, horizon, copied)
        if not copied.missing and not (delete_extra and copied.extra):
            break
        if delete_extra:  # First, because a document may have been created again with the same id.
            copied.deleted += _delete_documents(source, target, copied)
        for first in range(0, len(copied.missing), PART):
            some = DocumentQuery(filters={PRIMARY_KEY: copied.missing[first : first + PART]})
            for part in _document_parts(source.read_documents(kind, some)):
                copied.added += _put_documents(target, part)
    return copied


def _documents(store: Store, kind: type[Document], horizon: str) -> Iterator[Document]:
    found = store.read_documents(kind, DocumentQuery())
    return takewhile(lambda document: document.sort_id <= horizon, found)


def _document_parts(documents: Iterator[Document]) -> Iterator[list[Document]]:
    """Yield parts of PART documents, or of about PAGE_CHARACTERS."""
    part: list[Document] = []
    length = 0
    for document in documents:
        part.append(document)
        length += characters(document)
        if len(part) == PART or length > PAGE_CHARACTERS:
            yield part
            part, length = [], 0
    if part:
        yield part


def _put_documents(target: Store, part: list[Document], *, may_differ: bool = False) -> int:
    """Add the documents that `target` lacks; return how many were added.

    Raises Conflict if one differs. With `may_differ`, nothing of the part is added instead.
    """
    outcomes = _retried(lambda: target.add_documents(part))
    for document, outcome in zip(part, outcomes, strict=True):
        if outcome.kept is Kept.TOO_LARGE:
            raise TooLarge(f"{_name(document)}: the target cannot store one so large")
        if may_differ:
            continue
        if outcome.kept is Kept.KEY_TAKEN or outcome.id != document.id:
            raise Conflict(
                f"{_name(document)} cannot be added: another one of the target has its "
                "idempotency key"
            )
        if outcome.kept is Kept.ID_TAKEN:
            raise _document_differs(document)
    return sum(outcome.kept is Kept.CREATED for outcome in outcomes)


def _compare_documents(source: Store, target: Store, horizon: str, copied: CopiedDocuments) -> None:
    """Compare the documents of two stores, and update changed fields in the target.

    Raises Conflict if other fields differ.
    """
    copied.source, copied.target = Contents(), Contents()
    copied.missing, copied.extra = [], []
    left, right = (_documents(store, copied.kind, horizon) for store in (source, target))
    for ours, found in _pairs(left, right, lambda document: document.sort_id):
        theirs = found
        if ours and theirs and ours != theirs:
            theirs = ours if _change(target, ours, theirs) else None
            copied.changed += theirs is not None
        if ours:
            copied.source.add(ours)
        if theirs:
            copied.target.add(theirs)
        if ours and not theirs:
            copied.missing.append(ours.sort_id)
        if theirs and not ours:
            copied.extra.append(theirs)


def _change(target: Store, ours: Document, theirs: Document) -> bool:
    """Update a document as in the source; return False if the target no longer has it."""
    changes = {name: getattr(ours, name) for name in ours.changing}
    if replace(theirs, **changes) != ours:
        raise _document_differs(ours)
    place = (ours.entity, ours.project, ours.id)
    return _retried(lambda: target.change_document(type(ours), *place, **changes))


def _delete_documents(source: Store, target: Store, copied: CopiedDocuments) -> int:
    """Delete documents from `target` after checking once more that `source` does not have them."""
    deleted = 0
    for each in copied.extra:
        place = (each.entity, each.project)
        found = source.find_document(copied.kind, *place, each.id)
        if found is None or found.sort_id != each.sort_id:
            deleted += target.delete_documents(copied.kind, *place, [each.id])
    return deleted


def _document_differs(document: Document) -> Conflict:
    return Conflict(f"{_name(document)} differs in the target; it was not changed")


def _name(document: Document) -> str:
    noun = document.collection.removesuffix("s").replace("_", " ")
    return f"{noun} {document.id} of {document.entity}/{document.project}"


# API keys


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
