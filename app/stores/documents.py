"""Encode, page, compare and merge documents, for both engines."""

from __future__ import annotations

import hashlib
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from datetime import UTC, datetime
from operator import attrgetter
from typing import Any

from app import jsontext
from app.errors import TooLarge
from app.stores.base import REFUSED, DocumentQuery, Kept, Outcome
from app.stores.listing import Fields
from app.stores.model import UNASSIGNED, AnyDocument, Document, Item
from app.stores.weave import Merge, Projected, ScoreSource

PAGE = 1_000
"""How many documents are read at a time."""

PRIMARY_KEY = "_id"
"""The name of `sort_id` in every engine."""

RANDOM_DIGITS = 8
"""How many digits at the end of a UUIDv7 do not order the ids of one process."""

_TIMES = frozenset(
    {
        *("started_at", "finished_at", "ended_at", "archived_at"),
        *("published_at", "deleted_at", "declared_at"),
    }
)
_BOOLEANS = frozenset({"is_primary"})
_NOT_CONTENT = frozenset(
    {"sort_id", "wb_user_id", "idempotency_key", "body_hash", "retry_hash", "example_key"}
)


class Form:
    """The columns of a kind of document, which are looked up once, and a getter of their values."""

    def __init__(self, kind: type[Document]) -> None:
        names = [each.name for each in fields(kind)]
        self.values: Callable[[Document], tuple[Any, ...]] = attrgetter(*names)
        self.columns = tuple(PRIMARY_KEY if name == "sort_id" else name for name in names)
        self.by_name = sorted((name, position) for position, name in enumerate(self.columns))
        """The columns in the order of their names, with their positions."""


_forms: dict[type[Document], Form] = {}


def form_of(kind: type[Document]) -> Form:
    """Return the form of a kind of document."""
    if kind not in _forms:
        _forms[kind] = Form(kind)
    return _forms[kind]


def columns(kind: type[Document]) -> tuple[str, ...]:
    """Return the names under which an engine stores the fields of a kind of document."""
    return form_of(kind).columns


def encode(document: Document) -> dict[str, Any]:
    """Return texts and integers by column, None where a field is not given."""
    form = form_of(type(document))
    return encode_changes(dict(zip(form.columns, form.values(document), strict=True)))


