"""Find runs, predictions, scorers and projects in the embedded store, by its indexes alone."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any

from app.ids import AFTER_ALL
from app.stores.documents import PAGE
from app.stores.listing import (
    NAMING_PROJECTS,
    START_TIES,
    Fields,
    ListedPrediction,
    Named,
    ProjectCounts,
    RunCounts,
)
from app.stores.model import Document
from app.stores.sqlite.deletions import SqliteDeletions
from app.stores.sqlite.rows import RUN_COLUMNS, Row, and_visible, marks, texts_size

_PROJECT = "entity = ?1 AND project = ?2"

# The statements have a place for one more condition for each table, or nothing: {scores} and so on.


_ID_LENGTH = 36
"""The length of every id, a UUID."""


def _distinct(
    indexes: Sequence[str], column: str, place: str = "", *, with_empty: bool = False
) -> str:
    """Return common table expressions, the last of which is `found`: the texts of a column.

    It has each text, the empty one only on request, with the lowest id. It takes one step in each
    index for a text, however many rows have the text; DISTINCT would read all rows.
    """
    first = ">=" if with_empty else ">"
    steps = ", ".join(_steps(index, column, place, first) for index in indexes)
    union = " UNION ALL ".join(f"SELECT step FROM {_table(index)}_steps" for index in indexes)
    return f"""
        WITH RECURSIVE {steps}, found AS (
            SELECT {_text("step")} AS text, min({_id("step")}) AS first_id
            FROM ({union}) WHERE step IS NOT NULL GROUP BY 1
        )
    """


def _table(index: str) -> str:
    return index.partition("_by_")[0]


def _text(step: str) -> str:
    return f"CAST(substr({step}, 1, length({step}) - {_ID_LENGTH}) AS TEXT)"


def _id(step: str) -> str:
    return f"CAST(substr({step}, -{_ID_LENGTH}) AS TEXT)"


def _steps(index: str, column: str, place: str, first: str) -> str:
    """Return the steps from text to text, each the bytes of the next text and of its lowest id.

    Of a text, SQLite's length() and substr() see only what is before the first NUL.
    """
    table = _table(index)
    following = f"""
        SELECT CAST({column} || _id AS BLOB) FROM {table} INDEXED BY {index}
        WHERE {place} {column} {{}} {{{{{table}}}}} ORDER BY {column}, _id LIMIT 1
    """
    next_one = following.format(f"> {_text('step')}")
    return f"""
        {table}_steps (step) AS (
            SELECT ({following.format(f"{first} ''")})
            UNION ALL
            SELECT ({next_one}) FROM {table}_steps WHERE step IS NOT NULL
        )
    """


_BY_PROJECT = (
    *("scores_by_id", "predictions_by_project", "evaluation_runs_by_project"),
    *(f"{table}_by_project" for table in NAMING_PROJECTS),
)
_PROJECTS = f"""
    {_distinct(_BY_PROJECT, "project", "entity = ?1 AND")} SELECT text, first_id FROM found
"""
_ENTITIES = " UNION ".join(
    f"""
        SELECT * FROM (
            WITH RECURSIVE entities (entity) AS (
                SELECT min(entity) FROM {_table(index)} INDEXED BY {index} WHERE entity > ''
                UNION ALL
                SELECT (
                    SELECT min(entity) FROM {_table(index)} INDEXED BY {index}
                    WHERE entity > entities.entity
                ) FROM entities WHERE entity IS NOT NULL
            )
            SELECT entity FROM entities WHERE entity IS NOT NULL
        )
    """
    for index in _BY_PROJECT
)

_RUNS = _distinct(("scores_by_run", "predictions_by_run"), "evaluation_run_id", f"{_PROJECT} AND")
_IS_ONLY_NAMED = f"""
    NOT EXISTS (
        SELECT 1 FROM evaluation_runs WHERE {_PROJECT} AND id = text {{evaluation_runs}}
    )
"""
_NAMED_RUNS = f"""
    {_RUNS} SELECT text, first_id FROM found
    WHERE first_id < ?3 AND {_IS_ONLY_NAMED} ORDER BY first_id DESC LIMIT ?4
"""
_NAMED_RUN = f"""
    SELECT ?3, min(_id) FROM (
        SELECT min(_id) AS _id FROM scores INDEXED BY scores_by_run
        WHERE {_PROJECT} AND evaluation_run_id = ?3 {{scores}}
        UNION ALL
        SELECT min(_id) FROM predictions INDEXED BY predictions_by_run
        WHERE {_PROJECT} AND evaluation_run_id = ?3 {{predictions}}
    )
