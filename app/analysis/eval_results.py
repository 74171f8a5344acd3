"""Evaluation results: the predictions of several runs by example, with their current scores.

A query reads of all predictions and scores only what it needs to find the examples, to filter and
to sort them, and the whole content only of the rows that it returns.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from app.analysis.eval_page import read_page
from app.analysis.eval_reading import RunReader, Source
from app.analysis.eval_selection import Selection
from app.analysis.eval_summary import summarize_rows
from app.analysis.eval_trials import Row
from app.services.lists import ClientCheck, no_client_check
from app.stores.base import Store

NO_PRICES = "Scoreline does not know prices: every total_cost is null"


def query_results(
    store: Store,
    entity: str,
    project: str,
    wanted: dict[str, Any],
    check_client: ClientCheck = no_client_check,
) -> dict[str, Any]:
    """Return the results of evaluation runs by example, with a summary if it is wanted.

    `wanted` is a loaded EvalResultsBody; the answer is for EvalResultsRes. Runs that do not exist
    are left out. Raises InvalidParameter for more than LIMITS and for a filter or sort order that
    cannot be used, and whatever `check_client` raises.
    """
    named = (*(wanted["evaluation_call_ids"] or ()), *(wanted["evaluation_run_ids"] or ()))
    run_ids = list(dict.fromkeys(run_id for run_id in named if run_id))
    selection = Selection(wanted, run_ids)
    source = Source(store, entity, project, check_client)
    with_rows, with_summary = wanted["include_rows"], wanted["include_summary"]
    used = selection if with_rows and selection else None
    reader = RunReader(source, used, with_tokens=with_summary)
    for run_id in run_ids:
        reader.read(run_id)
    rows = [reader.rows[name] for name in sorted(reader.rows)]
    found, total = [], 0
    if with_rows:
        selected = selection.select(_shared(rows, run_ids, wanted["require_intersection"]))
        total = len(selected)
        offset, limit = wanted["offset"], wanted["limit"]
        end = None if limit is None else offset + limit
        found = read_page(source, selected[offset:end], run_ids, wanted)
    summary = None
    if with_summary:
        only_shared = wanted["summary_require_intersection"]
        if only_shared is None:
            only_shared = wanted["require_intersection"]
        summary = summarize_rows(source, _shared(rows, run_ids, only_shared), reader.runs)
    warnings = [*selection.warnings, *([NO_PRICES] if wanted["include_costs"] else [])]
    return {"rows": found, "total_rows": total, "summary": summary, "warnings": warnings}


def _shared(rows: list[Row], run_ids: Sequence[str], only_shared: bool) -> list[Row]:
    """Return the rows that all runs have, or all rows."""
    return [row for row in rows if not only_shared or all(name in row.trials for name in run_ids)]
