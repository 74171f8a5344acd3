"""Which rows of evaluation results pass the filters of a query, and their order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from app.analysis.eval_filters import (
    Field,
    Filter,
    Values,
    compile_field,
    compile_filter,
    mean_value,
)
from app.analysis.eval_trials import Row, Trial
from app.errors import InvalidParameter

Key = float | str | None
"""What a row is sorted by; None if it has no such value."""


@dataclass(frozen=True)
class _RowFilter:
    """A filter, and the runs that it is about."""

    filter: Filter
    run_ids: Sequence[str]


@dataclass(frozen=True)
class _Sort:
    """A field to sort by, and the runs whose values count."""

    field: Field
    run_ids: Sequence[str]
    descending: bool
    by_difference: bool

    def key(self, row: Row, place: int) -> Key:
        """Return what a row is sorted by, from the values of its trials for this sort order."""
        values = [
            [trial.sorted_by[place] for trial in row.trials.get(run_id, ())]
            for run_id in self.run_ids
        ]
        if not self.by_difference:
            return mean_value([each for of_run in values for each in of_run])
        means = [mean for mean in map(mean_value, values) if isinstance(mean, float)]
        return max(means) - min(means) if means else None


class Selection:
    """The filters and the sort order of a query."""

    def __init__(self, wanted: Mapping[str, Any], run_ids: Sequence[str]) -> None:
        """Compile a loaded EvalResultsBody. Raises InvalidParameter."""
        self.warnings: list[str] = []
        self._combine = all if wanted["filter_logic_operator"] == "and" else any
        self._filters = [
            _RowFilter(compile_filter(each["query"]["$expr"]), _scope("filters", each, run_ids))
            for each in wanted["filters"] or ()
        ]
        self._sorts = [
            _Sort(
                compile_field("sort_by", each["field"]),
                run_ids if each["mode"] == "difference" else _scope("sort_by", each, run_ids),
                each["direction"] == "desc",
                each["mode"] == "difference",
            )
            for each in wanted["sort_by"] or ()
        ]
        used = [each.filter.prefixes for each in self._filters]
        self.prefixes = {each.field.prefix for each in self._sorts}.union(*used)
        """The first parts of the fields that are used."""

    def __bool__(self) -> bool:
        """Return whether there is a filter or a sort order."""
        return bool(self._filters or self._sorts)

    def note(self, trial: Trial, values: Values) -> None:
        """Note which filters a trial passes and what it is sorted by."""
        trial.passed = [bool(each.filter.expression(values)) for each in self._filters]
        trial.sorted_by = [_sortable(each.field(values)) for each in self._sorts]

    def select(self, rows: list[Row]) -> list[Row]:
        """Return the rows that pass all filters, in order; those without a value are last."""
        rows = [row for row in rows if self._passes(row)]
        for place in reversed(range(len(self._sorts))):
            rows = self._sorted(rows, place)
        return rows

    def _passes(self, row: Row) -> bool:
        """Return whether any trial of any run, or of every run, passes each filter."""
        return all(
            self._combine(
                any(trial.passed[place] for trial in row.trials.get(run_id, ()))
                for run_id in each.run_ids
            )
            for place, each in enumerate(self._filters)
        )

    def _sorted(self, rows: list[Row], place: int) -> list[Row]:
        sort = self._sorts[place]
        keyed = [(sort.key(row, place), row) for row in rows]
        known = [(key, row) for key, row in keyed if key is not None]
        if rows and not known:
            self.warnings.append(f"No row has a value of {sort.field.name} to sort by")
        # Numbers before texts, which cannot be compared.
        known.sort(key=lambda each: (isinstance(each[0], str), each[0]), reverse=sort.descending)
        return [row for _, row in known] + [row for key, row in keyed if key is None]


def _sortable(value: Any) -> Any:
    """Return a number or a text, None for anything else, which need not be kept."""
    return value if isinstance(value, int | float | str) else None


def _scope(parameter: str, given: Mapping[str, Any], run_ids: Sequence[str]) -> Sequence[str]:
    """Return the run that a filter or sort order names, or all runs. Raises InvalidParameter."""
    run_id = given["evaluation_call_id"]
    if run_id is None:
        return run_ids
    if run_id not in run_ids:
        message = f"{run_id!r} is not one of the evaluations of this query"
        raise InvalidParameter(parameter, run_id, message, place="body")
    return [run_id]