"""

_COUNT_PROJECT = f"""
    {_RUNS}
    SELECT
        (SELECT count(*) FROM found WHERE {_IS_ONLY_NAMED})
        + (SELECT count(*) FROM evaluation_runs INDEXED BY evaluation_runs_by_project
            WHERE {_PROJECT} {{evaluation_runs}}),
        (SELECT count(*) FROM predictions INDEXED BY predictions_by_project
            WHERE {_PROJECT} {{predictions}}),
        (SELECT count(*) FROM scores INDEXED BY scores_by_sequence WHERE {_PROJECT} {{scores}}),
        (SELECT count(*) FROM feedback INDEXED BY feedback_by_awaited_call
            WHERE {_PROJECT} AND awaited_call IS NOT NULL)
"""

_SCORERS = f"""
    {_distinct(["scores_by_scorer"], "scorer", f"{_PROJECT} AND", with_empty=True)}
    SELECT text, first_id FROM found
"""

_OP_NAMES = f"""
    {_distinct(["calls_by_op"], "op_name", f"{_PROJECT} AND", with_empty=True)}
    SELECT text FROM found
"""

# The scores of a run, in the order of its predictions and slots.
_SLOTS = f"""
    FROM scores INDEXED BY scores_by_slot
    WHERE {_PROJECT} AND ifnull(evaluation_run_id, '') = ?3 {{scores}}
"""
_COUNT_SLOTS = f"""
    SELECT scorer_name, count(*), sum(scores - 1) FROM (
        SELECT scorer_name, count(*) AS scores {_SLOTS}
        GROUP BY prediction_id, scorer_name, ifnull(annotator, '')
    ) GROUP BY scorer_name
"""
_IS_STORED_IN_RUN = """
    EXISTS (
        SELECT 1 FROM predictions AS stored
        WHERE stored.entity = ?1 AND stored.project = ?2 AND stored.id = scores.prediction_id
            AND stored.evaluation_run_id = ?3 {stored}
    )
"""
_COUNT_PREDICTIONS = f"""
    SELECT
        (SELECT count(*) FROM predictions INDEXED BY predictions_by_run
            WHERE {_PROJECT} AND evaluation_run_id = ?3 {{predictions}})
        + (SELECT count(*) FROM (SELECT DISTINCT prediction_id {_SLOTS}) AS scores
            WHERE NOT {_IS_STORED_IN_RUN})
"""

_STORED_PREDICTIONS = f"""
    SELECT id, _id FROM predictions INDEXED BY predictions_by_run
    WHERE {_PROJECT} AND evaluation_run_id = ?3 AND _id < ?4 {{predictions}}
    ORDER BY _id DESC LIMIT ?5
"""
# A prediction that only scores name is listed where its first score is.
_NAMED_PREDICTIONS = f"""
    SELECT prediction_id, _id FROM scores INDEXED BY scores_by_run
    WHERE {_PROJECT} AND evaluation_run_id = ?3 AND _id < ?4 AND _id > ?6
        {{scores}} AND NOT {_IS_STORED_IN_RUN}
        AND NOT EXISTS (
            SELECT 1 FROM scores AS earlier INDEXED BY scores_by_slot
            WHERE earlier.entity = ?1 AND earlier.project = ?2
                AND ifnull(earlier.evaluation_run_id, '') = ?3
                AND earlier.prediction_id = scores.prediction_id AND earlier._id < scores._id
                {{earlier}}
        )
    ORDER BY _id DESC LIMIT ?5
"""


# SQLite takes `_id` from the row that has the maximum.
_CURRENT_SCORES = f"""
    SELECT prediction_id, _id, max(created_at || _id) {_SLOTS} AND prediction_id IN (MARKS)
    GROUP BY prediction_id, scorer_name, ifnull(annotator, '')
"""


_SCORES_OF = f"""
    SELECT _id FROM scores INDEXED BY scores_by_prediction
    WHERE {_PROJECT} AND prediction_id IN (MARKS) {{scores}}
