"""The embedded store: one SQLite file that several processes and threads share.

It uses WAL with synchronous=FULL, so that a transaction is on disk when COMMIT returns. Each thread
reads on its own connection. All threads of a process write on one, while they hold a lock file.
"""

from __future__ import annotations

import logging
import os
import re
import sqlite3
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from itertools import chain
from pathlib import Path

from app.errors import (
    Conflict,
    CursorExpired,
    InvalidParameter,
    StoreBusy,
    StoreDamaged,
    StoreRefused,
    StoreUnavailable,
    TooLarge,
)
from app.ids import AFTER_ALL, clock_is_behind, id_time, next_id, utc_text
from app.stores.base import (
    START,
    Changes,
    DocumentOutcome,
    Extent,
    Kept,
    LeafPage,
    Outcome,
    ScoreQuery,
    Tally,
)
from app.stores.checks import CheckResult
from app.stores.commits import GroupCommit, OnCommit, ignore_commit
from app.stores.documents import by_project
from app.stores.missing import (
    Keyed,
    content_digest,
    id_of,
    key_of,
    outcomes_of,
    plan_missing,
)
from app.stores.model import UNASSIGNED, ApiKey, Document, Score
from app.stores.sqlite.checks import check
from app.stores.sqlite.connections import SqliteConnections, read_errors
from app.stores.sqlite.deletions import remove_covered
from app.stores.sqlite.documents import SqliteDocuments, add_new
from app.stores.sqlite.files import LOCK_SECONDS, make_database, make_private
from app.stores.sqlite.leaf_rows import (
    Tallies,
    leaves_size,
    leaves_statement,
    texts_size,
    to_page,
)
from app.stores.sqlite.listing import SqliteListing
from app.stores.sqlite.rows import (
    CURRENT_ID,
    INSERT_KEY,
    NOTE_HIGHEST_ID,
    NOTE_KEY_USE,
    ROWS_A_STATEMENT,
    SELECT_CHANGES,
    SELECT_FIRST_PROJECT,
    SELECT_HIGHEST_ID,
    SELECT_KEY,
    SELECT_NEXT_PROJECT,
    SELECT_RETRIED,
    SELECT_REVISION,
    SELECT_SCORE,
    SELECT_SCORES,
    SELECT_SEQUENCE,
    SELECT_SLOT,
    SELECT_STORE_ID,
    NewRow,
    Row,
    and_visible,
    ids_statement,
    insert_statement,
    key_row,
    marks,
    new_row,
    order,
    row_id,
    row_sequence,
    row_size,
    to_key,
    to_keyed,
    to_score,
    visible,
    where,
)
from app.stores.sqlite.schema import FIRST_PAGES, MIGRATIONS, migrate, schema_version

log = logging.getLogger("scoreline.store")

LEAVES_PAGE = 300
"""The leaves of how many scores are read at a time."""

POLL_SECONDS = 0.1
"""How often `read_changes` checks for new scores of other processes."""

PING_SECONDS = 1.0
"""How long `ping` waits for the write lock."""

MIGRATION_SECONDS = 600.0
"""How long a start waits for another process that is migrating the file."""

CURSOR = re.compile("([0-9a-f]{16})-([0-9]{1,18})")
"""A cursor of `changes`, which is the store's id and a sequence number."""


