"""Tables: scores as rows with a column for each leaf, unaffected by concurrent writes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from app.errors import InvalidParameter
from app.leaves import scalars_of
from app.schemas.transfers import MAX_COLUMNS
from app.services.lists import ClientCheck, no_client_check, up_to, walk, with_fixed_bounds
from app.stores.base import ScoreQuery, Store
from app.stores.model import Score

SCORE_COLUMNS = (
    "score_id",
    "created_at",
    "scorer",
    "prediction_id",
    "evaluation_run_id",
    "wb_user_id",
)
"""The first columns, which are fields of the score."""

LAST_COLUMNS = ("value_json", "reason", "error", "metadata_json", "annotator")
"""The columns after those of the leaves."""

KINDS = ("number", "integer", "boolean", "text")
"""The kinds of leaves except null; `integer` is one that a double cannot represent exactly."""

_EXACT_UP_TO = 2**53
"""A double represents every integer up to this one exactly."""

_TOO_MANY = (
    f"the scores have more than {MAX_COLUMNS} leaves: select some with `columns`, or export jsonl"
)

Kinds = dict[str, set[str]]
"""The kinds of each leaf, by path, in the order of first occurrence."""

Row = tuple[Score, dict[str, Any]]
"""A score, and the values of its leaves that have a column, by path."""


@dataclass(frozen=True)
class Table:
    """The leaves that have a column, and the rows, which can be read only once."""

    kinds: Kinds
    rows: Iterator[Row]


def declared_table(
    store: Store, query: ScoreQuery, limit: int | None, columns: Sequence[str]
) -> Table:
    """Return the scores of `query` with the given columns, in one pass."""
    kinds: Kinds = {path: set(KINDS) for path in columns}
    scores = walk(store, with_fixed_bounds(store, query, limit))
    return Table(kinds, ((score, _leaves(score, kinds)) for score in scores))


def discovered_table(
    store: Store,
    query: ScoreQuery,
    limit: int | None,
    columns: Sequence[str] | None,
    check_client: ClientCheck = no_client_check,
) -> Table:
    """Return the scores of `query`, in two passes: the first discovers the columns.

    The second pass ends with the last score of the first. A score that was stored in between and
    does not fit the columns is left out. Raises InvalidParameter when there are too many columns,
    and whatever `check_client` raises.
    """
    query = with_fixed_bounds(store, query, limit)
    kinds: Kinds = {path: set() for path in columns or ()}
    last_id = None
    for score in walk(store, query):
        check_client()
        last_id = score.score_id
        _add_kinds(score, kinds, is_open=columns is None)
    if last_id is None:
        return Table(kinds, iter(()))
    scores = walk(store, up_to(query, last_id))
    return Table(kinds, _fitting(scores, kinds, is_open=columns is None))


def _add_kinds(score: Score, kinds: Kinds, *, is_open: bool) -> None:
    """Add the kinds of a score's leaves, and new columns if the table `is_open`."""
    for path, leaf in scalars_of(score.value_json):
        if path in kinds:
            kinds[path].update(kind_of(leaf))
        elif is_open:
            if len(kinds) == MAX_COLUMNS:
                raise InvalidParameter("columns", None, _TOO_MANY)
            kinds[path] = set(kind_of(leaf))


def kind_of(leaf: Any) -> tuple[str, ...]:
    """Return the kind of a leaf, or none for null."""
    if leaf is None:
        return ()
    if isinstance(leaf, bool):
        return ("boolean",)
    if isinstance(leaf, str):
        return ("text",)
    return ("number",) if _is_exact(leaf) else ("integer",)


def _is_exact(number: int | float) -> bool:
    """Return whether a double represents a number exactly."""
    if abs(number) <= _EXACT_UP_TO:
        return True
    try:
        return int(float(number)) == number
    except OverflowError:
        return False


def _leaves(score: Score, kinds: Kinds) -> dict[str, Any]:
    return {path: leaf for path, leaf in scalars_of(score.value_json) if path in kinds}


def _fitting(scores: Iterable[Score], kinds: Kinds, *, is_open: bool) -> Iterator[Row]:
    for score in scores:
        leaves = _leaves_that_fit(score, kinds, is_open=is_open)
        if leaves is not None:
            yield score, leaves


def _leaves_that_fit(score: Score, kinds: Kinds, *, is_open: bool) -> dict[str, Any] | None:
    """Return the leaves that have a column; None when a leaf does not fit its column.

    If the table `is_open`, a leaf without a column does not fit either.
    """
    leaves: dict[str, Any] = {}
    for path, leaf in scalars_of(score.value_json):
        if path in kinds:
            if not kinds[path].issuperset(kind_of(leaf)):
                return None
            leaves[path] = leaf
        elif is_open:
            return None
    return leaves
