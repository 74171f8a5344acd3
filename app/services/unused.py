"""Find and delete objects, tables, rows and files that nothing in their project refers to."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime

from app.ids import first_id_at, utc_text
from app.services.audit import audited
from app.services.clearing import PAGE
from app.stores.base import DocumentQuery, Store
from app.stores.documents import encode, time_text
from app.stores.model import ApiKey, Document, EvaluationRun, Prediction
from app.stores.weave import Alias, Call, Content, Feedback, ObjectVersion, without_value

_WORD = re.compile("[0-9A-Za-z]{43,}")
_LENGTHS = (43, 64)
"""How many characters the digests of Weave and those of tables have."""

_BITS = 27
_PLACES = 1 << _BITS

REFERRING: tuple[type[Document], ...] = (Call, Feedback, EvaluationRun, Prediction, Alias)
"""What refers to objects, rows and files, and is no object itself."""

KINDS = ("table", "row", "file")
"""The kinds of contents, each before what it refers to."""


@dataclass
class Unused:
    """How much nothing refers to; it was deleted, or only counted."""

    objects: int = 0
    """Versions of objects."""
    tables: int = 0
    rows: int = 0
    files: int = 0

    def add(self, other: Unused) -> None:
        """Add what another project has."""
        for name, number in vars(other).items():
            setattr(self, name, getattr(self, name) + number)


class Digests:
    """A set of digests in 16 MiB, however many they are.

    It may say of a few others that they are in it, so that they are kept.
    """

    def __init__(self) -> None:
        self._bits = bytearray(_PLACES // 8)
        self.size = 0

    def __contains__(self, digest: str) -> bool:
        return all(self._bits[place >> 3] >> (place & 7) & 1 for place in _places(digest))

    def add_all_in(self, texts: Iterable[str]) -> None:
        """Add whatever looks like a digest, also if it is not one or another server's."""
        for text in texts:
            for word in _WORD.findall(text):
                for length in _LENGTHS:
                    # An escape may come before it, such as %3A.
                    self._add(word[:length])
                    self._add(word[-length:])

    def _add(self, digest: str) -> None:
        if digest not in self:
            self.size += 1
            for place in _places(digest):
                self._bits[place >> 3] |= 1 << (place & 7)


def _places(digest: str) -> tuple[int, int]:
    number = hash(digest)
    return number & (_PLACES - 1), number >> _BITS & (_PLACES - 1)


def prune_unused(
    store: Store, entity: str, project: str, moment: datetime, caller: ApiKey, *, delete: bool
) -> Unused:
    """Count or delete what is older than a moment and unused in a project."""
    collector = Collector(store, entity, project, moment)
    if not delete:
        return collector.run(delete=False)
    target = {"entity": entity, "project": project, "before": utc_text(moment)}
    with audited("store.prune_objects", caller, target) as results:
        found = collector.run(delete=True)
        results.update(asdict(found))
    return found


@dataclass(frozen=True)
class Collector:
    """Counts or deletes what is older than `moment` and unused in a project.

    A version of an object is as old as its last publication. It is used if a call, feedback, a run,
    a prediction, a scorer or an alias has its digest, if it has tags, or if something that is used
    or younger refers to it. Tables, rows and files are used if any of these refers to them.
    """

    store: Store
    entity: str
    project: str
    moment: datetime

    def run(self, *, delete: bool) -> Unused:
        """Return how much is unused; with `delete`, it is gone, objects first, files last."""
        used = self._find_used()
        found = Unused()
        for page in self._old_versions(used):
            found.objects += len(page)
            if delete:
                self._empty(page)
        for kind in KINDS:
            number = 0
            for page in self._old_contents(kind, used):
                number += len(page)
                if delete:
                    self.store.delete_documents(Content, self.entity, self.project, page)
            setattr(found, f"{kind}s", number)
        return found

    def _query(self, before: str | None = None) -> DocumentQuery:
        return DocumentQuery(self.entity, self.project, before=before)

    def _find_used(self) -> Digests:
        used, size = Digests(), -1
        for kind in REFERRING:
            for document in self.store.read_documents(kind, self._query()):
                used.add_all_in(_texts(document))
        used.add_all_in(each.name for each in self.store.list_scorers(self.entity, self.project))
        while used.size > size:  # Until what is used refers to nothing more.
            size = used.size
            for version in self.store.read_documents(ObjectVersion, self._query()):
                if self._is_kept(version, used):
                    used.add_all_in([version.digest, version.value_json])
            self._add_contents(used)
        return used

    def _is_kept(self, version: ObjectVersion, used: Digests) -> bool:
        is_young = version.published_at >= self.moment
        return is_young or version.tags_json is not None or version.digest in used

    def _add_contents(self, used: Digests) -> None:
        """Add what tables and rows refer to that are used or young; a file refers to nothing."""
        before = first_id_at(self.moment)
        for page in self.store.read_fields(Content, self._query(), ("id",)):
            ids = [
                content_id
                for sort_id, content_id in page
                if not content_id.startswith("file/")
                and (sort_id >= before or content_id.partition("/")[2] in used)
            ]
            for content in self.store.find_documents(Content, self.entity, self.project, ids):
                used.add_all_in([content.text])

    def _old_versions(self, used: Digests) -> Iterator[list[str]]:
        """Yield pages of the ids of unused versions that still have a value."""
        names = ("id", "digest", "published_at", "deleted_at", "tags_json")
        for page in self.store.read_fields(ObjectVersion, self._query(), names):
            yield [
                version_id
                for _, version_id, digest, published_at, deleted_at, tags_json in page
                if deleted_at is None
                and tags_json is None
                and published_at < time_text(self.moment)
                and digest not in used
            ]

    def _empty(self, version_ids: list[str]) -> None:
        """Take the values of versions; the numbers of others must not change."""
        now = datetime.now(UTC)

        def merge(stored: ObjectVersion, _sent: ObjectVersion) -> ObjectVersion:
            is_young = stored.published_at >= self.moment  # Published again since.
            return stored if is_young or stored.tags_json else without_value(stored, now)

        for first in range(0, len(version_ids), PAGE):
            ids = version_ids[first : first + PAGE]
            found = self.store.find_documents(ObjectVersion, self.entity, self.project, ids)
            self.store.upsert_documents(list(found), merge)

    def _old_contents(self, kind: str, used: Digests) -> Iterator[list[str]]:
        """Yield pages of the ids of unused tables, rows or files."""
        query = self._query(first_id_at(self.moment))
        for page in self.store.read_fields(Content, query, ("id",)):
            yield [
                content_id
                for _, content_id in page
                if content_id.startswith(f"{kind}/") and content_id.partition("/")[2] not in used
            ]


def _texts(document: Document) -> Iterator[str]:
    return (value for value in encode(document).values() if isinstance(value, str))