class SqliteStore(SqliteDocuments, SqliteListing):
    """The documents and API keys in the SQLite file at `path`."""

    def __init__(self, path: str | Path, on_commit: OnCommit = ignore_commit) -> None:
        self._path = Path(path).absolute()
        self._on_commit = on_commit
        self._clock_is_behind = False
        self._begin()

    def _begin(self) -> None:
        self._connections = SqliteConnections(self._path)
        self._commits = GroupCommit(self._add_together, self._on_commit)
        self._begin_documents()

    def _db(self) -> SqliteConnections:
        """Return the connections of this process; a child must not use those of its parent."""
        if self._connections.process != os.getpid():
            self._begin()
        return self._connections

    # Scores

    def add_score(self, score: Score) -> Outcome:
        self._db()
        return self._commits.submit(new_row(score))

    def add_missing(self, scores: Sequence[Score], *, partial: bool) -> list[Outcome]:
        rows = [new_row(score) for score in scores]
        with self._db().transaction() as connection:
            return self._add_missing(connection, rows, partial=partial)

    def add_accepted(
        self, groups: Sequence[Sequence[Document]], scores: Sequence[Score]
    ) -> tuple[list[list[DocumentOutcome]], list[Outcome]]:
        rows = [new_row(score) for score in scores]
        with self._db().transaction() as connection:
            added = [add_new(connection, documents, partial=True) for documents in groups]
            return added, self._add_missing(connection, rows, partial=True)

    def _add_together(self, rows: Sequence[NewRow]) -> list[Outcome]:
        """Add the queued scores, if possible in one statement that checks for no existing ones.

        One statement is a transaction of its own. Between two statements, other threads would take
        the interpreter lock while all other processes wait for the write lock.
        """
        try:
            with self._db().writing() as connection:
                score_ids = self._insert(connection, rows)
        except (Conflict, TooLarge):
            with self._db().transaction() as connection:
                return self._add_missing(connection, rows, partial=True)
        return [Outcome(Kept.CREATED, score_id) for score_id in score_ids]

    def _add_missing(
        self, connection: sqlite3.Connection, rows: Sequence[NewRow], *, partial: bool
    ) -> list[Outcome]:
        scores = [row.score for row in rows]
        remove_covered(connection, scores)
        # SQLite counts some more bytes than the texts have.
        max_bytes = connection.getlimit(sqlite3.SQLITE_LIMIT_LENGTH) - 1_000
        plans = plan_missing(
            scores,
            _find_keyed(connection, scores),
            _find_digests(connection, scores),
            [position for position, row in enumerate(rows) if row.size > max_bytes],
            partial=partial,
        )
        new = [position for position, plan in enumerate(plans) if plan.kept is Kept.CREATED]
        made = self._insert(connection, [rows[position] for position in new])
        score_ids = dict(zip(new, made, strict=True))
        return outcomes_of(plans, score_ids)

    def _insert(self, connection: sqlite3.Connection, rows: Sequence[NewRow]) -> list[str]:
        """Insert rows and return their ids; new ids are higher than any that a project ever had."""
        highest = _highest_id(connection, {(row.score.entity, row.score.project) for row in rows})
        if highest:
            self._watch_clock(highest)
        finished: list[Row] = []
        score_ids: list[str] = []
        for row in rows:
            score_id, created_at = row.score.score_id, row.score.created_at
            if score_id == UNASSIGNED:
                highest = score_id = next_id(highest)
                created_at = id_time(score_id)
            score_ids.append(score_id)
            finished.append(row.finish(score_id, utc_text(created_at)))
        max_rows = max(ROWS_A_STATEMENT, len(rows) if not connection.in_transaction else 0)
        for first in range(0, len(finished), max_rows):
            part = finished[first : first + max_rows]
            connection.execute(insert_statement(len(part)), list(chain.from_iterable(part)))
        return score_ids

    def _watch_clock(self, highest: str) -> None:
        """Log once when the clock falls behind the ids, until it has caught up."""
        is_behind = clock_is_behind(highest)
        if is_behind and not self._clock_is_behind:
            log.warning(
                "this machine's clock is behind the newest score, of %s: new ids continue after it",
                utc_text(id_time(highest)),
            )
        self._clock_is_behind = is_behind

    def read_changes(
        self, entity: str, project: str, cursor: str | None, limit: int, wait: float
    ) -> Changes:
        db = self._db()
        deadline = time.monotonic() + wait
        store_id, sequence = self._read_cursor(cursor)
        while True:
            statement = SELECT_CHANGES.format(visible=self._visible("scores", entity, project))
            rows, _ = db.read_page(statement, (entity, project, sequence, limit), row_size)
            left = deadline - time.monotonic()
            if rows or left <= 0 or db.closed.wait(min(left, POLL_SECONDS)):
                break
        sequence = row_sequence(rows[-1]) if rows else sequence
        return Changes([to_score(row) for row in rows], f"{store_id}-{sequence}")

    def _read_cursor(self, cursor: str | None) -> tuple[str, int]:
        """Return the store's id, and the sequence number of a cursor."""
        newest = self._db().read_one(SELECT_SEQUENCE)
        store_id = self._db().read_one(SELECT_STORE_ID)
        if newest is None or store_id is None:
            raise StoreDamaged("the table meta is not what was written")
        if cursor is None or cursor == START:
            return store_id[0], 0 if cursor == START else int(newest[0])
        match = CURSOR.fullmatch(cursor)
        if match is None:
            raise InvalidParameter("cursor", cursor, "this is not a cursor of this service")
        if match[1] != store_id[0] or int(match[2]) > newest[0]:
            raise CursorExpired(
                "The store was replaced since this cursor was made. Start again with cursor=start, "
                "or from now on without a cursor"
            )
        return match[1], int(match[2])

    def find_score(self, entity: str, project: str, score_id: str) -> Score | None:
        statement = SELECT_SCORE.format(visible=self._visible("scores", entity, project))
        found = self._db().read_one(statement, entity, project, score_id)
        return to_score(found) if found else None

    def list_score_ids(self, query: ScoreQuery) -> list[str]:
        hides = self._hides(query.entity, query.project)
        return [row[0] for row in self._db().read_all(*ids_statement(query, hides=hides))]

    def read_scores(
        self,
        entity: str,
        project: str,
        score_ids: Sequence[str],
        *,
        newest_first: bool = False,
    ) -> Iterator[Score]:
        left, is_whole = sorted(score_ids, reverse=newest_first), False
        by = order(newest_first=newest_first)
        while left and not is_whole:
            statement = f"{SELECT_SCORES} WHERE {_among(left)} ORDER BY {by}"
            rows, is_whole = self._db().read_page(statement, (entity, project, *left), row_size)
            yield from map(to_score, rows)
            if rows:
                left = left[left.index(row_id(rows[-1])) + 1 :]

    def find_superseding(self, scores: Sequence[Score]) -> dict[str, str]:
        score_ids = [score.score_id for score in scores]
        if not score_ids:
            return {}
        place = (scores[0].entity, scores[0].project)
        shown = and_visible("scores", "other", hides=self._hides(*place))
        current = CURRENT_ID.format(visible=shown)
        statement = f"SELECT _id, {current} FROM scores WHERE {_among(score_ids)}"
        rows = self._db().read_all(statement, (*place, *score_ids))
        return {score_id: current for score_id, current in rows if score_id != current}

    def read_slot(self, score: Score) -> Iterator[Score]:
        slot = (score.evaluation_run_id or "", score.prediction_id, score.scorer_name)
        place = (score.entity, score.project, *slot, score.annotator or "")
        bound, is_whole = (AFTER_ALL, AFTER_ALL), False
        while not is_whole:
            statement = SELECT_SLOT.format(visible=self._visible("scores", *place[:2]))
            rows, is_whole = self._db().read_page(statement, (*place, *bound), row_size)
            for found in map(to_score, rows):
                yield found
                bound = (utc_text(found.created_at), found.score_id)

    def read_leaves(self, query: ScoreQuery, fields: Sequence[str]) -> Iterator[LeafPage]:
        for rows in self._leaves(query, fields):
            yield to_page(rows)

    def tally_leaves(self, query: ScoreQuery, fields: Sequence[str]) -> Iterator[Tally]:
        yield from Tallies().of(self._leaves(query, fields))

    def _leaves(self, query: ScoreQuery, fields: Sequence[str]) -> Iterator[list[Row]]:
        size = texts_size if "value_json" in fields else leaves_size
        is_whole = False
        while not is_whole:
            hides = self._hides(query.entity, query.project)
            statement, values = leaves_statement(query, fields, LEAVES_PAGE, hides=hides)
            rows, is_whole = self._db().read_page(statement, values, size)
            if not rows:
                return
            is_whole = is_whole and len(rows) < LEAVES_PAGE
            query = replace(query, after=rows[-1][0])
            yield rows

    def score_revision(self, entity: str, project: str, evaluation_run_id: str) -> str:
        place = (entity, project, evaluation_run_id)
        statement = SELECT_REVISION.format(visible=self._visible("scores", entity, project))
        ((count, newest),) = self._db().read_all(statement, place)
        return f"{count} {newest}"

    def find_retried(self, score: Score, after: str) -> str | None:
        values = (score.entity, score.project, score.prediction_id, after, score.retry_hash or "")
        shown = self._visible("scores", score.entity, score.project)
        found = self._db().read_one(SELECT_RETRIED.format(visible=shown), *values)
        return to_score(found).score_id if found else None

    def delete_scores(self, entity: str, project: str, score_ids: Sequence[str]) -> int:
        statement = f"DELETE FROM scores WHERE {_among(score_ids)} AND {visible('scores')}"
        with self._db().transaction() as connection:
            highest = _highest_id(connection, {(entity, project)})
            if highest in score_ids:
                connection.execute(NOTE_HIGHEST_ID, (highest,))
            return connection.execute(statement, (entity, project, *score_ids)).rowcount

    def extent(self, kind: type[Score | Document] = Score) -> Extent:
        table = kind.collection if issubclass(kind, Document) else "scores"
        found = self._db().read_one(f"SELECT count(*), max(_id) FROM {table}")
        return Extent(*(found or (0, None)))

    def next_project(self, after: tuple[str, str] | None) -> tuple[str, str] | None:
        statement = SELECT_NEXT_PROJECT if after else SELECT_FIRST_PROJECT
        found = self._db().read_one(statement, *(after or ()))
        return (found[0], found[1]) if found else None

    def scan_scores(self, query: ScoreQuery) -> Iterator[Score]:
        conditions, values = where(query)
        after, limit, is_whole = "", query.limit, False
        while limit > 0 and not is_whole:
            shown = self._visible("scores", query.entity, query.project)
            wanted = f"WHERE {conditions} AND _id > ?{shown} ORDER BY _id LIMIT ?"
            statement = f"{SELECT_SCORES} {wanted}"
            rows, is_whole = self._db().read_page(statement, (*values, after, limit), row_size)
            yield from map(to_score, rows)
            if rows:
                after, limit = row_id(rows[-1]), limit - len(rows)

    # API keys

    def add_key(self, key: ApiKey) -> None:
        with self._db().transaction() as connection:
            connection.execute(INSERT_KEY, key_row(key))

    def find_key(self, key_hash: str) -> ApiKey | None:
        found = self._db().read_one(f"{SELECT_KEY} WHERE key_hash = ?", key_hash)
        return to_key(found) if found else None

    def list_keys(self, after: str = "", limit: int | None = None) -> list[ApiKey]:
        statement = f"{SELECT_KEY} WHERE _id > ? ORDER BY _id LIMIT ?"
        max_rows = -1 if limit is None else limit
        return [to_key(row) for row in self._db().read_all(statement, (after, max_rows))]

    def count_keys(self, in_use_at: datetime | None = None) -> int:
        statement, values = "SELECT count(*) FROM api_keys", []
        if in_use_at is not None:
            statement += " WHERE revoked_at IS NULL AND (expires_at IS NULL OR expires_at > ?)"
            values = [utc_text(in_use_at)]
        ((count,),) = self._db().read_all(statement, values)
        return int(count)

    def revoke_key(self, key_id: str, revoked_at: datetime) -> bool:
        with self._db().transaction() as connection:
            changed = connection.execute(
                "UPDATE api_keys SET revoked_at = ? WHERE _id = ? AND revoked_at IS NULL",
                (utc_text(revoked_at), key_id),
            )
            return changed.rowcount == 1

    def note_key_uses(self, uses: Mapping[str, datetime]) -> None:
        rows = [(utc_text(moment), key_id) for key_id, moment in uses.items()]
        with self._db().transaction() as connection:
            connection.executemany(NOTE_KEY_USE, rows)

    # The store

    def prepare(self) -> None:
        make_database(self._path)
        try:
            with read_errors():
                version = schema_version(self._db().reader(), self._path)
            self._db().check_writable()
            # Otherwise write nothing: a start succeeds on a full disk, or while others write.
            if version < len(MIGRATIONS):
                self._migrate()
            for statement in FIRST_PAGES:
                self._db().read_one(statement)
            make_private(self._path)
        except StoreDamaged as error:
            raise StoreRefused(f"{self._path} is damaged, or not a database: {error}") from error
        except StoreUnavailable as error:
            raise StoreRefused(f"cannot use {self._path} as a store: {error}") from error

    def _migrate(self) -> None:
        try:
            self._migrate_within(LOCK_SECONDS)
        except StoreBusy as error:
            log.warning("%s: waiting for it to migrate the store", error)
            self._migrate_within(MIGRATION_SECONDS)

    def _migrate_within(self, seconds: float) -> None:
        with self._db().transaction(seconds) as connection:
            version = schema_version(connection, self._path)
            if version < len(MIGRATIONS):  # Another process may just have done it.
                migrate(connection, version)

    def ping(self) -> None:
        self._db().read_one("SELECT _id FROM scores LIMIT 1")
        with self._db().writing(PING_SECONDS):
            pass  # Writes need the lock, which another program may hold.

    def check(self) -> Iterator[CheckResult]:
        return check(self._path)

    def close(self) -> None:
        self._connections.close()
        self._begin()


