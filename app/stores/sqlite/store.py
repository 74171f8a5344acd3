"""The embedded store: one SQLite file that several processes and threads share.

It uses WAL with synchronous=FULL, so that a transaction is on disk when COMMIT returns. Each thread
reads on its own connection. All threads of a process write on one, while they hold a lock file.
"""

from __future__ import annotations

import logging
import os
import re
import time
from collections.abc import Iterator, Sequence
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
from app.ids import AFTER_ALL, utc_text
from app.stores.base import (
    START,
    Changes,
    Extent,
    Kept,
    Outcome,
    ScoreQuery,
    SharedKey,
)
from app.stores.checks import CheckResult
from app.stores.commits import GroupCommit, OnCommit, ignore_commit
from app.stores.documents import sources_are_known, with_score_ids
from app.stores.missing import are_replayed
from app.stores.model import Document, Score
from app.stores.sqlite.checks import check
from app.stores.sqlite.connections import SqliteConnections, read_errors, seconds_until
from app.stores.sqlite.documents import (
    SqliteDocuments,
    add_new,
    check_not_reused,
    end_waiting,
    read_stored,
    upsert,
)
from app.stores.sqlite.files import LOCK_SECONDS, make_database, make_private
from app.stores.sqlite.highest_ids import highest_id, note_highest_id
from app.stores.sqlite.keys import SqliteKeys
from app.stores.sqlite.leaves import (
    SqliteLeaves,
)
from app.stores.sqlite.listing import SqliteListing
from app.stores.sqlite.migrations import MIGRATIONS
from app.stores.sqlite.rows import (
    CURRENT_ID,
    SELECT_CHANGES,
    SELECT_FIRST_PROJECT,
    SELECT_NEXT_PROJECT,
    SELECT_RETRIED,
    SELECT_REVISION,
    SELECT_SCORE,
    SELECT_SCORES,
    SELECT_SEQUENCE,
    SELECT_SLOT,
    SELECT_STORE_ID,
    NewRow,
    among,
    and_visible,
    ids_statement,
    new_row,
    order,
    row_id,
    row_sequence,
    row_size,
    to_score,
    visible,
    where,
)
from app.stores.sqlite.schema import FIRST_PAGES, migrate, schema_version
from app.stores.sqlite.writes import Clock, add_missing, find_keyed, insert
from app.stores.weave import Feedback, Projected, ScoreSource, replace_source

log = logging.getLogger("scoreline.store")

POLL_SECONDS = 0.1
"""How often `read_changes` checks for new scores of other processes."""

PING_SECONDS = 1.0
"""How long `ping` waits for the write lock."""

MIGRATION_SECONDS = 600.0
"""How long a start waits for another process that is migrating the file."""

CURSOR = re.compile("([0-9a-f]{16})-([0-9]{1,18})")
"""A cursor of `changes`, which is the store's id and a sequence number."""


class SqliteStore(SqliteDocuments, SqliteKeys, SqliteLeaves, SqliteListing):
    """The documents and API keys in the SQLite file at `path`."""

    def __init__(self, path: str | Path, on_commit: OnCommit = ignore_commit) -> None:
        self._path = Path(path).absolute()
        self._on_commit = on_commit
        self._clock = Clock()
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
        return self._commits.submit((time.monotonic() + LOCK_SECONDS, new_row(score)))

    def add_missing(self, scores: Sequence[Score], *, partial: bool) -> list[Outcome]:
        rows = [new_row(score) for score in scores]
        with self._db().transaction() as connection:
            return add_missing(connection, rows, self._clock, partial=partial)

    def add_accepted(
        self,
        groups: Sequence[Sequence[Document]],
        scores: Sequence[Score],
        shared_key: SharedKey | None = None,
    ) -> tuple[list[list[Outcome]], list[Outcome]]:
        rows = [new_row(score) for score in scores]
        with self._db().transaction() as connection:
            if shared_key:
                check_not_reused(connection, shared_key)
            added = [add_new(connection, documents, partial=True) for documents in groups]
            return added, add_missing(connection, rows, self._clock, partial=True)

    def add_projected(
        self, projected: Sequence[Projected], feedback: Sequence[Feedback] = ()
    ) -> bool:
        if not (projected or feedback):
            return True
        rows = [new_row(score) for score, _, _ in projected]
        with self._db().transaction() as connection:
            sources = [each.source for each in projected]
            if not sources_are_known(projected, read_stored(connection, ScoreSource, sources)):
                return False
            if projected:
                outcomes = add_missing(connection, rows, self._clock, partial=False)
                upsert(connection, with_score_ids(projected, outcomes), replace_source)
            end_waiting(connection, feedback)
            return True

    def _add_together(self, queued: Sequence[tuple[float, NewRow]]) -> list[Outcome]:
        """Add the queued scores, if possible in one statement that checks for no existing ones.

        Each comes with its deadline, and the first is the earliest. One statement is a transaction
        of its own. Between two statements, other threads would take the interpreter lock while all
        other processes wait for the write lock.
        """
        deadline, rows = queued[0][0], [row for _, row in queued]
        try:
            with self._db().writing(seconds_until(deadline)) as connection:
                score_ids = insert(connection, rows, self._clock)
        except (Conflict, TooLarge):
            with self._db().transaction(seconds_until(deadline)) as connection:
                return add_missing(connection, rows, self._clock, partial=True)
        return [Outcome(Kept.CREATED, score_id) for score_id in score_ids]

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
            statement = f"{SELECT_SCORES} WHERE {among(left)} ORDER BY {by}"
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
        statement = f"SELECT _id, {current} FROM scores WHERE {among(score_ids)}"
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

    def find_replayed(self, scores: Sequence[Score]) -> list[bool]:
        with read_errors():
            return are_replayed(scores, find_keyed(self._db().reader(), scores))

    def delete_scores(self, entity: str, project: str, score_ids: Sequence[str]) -> int:
        statement = f"DELETE FROM scores WHERE {among(score_ids)} AND {visible('scores')}"
        with self._db().transaction() as connection:
            if highest_id(connection, entity, project, "scores") in score_ids:
                note_highest_id(connection, entity, project, "scores")
            return connection.execute(statement, (entity, project, *score_ids)).rowcount

    def extent(self, kind: type[Score | Document] = Score) -> Extent:
        found = self._db().read_one(f"SELECT count(*), max(_id) FROM {kind.collection}")
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
        with self._db().transaction(PING_SECONDS):
            pass  # Writes need both locks, which another program may hold.

    def check(self) -> Iterator[CheckResult]:
        return check(self._path)

    def close(self) -> None:
        self._connections.close()
        self._begin()
