"""The contract of a store: what it keeps, what it is asked, what it raises."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from app.stores.checks import CheckResult

Leaf = dict[str, Any]
"""One scalar of a value: path, kind, and number or text."""

Leaves = list[Leaf]


@dataclass(frozen=True, slots=True)
class Score:
    """One stored judgement, in the words of the document that every store keeps.

    `value_json` is the value as JSON text, `created_at` is UTC in whole milliseconds.
    """

    score_id: str
    entity: str
    project: str
    evaluation_run_id: str | None
    prediction_id: str
    scorer: str
    value_json: str
    leaves: Leaves
    wb_user_id: str | None
    created_at: datetime
    idempotency_key: str | None
    body_hash: str
    retry_hash: str | None = None
    """What a retry without a key is recognised by: the API key and the content, hashed."""


@dataclass(frozen=True, slots=True)
class KeyedScore:
    """What a score that was sent with an idempotency key is recognised by."""

    score_id: str
    body_hash: str


@dataclass(frozen=True, slots=True)
class ScoreQuery:
    """Which scores of one project, in the order of their ids.

    A filter that is None lets all through. `after` and `before` are ids that the scores lie
    between, themselves left out; `offset` skips, `limit` bounds.
    """

    entity: str
    project: str
    evaluation_run_id: str | None = None
    prediction_id: str | None = None
    scorer: str | None = None
    after: str | None = None
    before: str | None = None
    offset: int = 0
    limit: int = 1000


FIELDS = ("score_id", "prediction_id", "scorer", "evaluation_run_id", "day", "hour")
"""What may be asked of a score beside its leaves; day and hour are those of its `created_at`."""

Key = tuple[str | None, ...]
"""What was asked of a score, or what several have in common."""


@dataclass(frozen=True, slots=True)
class Tally:
    """Scores that have `key` in common: how many more they are, and their leaves.

    Each leaf stands for as many as `counts` says at its place.
    """

    key: Key
    scores: int
    leaves: Leaves
    counts: list[int]


@dataclass(frozen=True, slots=True)
class ApiKey:
    """Who may do what, where; the key itself is kept as a SHA-256 only.

    Moments are UTC in whole milliseconds. From `expires_at` on the key is nobody's; `last_used_at`
    is coarse.
    """

    key_id: str
    name: str
    role: str
    scope: str
    owner: str
    key_hash: str
    created_at: datetime
    revoked_at: datetime | None = None
    expires_at: datetime | None = None
    last_used_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Extent:
    """How large a store is: about how many scores it holds, and the highest of their ids."""

    scores: int
    newest_id: str | None


class Store(Protocol):
    """Where scores and API keys are kept.

    Every method may raise StoreUnavailable, and nothing of a database driver. A method that writes
    returns when its data is durable. All methods may be called from any thread, and a store that
    was opened before a fork works after it.
    """

    def prepare(self) -> None:
        """Make what the store needs (tables, indexes), or bring it up to this version.

        May be repeated. Raises StoreRefused when the store is not ours or newer than we know.
        """

    def ping(self) -> None:
        """Return when the store answers a real question."""

    def check(self) -> Iterator[CheckResult]:
        """What is well with the store and what is not, check by check; nothing is changed.

        What does not answer is a finding, not an error.
        """

    def add_score(self, score: Score) -> None:
        """Keep one score. Raises Conflict when its id is taken, TooLarge when it does not fit."""

    def add_scores(self, scores: Sequence[Score]) -> None:
        """Keep many scores. Raises Conflict when one of their ids is taken, and TooLarge.

        Where the engine has transactions all are kept or none; a store says so where it has not.
        """

    def find_score(self, entity: str, project: str, score_id: str) -> Score | None:
        """One score of one project."""

    def list_score_ids(self, query: ScoreQuery) -> list[str]:
        """The ids of the scores that `query` asks for, oldest first, from an index alone."""

    def read_scores(self, score_ids: Sequence[str]) -> Iterator[Score]:
        """The scores with these ids, in the ids' order, read one by one as they are asked for.

        Ids that are not there any more are passed over; none at all is nothing.
        """

    def read_leaves(
        self, query: ScoreQuery, fields: Sequence[str]
    ) -> Iterator[tuple[list[Key], list[Leaves]]]:
        """What `fields` asks of each score of a query, and its leaves, page by page.

        In the order of their ids. A field is one of FIELDS; `limit` and `offset` are not heeded.
        """

    def tally_leaves(self, query: ScoreQuery, fields: Sequence[str]) -> Iterator[Tally]:
        """The same, counted by what `fields` asks: many tallies may have the same key."""

    def find_keyed(
        self, entity: str, project: str, idempotency_keys: Sequence[str]
    ) -> dict[str, KeyedScore]:
        """The durable scores of one project that were sent with these keys, by key."""

    def find_retried(self, entity: str, project: str, retry_hash: str, after: str) -> str | None:
        """The newest durable score of one project with this hash and an id above `after`."""

    def delete_scores(self, entity: str, project: str, score_ids: Sequence[str]) -> int:
        """Delete scores of one project; how many of them were there."""

    def extent(self) -> Extent:
        """How many scores of all projects there are, about, and the highest of their ids."""

    def scan_scores(self, after: str, limit: int) -> Iterator[Score]:
        """At most `limit` durable scores of all projects with ids above `after`, in their order.

        They are read one by one, as they are asked for.
        """

    def add_key(self, key: ApiKey) -> None:
        """Keep one API key. Raises Conflict when its id or hash is taken."""

    def find_key(self, key_hash: str) -> ApiKey | None:
        """The API key with this hash, revoked or not."""

    def list_keys(self) -> list[ApiKey]:
        """All API keys, oldest first, revoked ones too."""

    def revoke_key(self, key_id: str, revoked_at: datetime) -> bool:
        """Mark an API key as revoked; False when there is none or it was revoked before."""

    def note_key_uses(self, uses: Mapping[str, datetime]) -> None:
        """Note when API keys were last used, by key id.

        What is noted already and later stays; ids that are not there are passed over.
        """

    def close(self) -> None:
        """Let go of connections; the store is not used afterwards."""