def _find_keyed(
    connection: sqlite3.Connection, scores: Sequence[Score]
) -> dict[tuple[str, str, str], Keyed]:
    """Return the stored scores with the same idempotency keys."""
    found: dict[tuple[str, str, str], Keyed] = {}
    for (entity, project), keys in by_project(map(key_of, scores)).items():
        wanted = f"entity = ? AND project = ? AND idempotency_key IN ({marks(keys)})"
        statement = f"{SELECT_SCORES} WHERE {wanted}"
        for row in connection.execute(statement, (entity, project, *keys)):
            key, score_id, body_hash = to_keyed(row)
            found[entity, project, key] = Keyed(score_id, body_hash)
    return found


def _find_digests(
    connection: sqlite3.Connection, scores: Sequence[Score]
) -> dict[tuple[str, str, str], str]:
    """Return the content digests of the stored scores with the same ids."""
    found: dict[tuple[str, str, str], str] = {}
    for (entity, project), score_ids in by_project(map(id_of, scores)).items():
        statement = f"{SELECT_SCORES} WHERE {_among(score_ids)}"
        for row in connection.execute(statement, (entity, project, *score_ids)):
            found[entity, project, row_id(row)] = content_digest(to_score(row))
    return found


def _among(score_ids: Sequence[str]) -> str:
    """Return the condition that a score of a project has one of these ids."""
    return f"entity = ? AND project = ? AND _id IN ({marks(score_ids)})"


def _highest_id(connection: sqlite3.Connection, projects: Iterable[tuple[str, str]]) -> str | None:
    """Return an id that is not lower than any that one of these projects ever had."""
    found = (connection.execute(SELECT_HIGHEST_ID, project).fetchone()[0] for project in projects)
    return max(found, default="") or None
