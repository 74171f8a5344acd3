"""The contract of a store: its queries, its outcomes and its methods."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Any, NamedTuple, Protocol

from app.stores.checks import CheckResult
from app.stores.deletions import Deletions
from app.stores.keys import Keys
from app.stores.listing import Fields, Listing
from app.stores.model import AnyDocument, Document, Leaves, Score
from app.stores.weave import Feedback, Merge, Projected


class Kept(Enum):
    """What a store did with a score or a document."""

    CREATED = "created"
    REPLAYED = "replayed"
    """The same score or document already exists, under the same idempotency key."""
    PRESENT = "present"
    """The same score or document already exists, under the same id."""
    ID_TAKEN = "id taken"
    """A different one has its id."""
    KEY_TAKEN = "key taken"
    """A different one has its idempotency key."""
    TOO_LARGE = "too large"
    HELD_BACK = "held back"
    """It was not stored because another one of the same call was refused."""


REFUSED = frozenset({Kept.ID_TAKEN, Kept.KEY_TAKEN, Kept.TOO_LARGE})


@dataclass(frozen=True, slots=True)
class SharedKey:
    """The idempotency key of a whole call.

    The keys of all its scores and documents begin with `prefix`, and their `body_hash` is the same.
    """

    entity: str
    project: str
    prefix: str
    body_hash: str

    @property
    def bounds(self) -> tuple[str, str]:
        """Two texts between which are the keys that begin with `prefix`."""
        return self.prefix, f"{self.prefix}~"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a store did with one score or document, and the id of the stored one.

    `id` is that of the new one or of the existing one that it was compared with, and UNASSIGNED if
    there is none.
    """

    kept: Kept
    id: str


@dataclass(frozen=True, slots=True)
class Changes:
    """Scores in the order in which they became visible, and the cursor to continue with."""

    scores: list[Score]
    cursor: str


START = "start"
"""The cursor of the beginning of a project."""


@dataclass(frozen=True, slots=True)
class ScoreQuery:
    """Filters and bounds for the scores of one project, in the order of their ids.

    A filter that is None matches all. `after` and `before` are exclusive bounds of the ids. With
    `only_current`, superseded scores do not match; the other filters do not change which these are.
    With `newest_first`, ids are listed in the reverse order. `as_of` is a bound that `as_of_now`
    sets: scores that were stored after it do not match, and supersede none.
    """

    entity: str
    project: str
    evaluation_run_id: str | None = None
    prediction_id: str | None = None
    scorer: str | None = None
    scorer_name: str | None = None
    only_current: bool = False
    as_of: str | None = None
    after: str | None = None
    before: str | None = None
    offset: int = 0
    limit: int = 1000
    newest_first: bool = False

    @property
    def has_part_of_slots(self) -> bool:
        """Whether some scores of a slot may match and others not."""
        return any(each is not None for each in (self.scorer, self.after, self.before))


def behind(query: ScoreQuery, score_id: str) -> ScoreQuery:
    """Return the query of the scores that follow a score in the order of `query`."""
    if query.newest_first:
        return replace(query, offset=0, before=score_id)
    return replace(query, offset=0, after=score_id)


@dataclass(frozen=True, slots=True)
class DocumentQuery:
    """Filters and bounds for the documents of one kind, in the order of their `sort_id`.

    Without entity and project it is for all projects. `filters` has the allowed values of fields by
    name. `after` and `before` are exclusive bounds of `sort_id`. `limit` may be None for no limit.
    With `failed`, only predictions with an error match.
    With `newest_first`, the order is reversed.
    """

    entity: str | None = None
    project: str | None = None
    filters: Mapping[str, Sequence[str]] = field(default_factory=dict)
    after: str | None = None
    before: str | None = None
    offset: int = 0
    limit: int | None = None
    failed: bool = False
    newest_first: bool = False


FIELDS = (
    "score_id",
    "prediction_id",
    "scorer",
    "scorer_name",
    "evaluation_run_id",
    "annotator",
    "value_json",
    "day",
    "hour",
)
"""The fields that can be read with a score's leaves; day and hour are those of `created_at`."""

Key = tuple[str | None, ...]
"""The values of the fields that were read, of one score or of all scores in a tally."""


class LeafPage(NamedTuple):
    """The fields and the leaves of some scores, in the same order."""

    keys: list[Key]
    leaves: list[Leaves]
    superseded: Counter[Key]
    """By their fields, how many superseded scores were left out among these scores."""


@dataclass(frozen=True, slots=True)
class Tally:
    """A number of scores with the same `key`, and their distinct leaves.

    `counts` says how often each leaf occurs. Several tallies of one key add up.
    """

    key: Key
    scores: int
    leaves: Leaves
    counts: list[int]
    superseded: int = 0
    """How many more scores with this key were left out, because they are superseded."""