def encode_changes(changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return some fields as an engine stores them, with times as text and booleans as 0 or 1."""
    return {name: _encoded(value) for name, value in changes.items()}


def _encoded(value: Any) -> Any:
    if isinstance(value, datetime):
        return time_text(value)
    return int(value) if isinstance(value, bool) else value


def characters(document: Document) -> int:
    """Return how many characters the texts of a document have."""
    values = form_of(type(document)).values(document)
    return sum(len(value) for value in values if isinstance(value, str))


def time_text(moment: datetime) -> str:
    """Return UTC in ISO 8601 with microseconds, so that text order is time order."""
    return moment.astimezone(UTC).isoformat(timespec="microseconds")


def decode(kind: type[AnyDocument], values: Mapping[str, Any]) -> AnyDocument:
    """Return the document for values that `encode` returned; absent ones are None.

    Raises ValueError, TypeError and KeyError if the values are damaged.
    """
    given = dict(values)
    sort_id = given.pop(PRIMARY_KEY)
    for name in _TIMES & given.keys():
        if given[name] is not None:
            given[name] = datetime.fromisoformat(given[name])
    for name in _BOOLEANS & given.keys():
        given[name] = bool(given[name])
    return kind(sort_id=sort_id, **given)


def read_in_pages(
    read: Callable[[DocumentQuery], tuple[list[AnyDocument], bool]], query: DocumentQuery
) -> Iterator[AnyDocument]:
    """Yield the documents of `query`, calling `read` for one page after another.

    `read` returns the first documents of a query, and whether it stopped before the query's limit
    because they were large.
    """
    left = query.limit
    while left is None or left > 0:
        size = PAGE if left is None else min(left, PAGE)
        page, cut_off = read(replace(query, limit=size))
        yield from page
        if not page or not (cut_off or len(page) == size):
            return
        if query.newest_first:
            query = replace(query, before=page[-1].sort_id, offset=0)
        else:
            query = replace(query, after=page[-1].sort_id, offset=0)
        left = None if left is None else left - len(page)


def with_free_sort_ids(
    documents: Iterable[Document], find_taken: Callable[[list[str]], set[str]]
) -> list[Document]:
    """Return new documents, with other random digits where their `sort_id` is taken.

    So an export can be imported into a second project of its store, in the same order.
    `find_taken` returns which of some `sort_id` a store has.
    """
    made = list(documents)
    attempt = 0
    while clashing := _clashing(made, find_taken):
        for position in clashing:
            made[position] = _with_other_digits(made[position], attempt)
        attempt += 1
    return made


def _clashing(
    documents: Sequence[Document], find_taken: Callable[[list[str]], set[str]]
) -> list[int]:
    """Return the positions of the documents whose `sort_id` another one has."""
    seen = find_taken([document.sort_id for document in documents])
    found = []
    for position, document in enumerate(documents):
        if document.sort_id in seen:
            found.append(position)
        seen.add(document.sort_id)
    return found


def _with_other_digits(document: AnyDocument, attempt: int) -> AnyDocument:
    seed = jsontext.write([*id_key(document), attempt])
    digits = hashlib.sha256(seed.encode()).hexdigest()[:RANDOM_DIGITS]
    return replace(document, sort_id=document.sort_id[:-RANDOM_DIGITS] + digits)


def find_in_pages(
    find: Callable[[list[str]], tuple[list[AnyDocument], bool]], document_ids: Iterable[str]
) -> Iterator[AnyDocument]:
    """Yield the documents with these ids, calling `find` for PAGE ids after another.

    `find` returns the documents in the order of their ids, and whether those are all.
    """
    left = sorted(set(document_ids))
    while left:
        wanted = left[:PAGE]
        page, is_whole = find(wanted)
        yield from page
        left = left[len(wanted) if is_whole else bisect_right(left, page[-1].id) :]


def read_rows_in_pages(
    read: Callable[[DocumentQuery], tuple[list[Fields], bool]], query: DocumentQuery
) -> Iterator[list[Fields]]:
    """Yield pages of rows that begin with a `sort_id`, calling `read` as `read_in_pages` does."""
    rows, is_cut_off = read(replace(query, limit=PAGE))
    while rows:
        yield rows
        if not (is_cut_off or len(rows) == PAGE):
            return
        query = replace(query, after=rows[-1][0], offset=0)
        rows, is_cut_off = read(replace(query, limit=PAGE))


# Which documents are new

Key = tuple[str, str, str]
"""Entity, project, and an id or an idempotency key."""


def with_ids(documents: Iterable[AnyDocument], make: Callable[[], str]) -> list[AnyDocument]:
    """Return the documents, with ids from `make` for those that have none."""
    return [_with_id(document, make) for document in documents]


def _with_id(document: AnyDocument, make: Callable[[], str]) -> AnyDocument:
    if UNASSIGNED not in (document.sort_id, document.id):
        return document
    sort_id = make() if document.sort_id == UNASSIGNED else document.sort_id
    given = sort_id if document.id == UNASSIGNED else document.id
    return replace(document, id=given, sort_id=sort_id)


def merged(
    sent: Iterable[AnyDocument], stored: Mapping[Key, AnyDocument], merge: Merge[AnyDocument]
) -> dict[Key, AnyDocument]:
    """Return what to store for documents with ids, some of which may have the same one."""
    found: dict[Key, AnyDocument] = {}
    for document in sent:
        key = id_key(document)
        before = found.get(key) or stored.get(key)
        found[key] = merge(before, document) if before else document
    return found


def id_key(document: Document) -> Key:
    """Return entity, project and id."""
    return (document.entity, document.project, document.id)


def idempotency_key(item: Item) -> Key | None:
    """Return entity, project and idempotency key, or None without a key."""
    key = item.idempotency_key
    return None if key is None else (item.entity, item.project, key)


def by_project(keys: Iterable[Key | None]) -> dict[tuple[str, str], list[str]]:
    """Return the distinct ids or idempotency keys, by entity and project."""
    found: dict[tuple[str, str], dict[str, None]] = {}
    for key in keys:
        if key is not None:
            found.setdefault(key[:2], {})[key[2]] = None
    return {project: list(texts) for project, texts in found.items()}


@dataclass
class Stored:
    """The stored documents that the documents of a call are compared with."""

    by_id: dict[Key, str] = field(default_factory=dict)
    """The digests of their content."""
    by_key: dict[Key, tuple[str, str]] = field(default_factory=dict)
    """Their ids and body hashes."""
    new: dict[Key, Document] = field(default_factory=dict)
    """Documents of the call itself, whose digests are seldom needed."""

    def add(self, document: Document) -> None:
        """Add a document that is stored."""
        self.by_id[id_key(document)] = _digest(document)
        self._add_key(document)

    def add_new(self, document: Document) -> None:
        """Add a document that the call adds."""
        self.new[id_key(document)] = document
        self._add_key(document)

    def _add_key(self, document: Document) -> None:
        if key := idempotency_key(document):
            self.by_key[key] = (document.id, document.body_hash)

    def digest_of(self, key: Key) -> str | None:
        """Return the digest of the document with an id, or None if there is none."""
        return _digest(self.new[key]) if key in self.new else self.by_id.get(key)


def _digest(document: Document) -> str:
    """Return the SHA-256 of the content that never changes."""
    left_out = document.changing | _NOT_CONTENT
    content = {name: value for name, value in encode(document).items() if name not in left_out}
    del content[PRIMARY_KEY]
    return hashlib.sha256(jsontext.write(content).encode()).hexdigest()


def outcomes_of(
    documents: Sequence[Document],
    stored: Stored,
    is_too_large: Callable[[Document], bool],
    *,
    partial: bool,
) -> list[Outcome]:
    """Return an outcome for each document of a call, with CREATED for those to add.

    All documents have ids. The new ones are added to `stored`. With `partial`, a refused document
    holds back no other.
    """
    outcomes = [_outcome(document, stored, is_too_large) for document in documents]
    if partial or not any(outcome.kept in REFUSED for outcome in outcomes):
        return outcomes
    new = {outcome.id for outcome in outcomes if outcome.kept is Kept.CREATED}
    return [
        replace(outcome, kept=Kept.HELD_BACK)
        if outcome.id in new and outcome.kept not in REFUSED
        else outcome
        for outcome in outcomes
    ]


def _outcome(
    document: Document, stored: Stored, is_too_large: Callable[[Document], bool]
) -> Outcome:
    key = idempotency_key(document)
    if key in stored.by_key:
        first, body_hash = stored.by_key[key]
        same = document.body_hash == body_hash
        return Outcome(Kept.REPLAYED if same else Kept.KEY_TAKEN, first)
    digest = stored.digest_of(id_key(document))
    if digest is not None:
        same = _digest(document) == digest
        return Outcome(Kept.PRESENT if same else Kept.ID_TAKEN, document.id)
    if is_too_large(document):
        return Outcome(Kept.TOO_LARGE, document.id)
    stored.add_new(document)
    return Outcome(Kept.CREATED, document.id)


# Sources of scores


def sources_are_known(projected: Iterable[Projected], stored: Iterable[Document]) -> bool:
    """Return whether the stored sources of scores are the ones that are known."""
    hashes = {id_key(each): each.body_hash for each in stored}
    return all(hashes.get(id_key(each.source)) == each.known_hash for each in projected)


def with_score_ids(
    projected: Iterable[Projected], outcomes: Iterable[Outcome]
) -> list[ScoreSource]:
    """Return the sources, with the ids of the scores that were added. Raises TooLarge."""
    sources = []
    for each, outcome in zip(projected, outcomes, strict=True):
        if outcome.kept is not Kept.CREATED:
            raise TooLarge("The score is too large for the store")
        sources.append(replace(each.source, score_id=outcome.id))
    return sources
