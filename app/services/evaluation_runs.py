"""Create and finish evaluation runs."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from urllib.parse import unquote

from app import jsontext
from app.errors import Forbidden
from app.services.documents import common_fields, not_found, read_document, text_or_none
from app.services.scores import NO_RETRY, Retry
from app.stores.base import Store
from app.stores.model import UNASSIGNED, ApiKey, EvaluationRun
from app.stores.weave import ObjectVersion

_EVALUATION = re.compile(r"weave:///[^/]+/[^/]+/object/([^/:]+:[^/:]+)")
"""A reference to an evaluation, with the id of the version of the object."""


def new_run(
    entity: str, project: str, owner: str | None, body: dict[str, Any], retry: Retry
) -> EvaluationRun:
    """Return the run of a loaded EvaluationRunCreateBody, completed if it has `finished_at`."""
    finished_at = body["finished_at"]
    now = datetime.now(UTC)
    return EvaluationRun(
        id=body["evaluation_run_id"] or UNASSIGNED,
        **common_fields(entity, project, owner, body, retry),
        evaluation=body["evaluation"],
        model=body["model"],
        source_evaluation_run_id=body["source_evaluation_run_id"],
        status="completed" if finished_at else "running",
        started_at=body["started_at"] or min(now, finished_at or now),
        finished_at=finished_at,
        name=body["name"],
        description=body["description"],
        dataset=body["dataset"],
        attributes_json=text_or_none(body["attributes"]),
        expected=body["expected"],
    )


APPENDED = (
    *("evaluation", "model", "source_evaluation_run_id", "name", "description"),
    *("dataset", "attributes", "started_at", "finished_at", "expected"),
)
"""The fields of a body that may differ from those of the run that it appends to."""


def kept_fields(store: Store, run: EvaluationRun, body: dict[str, Any]) -> list[str]:
    """Return the fields of a body in which the stored run differs from the new one.

    Raises NotFound.
    """
    stored = read_document(store, EvaluationRun, run.entity, run.project, run.id)
    given = (name for name in APPENDED if body[name] is not None)
    columns = {"attributes": "attributes_json"}
    return [
        name
        for name in given
        if getattr(stored, columns.get(name, name)) != getattr(run, columns.get(name, name))
    ]


def imported_run(
    entity: str, project: str, owner: str | None, body: dict[str, Any]
) -> EvaluationRun:
    """Return the run of a loaded EvaluationRunLine; it begins when it was created by default."""
    run = new_run(entity, project, owner, body, NO_RETRY)
    created_at, finished_at = body["created_at"], body["finished_at"]
    return replace(
        run,
        sort_id=body["sort_id"],
        status=body["status"] or run.status,
        started_at=body["started_at"] or min(created_at, finished_at or created_at),
        summary_json=text_or_none(body["summary"]),
        archived_at=body["archived_at"],
    )


def finish_run(
    store: Store,
    entity: str,
    project: str,
    run_id: str,
    summary: dict[str, Any] | None,
    caller: ApiKey,
) -> None:
    """Complete a run, and store its summary if there is one.

    A run that is finished again keeps its `finished_at`, so that a retry changes nothing. Raises
    NotFound, and Forbidden if the key may only create and the summary is another owner's.
    """
    run = read_document(store, EvaluationRun, entity, project, run_id)
    changes: dict[str, Any] = {}
    if run.finished_at is None:
        changes["finished_at"] = max(datetime.now(UTC), run.started_at)
    if run.status == "running":
        changes["status"] = "completed"
    if summary is not None:
        changes["summary_json"] = jsontext.write(summary)
        is_other = run.summary_json not in (None, changes["summary_json"])
        if is_other and caller.role == "create" and run.wb_user_id != caller.owner:
            raise Forbidden(
                "this needs a key of the run's owner, or one with the role write or admin"
            )
    if changes and not store.change_document(EvaluationRun, entity, project, run_id, **changes):
        raise not_found(EvaluationRun, run_id)


def find_evaluation(store: Store, run: EvaluationRun) -> ObjectVersion | None:
    """Return the evaluation of a run, if it is an object that is stored in the same project."""
    match = _EVALUATION.fullmatch(run.evaluation)
    if match is None:
        return None
    return store.find_document(ObjectVersion, run.entity, run.project, unquote(match[1]))