@dataclass(frozen=True, slots=True)
class Extent:
    """About how many scores or documents a store holds, and the highest id among them."""

    count: int
    newest_id: str | None


class Store(Deletions, Keys, Listing, Protocol):
    """Where scores, predictions, evaluation runs and API keys are kept.

    Every method may raise StoreUnavailable, and nothing of a database driver. A method that writes
    returns when its data is durable. All methods may be called from any thread, and a store that
    was opened before a fork works after it. An iterator keeps no transaction or cursor open
    while its caller does something else.
    """

    def prepare(self) -> None:
        """Create the tables and indexes, or migrate them to this version.

        May be called again. Raises StoreRefused if the store is not one of Scoreline's, or was
        written by a newer version.
        """

    def ping(self) -> None:
        """Return once the store answers a query and a write could begin."""

    def check(self) -> Iterator[CheckResult]:
        """Check the store and yield each result; change nothing.

        A store that does not answer is a result, not an error.
        """

    def add_score(self, score: Score) -> Outcome:
        """Add one score as `add_missing` does, in one commit with those of other threads."""

    def add_missing(self, scores: Sequence[Score], *, partial: bool) -> list[Outcome]:
        """Add the scores that are not stored yet, in one transaction; return an outcome for each.

        A score whose idempotency key is stored in its project is PRESENT if the `body_hash` is the
        same, and otherwise KEY_TAKEN. A score whose id is stored is PRESENT if the content is the
        same, and otherwise ID_TAKEN. If several scores of a call have the same id or key, the first
        is added and the others are compared with it. Only durable scores are PRESENT.

        With `partial`, all scores that are not refused are added. Without it, no score is added if
        one is refused, and the others are HELD_BACK. A store without transactions logs that when it
        starts; there, some scores may have been added when StoreUnavailable is raised.
        """

    def read_changes(
        self, entity: str, project: str, cursor: str | None, limit: int, wait: float
    ) -> Changes:
        """Return the scores of a project that became visible after `cursor`, oldest first.

        Without a cursor it begins now, and with START at the beginning. It returns at most `limit`
        scores, or fewer if they are large. If there is none, it waits for one, for at most `wait`
        seconds. Raises CursorExpired, InvalidParameter and Unsupported.
        """

    def find_score(self, entity: str, project: str, score_id: str) -> Score | None:
        """Return one score of one project, or None."""

    def as_of_now(self, query: ScoreQuery) -> ScoreQuery:
        """Return the query with `as_of` set to this moment, unless it is set.

        With it, several reads agree on which scores there are, and which of these are current. On
        MongoDB the bound is the highest id, so a score with a lower one that becomes visible later,
        such as an imported one, is not left out. What is deleted is missing at once.
        """

    def list_score_ids(self, query: ScoreQuery) -> list[str]:
        """Return the ids of the scores of a query, in order, using only an index."""

    def read_scores(
        self,
        entity: str,
        project: str,
        score_ids: Sequence[str],
        *,
        newest_first: bool = False,
    ) -> Iterator[Score]:
        """Yield the scores of one project with these ids that exist, in the order of ids.

        With `newest_first`, the order is reversed.
        """

    def find_superseding(self, scores: Sequence[Score]) -> dict[str, str]:
        """Return the id of the current score of the slot of each superseded one, by its id.

        The scores are of one project.
        """

    def read_slot(self, score: Score) -> Iterator[Score]:
        """Yield all scores of the slot of a score, newest first: the current one, then others."""

    def read_leaves(self, query: ScoreQuery, fields: Sequence[str]) -> Iterator[LeafPage]:
        """Yield pages of `fields` and leaves of each score of a query, in the order of ids.

        A field is one of FIELDS; the query's `limit` and `offset` are ignored. All pages are as of
        the first.
        """

    def tally_leaves(self, query: ScoreQuery, fields: Sequence[str]) -> Iterator[Tally]:
        """Yield the same leaves, counted by `fields`; several tallies may have the same key."""

    def tally_single(
        self, query: ScoreQuery, fields: Sequence[str], by: Sequence[str]
    ) -> Iterator[Tally]:
        """Yield the same tallies, faster, as long as no two scores have the same fields `by`.

        These are fields of a slot, with the prediction; `value_json` is none of the others. Raises
        Repeated at the first two.
        """

    def score_revision(self, entity: str, project: str, evaluation_run_id: str) -> str:
        """Return a text that changes whenever a score of a run is added or deleted."""

    def find_retried(self, score: Score, after: str) -> str | None:
        """Return the id of the newest durable score that `score` repeats, if there is one.

        That is one with an id above `after` and the same prediction and `retry_hash`.
        """

    def find_replayed(self, scores: Sequence[Score]) -> list[bool]:
        """Return of each score whether one with its idempotency key and `body_hash` is stored."""

    def delete_scores(self, entity: str, project: str, score_ids: Sequence[str]) -> int:
        """Delete scores of one project and return how many of them existed."""

    def extent(self, kind: type[Score | Document] = Score) -> Extent:
        """Return about how many scores or documents all projects hold, and the highest id.

        The id of a document is its `sort_id` here.
        """

    def next_project(self, after: tuple[str, str] | None) -> tuple[str, str] | None:
        """Return entity and project of the first scores after those of `after`, or None."""

    def scan_scores(self, query: ScoreQuery) -> Iterator[Score]:
        """Yield the scores of a query as `read_scores` does, but only durable ones."""

    def add_documents(self, documents: Sequence[Document]) -> list[Outcome]:
        """Add documents of one kind, all or none of them; return an outcome for each.

        A document whose idempotency key is stored in its project is PRESENT if the `body_hash` is
        the same, and otherwise KEY_TAKEN. A document without a key whose id is stored in its
        project is PRESENT if the content is the same, apart from fields that change. Any other one
        whose id is stored is ID_TAKEN. If several documents of a call have the same id or key, the
        first is added and the others are compared with it. If one is refused, none is added, and
        the new ones are HELD_BACK. On a store without transactions, some may have been added when
        StoreUnavailable is raised.
        """

    def add_accepted(
        self,
        groups: Sequence[Sequence[Document]],
        scores: Sequence[Score],
        shared_key: SharedKey | None = None,
    ) -> tuple[list[list[Outcome]], list[Outcome]]:
        """Add the documents and scores that are not refused, all in one transaction.

        Each group has one or more documents of one kind. The outcomes are those of `add_documents`
        and `add_missing`, but nothing is HELD_BACK. If another document has a given `sort_id`, the
        new one gets other random digits in it. On a store without transactions, some may have been
        added when StoreUnavailable is raised.
        """

    def upsert_documents(
        self, documents: Sequence[AnyDocument], merge: Merge[AnyDocument]
    ) -> list[AnyDocument]:
        """Add the documents of one kind; where the id of one is stored, store what `merge` returns.

        Returns what is stored afterwards, in the order given. Each document is changed atomically;
        `merge` may be called several times. If several have the same id, they are merged in order.
        Raises TooLarge if a document is too large; then some others may have been stored.
        """

    def add_projected(
        self, projected: Sequence[Projected], feedback: Sequence[Feedback] = ()
    ) -> bool:
        """Add scores in the order given and change their sources, in one transaction.

        `feedback`, of one project, no longer waits for its calls, unless it has changed.
        Returns False, and stores nothing, if a stored source is not the one that is known. Raises
        TooLarge. On a store without transactions, some may have been added when StoreUnavailable
        is raised.
        """

    def find_document(
        self, kind: type[AnyDocument], entity: str, project: str, document_id: str
    ) -> AnyDocument | None:
        """Return one document of one project, or None."""

    def find_documents(
        self, kind: type[AnyDocument], entity: str, project: str, document_ids: Sequence[str]
    ) -> Iterator[AnyDocument]:
        """Yield the documents of one project with these ids that exist, in the order of ids."""

    def find_retried_document(
        self, kind: type[AnyDocument], entity: str, project: str, retry_hash: str, after: str
    ) -> AnyDocument | None:
        """Return the newest durable document with this hash and a `sort_id` above `after`."""

    def list_sort_ids(self, kind: type[Document], query: DocumentQuery) -> list[str]:
        """Return the `sort_id` of the documents of a query, in order."""

    def read_documents(
        self, kind: type[AnyDocument], query: DocumentQuery
    ) -> Iterator[AnyDocument]:
        """Yield the documents of a query, in order; those of all projects if they are durable."""

    def read_fields(
        self, kind: type[Document], query: DocumentQuery, names: Sequence[str]
    ) -> Iterator[list[Fields]]:
        """Yield pages of the `sort_id` and some fields of the documents of a query, in order.

        Times are texts of UTC in ISO 8601 with microseconds, whose order is that of time. Damage is
        not noticed. The query's `limit` is ignored.
        """

    def change_document(
        self, kind: type[Document], entity: str, project: str, document_id: str, **changes: Any
    ) -> bool:
        """Set some of the `changing` fields of a document; return False if there is none."""

    def delete_documents(
        self, kind: type[Document], entity: str, project: str, document_ids: Sequence[str]
    ) -> int:
        """Delete documents of one project and return how many of them existed."""

    def close(self) -> None:
        """Close every connection of this process, and soon end each wait of `read_changes`.

        If the store is used again, it opens new connections. A concurrent call in another thread
        may raise StoreUnavailable.
        """