"""

_JUDGED = f"SELECT prediction_id {_SLOTS} AND prediction_id IN (MARKS) AND scorer_name = ?"


@cache
def _conditions(*, hides: bool) -> dict[str, str]:
    """Return the conditions in the statements, which leave out what deletions hide, if anything."""
    conditions = {table: and_visible(table, hides=hides) for table in RUN_COLUMNS}
    conditions |= dict.fromkeys(NAMING_PROJECTS, "")  # Deletions hide nothing of these.
    conditions["stored"] = and_visible("predictions", "stored", hides=hides)
    conditions["earlier"] = and_visible("scores", "earlier", hides=hides)
    return conditions


class SqliteListing(SqliteDeletions):
    """The part of the embedded store that lists."""

    def _read(self, statement: str, entity: str, project: str, *values: Any) -> list[Row]:
        hides = self._hides(entity, project)
        statement = statement.format(**_conditions(hides=hides))
        return self._db().read_all(statement, (entity, project, *values))

    def list_named_runs(
        self, entity: str, project: str, before: str | None, limit: int
    ) -> list[Named]:
        rows = self._read(_NAMED_RUNS, entity, project, before or AFTER_ALL, limit)
        return [Named(*row) for row in rows]

    def find_named_run(self, entity: str, project: str, run_id: str) -> Named | None:
        ((name, first_id),) = self._read(_NAMED_RUN, entity, project, run_id)
        return None if first_id is None else Named(name, first_id)

    def count_run(self, entity: str, project: str, run_id: str) -> RunCounts:
        rows = self._read(_COUNT_SLOTS, entity, project, run_id)
        ((predictions,),) = self._read(_COUNT_PREDICTIONS, entity, project, run_id)
        scorers = {name: current for name, current, _ in rows}
        return RunCounts(predictions, scorers, sum(superseded for *_, superseded in rows))

    def list_run_predictions(
        self, entity: str, project: str, run_id: str, before: str | None, limit: int
    ) -> list[ListedPrediction]:
        values = (entity, project, run_id, before or AFTER_ALL, limit)
        stored = self._read(_STORED_PREDICTIONS, *values)
        # If the stored ones fill the page, only those that are newer than its end can be on it.
        after = stored[-1][1] if len(stored) == limit else ""
        named = self._read(_NAMED_PREDICTIONS, *values, after)
        found = [ListedPrediction(name, first_id, is_stored=True) for name, first_id in stored]
        found += [ListedPrediction(name, first_id, is_stored=False) for name, first_id in named]
        return sorted(found, key=lambda each: each.first_id, reverse=True)[:limit]

    def list_current_scores(
        self, entity: str, project: str, run_id: str, prediction_ids: Sequence[str]
    ) -> dict[str, list[str]]:
        statement = _CURRENT_SCORES.replace("MARKS", marks(prediction_ids))
        found = defaultdict(list)
        rows = self._read(statement, entity, project, run_id, *prediction_ids)
        for prediction_id, score_id, _ in rows:
            found[prediction_id].append(score_id)
        return found

    def list_scores_of(self, entity: str, project: str, prediction_ids: Sequence[str]) -> list[str]:
        statement = _SCORES_OF.replace("MARKS", marks(prediction_ids))
        return sorted(row[0] for row in self._read(statement, entity, project, *prediction_ids))

    def find_judged(
        self,
        entity: str,
        project: str,
        run_id: str,
        scorer_name: str,
        prediction_ids: Sequence[str],
    ) -> set[str]:
        statement = _JUDGED.replace("MARKS", marks(prediction_ids))
        rows = self._read(statement, entity, project, run_id, *prediction_ids, scorer_name)
        return {prediction_id for (prediction_id,) in rows}

    def list_entities(self) -> list[str]:
        return sorted(row[0] for row in self._db().read_all(_ENTITIES))

    def list_projects(self, entity: str) -> list[Named]:
        statement = _PROJECTS.format(**_conditions(hides=self._hides_any()))
        return [Named(*row) for row in self._db().read_all(statement, (entity,))]

    def count_project(self, entity: str, project: str) -> ProjectCounts:
        (counts,) = self._read(_COUNT_PROJECT, entity, project)
        return ProjectCounts(*counts)

    def list_scorers(self, entity: str, project: str) -> list[Named]:
        return [Named(*row) for row in self._read(_SCORERS, entity, project)]

    def list_op_names(self, entity: str, project: str) -> list[str]:
        return [name for (name,) in self._read(_OP_NAMES, entity, project)]

    def read_by_start(
        self,
        kind: type[Document],
        entity: str,
        project: str,
        names: Sequence[str],
        *,
        newest_first: bool,
        started: bool = True,
    ) -> Iterator[list[Fields]]:
        table = kind.collection
        keys = ("started_at", START_TIES[table]) if started else ("_id",)
        direction, compare = ("DESC", "<") if newest_first else ("ASC", ">")
        order = ", ".join(f"{key} {direction}" for key in keys)
        beyond = f"({', '.join(keys)}) {compare} ({marks(keys)})"
        if not started:
            beyond = f"started_at IS NULL AND {beyond}"
        bound = (AFTER_ALL if newest_first else "",) * len(keys)
        is_whole = False
        while not is_whole:
            statement = (
                f"SELECT {', '.join((*keys, *names))} FROM {table} INDEXED BY {table}_by_start "
                f"WHERE entity = ? AND project = ? AND {beyond}"
                f"{self._visible(table, entity, project)} ORDER BY {order} LIMIT {PAGE}"
            )
            rows, is_read = self._db().read_page(statement, (entity, project, *bound), texts_size)
            if rows:
                yield [row[len(keys) :] for row in rows]
                bound = rows[-1][: len(keys)]
            is_whole = is_read and len(rows) < PAGE
