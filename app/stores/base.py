"""The contract of a store: the documents it keeps, its verbs and the errors they raise."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Any, Protocol

from app.stores.checks import CheckResult

Leaf = dict[str, Any]
"""One scalar of a value: path, kind, and number or text."""

Leaves = list[Leaf]


UNASSIGNED = ""
"""The `score_id` of a score that gets its id from the store."""


@dataclass(frozen=True, slots=True)
class Score:
    """One judgement, in the words of the document that every store keeps.

    `value_json` is the value as JSON text, `created_at` is UTC in whole milliseconds. Where
    `score_id` is UNASSIGNED, the store makes it, and `created_at` becomes the time in it.
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
    """What identifies a retry without a key: the API key and the content, hashed."""


class Kept(Enum):
    """What a store did with a score."""

    CREATED = "created"
    PRESENT = "present"
    """The same score is stored already, under the same id or idempotency key."""
    ID_TAKEN = "id taken"
    """Another score has its id."""
    KEY_TAKEN = "key taken"
    """A score with other content has its idempotency key."""
    TOO_LARGE = "too large"
    HELD_BACK = "held back"
    """Nothing is wrong with it, but another score of the same call was refused."""


REFUSED = frozenset({Kept.ID_TAKEN, Kept.KEY_TAKEN, Kept.TOO_LARGE})


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one score.

    `score_id` is the id of the score that is stored: the new one, or the one that was there. It is
    UNASSIGNED where none is.
    """

    kept: Kept
    score_id: str


@dataclass(frozen=True, slots=True)
class Changes:
    """Scores in the order in which they became visible, and the cursor to go on with."""

    scores: list[Score]
    cursor: str


START = "start"
"""The cursor that stands for the beginning of a project."""


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
    created_by: str | None = None
    """The key_id of who made it; None for keys from before this was kept."""


@dataclass(frozen=True, slots=True)
class Extent:
    """About how many scores a store holds, and the highest of their ids."""

    scores: int
    newest_id: str | None


class Store(Protocol):
    """Where scores and API keys are kept.

    Every method may raise StoreUnavailable, and nothing of a database driver. A method that writes
    returns when its data is durable. All methods may be called from any thread, and a store that
    was opened before a fork works after it. An iterator keeps no transaction or cursor open
    while its caller does something else.
    """

    def prepare(self) -> None:
        """Make the tables and indexes, or bring them up to this version.

        May be repeated. Raises StoreRefused when the store is not ours or newer than this program.
        """

    def ping(self) -> None:
        """Return when the store answers a real question, and a write could begin."""

    def check(self) -> Iterator[CheckResult]:
        """Check the store and yield each result; change nothing.

        A store that does not answer is a result, not an error.
        """

    def add_score(self, score: Score) -> Outcome:
        """Add one score, in one commit with those of other threads; see `add_missing`."""

    def add_missing(self, scores: Sequence[Score], *, partial: bool) -> list[Outcome]:
        """Add the scores that are not stored yet, in one transaction; return an outcome for each.

        A score whose idempotency key is stored in its project is PRESENT when the `body_hash` is
        the same, and else KEY_TAKEN. A score whose id is stored is PRESENT when the content is the
        same, and else ID_TAKEN. Of scores with one id or key in the same call the first is added,
        and the others are compared with it. PRESENT is said of durable scores only.

        With `partial`, the refused scores are left out and all others are added. Without it, one
        refused score keeps back all: the others are HELD_BACK. A store without transactions says
        so when it starts; there StoreUnavailable may leave some of the scores added.
        """

    def read_changes(
        self, entity: str, project: str, cursor: str | None, limit: int, wait: float
    ) -> Changes:
        """Return the scores of a project that became visible after `cursor`, oldest first.

        Without a cursor it begins now, with START at the beginning. At most `limit` scores, fewer
        where they are large. Where there is none it waits for one, `wait` seconds at most. Raises
        CursorExpired, InvalidParameter and Unsupported.
        """

    def find_score(self, entity: str, project: str, score_id: str) -> Score | None:
        """Return one score of one project."""

    def list_score_ids(self, query: ScoreQuery) -> list[str]:
        """Return the ids of the scores of a query, in order, from an index alone."""

    def read_scores(self, score_ids: Sequence[str]) -> Iterator[Score]:
        """Yield the scores with these ids, in the ids' order; pass over those that are gone."""

    def read_leaves(
        self, query: ScoreQuery, fields: Sequence[str]
    ) -> Iterator[tuple[list[Key], list[Leaves]]]:
        """Yield `fields` and leaves of each score of a query, page by page, in the ids' order.

        A field is one of FIELDS; the query's `limit` and `offset` are ignored.
        """

    def tally_leaves(self, query: ScoreQuery, fields: Sequence[str]) -> Iterator[Tally]:
        """Yield the same, counted by `fields`: several tallies may have one key."""

    def find_retried(self, entity: str, project: str, retry_hash: str, after: str) -> str | None:
        """Return the newest durable score of a project with this hash and an id above `after`."""

    def delete_scores(self, entity: str, project: str, score_ids: Sequence[str]) -> int:
        """Delete scores of one project; return how many of them were there."""

    def extent(self) -> Extent:
        """Return about how many scores there are in all projects, and the highest id."""

    def scan_scores(self, after: str, limit: int) -> Iterator[Score]:
        """Yield at most `limit` durable scores of all projects with ids above `after`, in order."""

    def add_key(self, key: ApiKey) -> None:
        """Add one API key. Raises Conflict when its id or hash is taken."""

    def find_key(self, key_hash: str) -> ApiKey | None:
        """Return the API key with this hash, revoked or not."""

    def list_keys(self, after: str = "", limit: int | None = None) -> list[ApiKey]:
        """Return API keys with ids above `after`, oldest first, at most `limit`, revoked or not."""

    def count_keys(self, in_use_at: datetime | None = None) -> int:
        """Return how many API keys there are, or how many may be used at `in_use_at`."""

    def revoke_key(self, key_id: str, revoked_at: datetime) -> bool:
        """Mark an API key as revoked; return False when there is none or it was revoked before."""

    def note_key_uses(self, uses: Mapping[str, datetime]) -> None:
        """Note when API keys were last used, by key id.

        A later time that is noted already stays; ids that are not there are passed over.
        """

    def close(self) -> None:
        """Close every connection of this process, and end each wait of `read_changes` soon.

        The store opens new connections if it is used again. A call that is under way in another
        thread may raise StoreUnavailable.
        """
