"""Schemas of evaluation runs."""

from __future__ import annotations

import json
from typing import Any

from app import jsontext
from app.schemas.documents import (
    MAX_DELETED,
    MAX_FILTERED,
    DeleteRes,
    DocumentListQuery,
    FinishRes,
    TimedBody,
    time_text,
)
from app.schemas.fields import (
    Choice,
    Count,
    Identifier,
    JsonObject,
    Shape,
    Text,
    WeaveQuery,
)
from app.schemas.query_fields import TextList
from app.stores.model import EvaluationRun

WEAVE_STATUS = {"running": "running", "completed": "success", "failed": "error"}
"""The status in the `weave` part of a summary, by the status of a run."""

TRACE_NAME = "Evaluation.evaluate"
"""The name under which Weave's library traces a run."""


class EvaluationRunCreateBody(TimedBody):
    """The body that creates an evaluation run; entity and project are in the path."""

    class Meta(TimedBody.Meta):
        """marshmallow's options: Weave's fields are checked first."""

        fields: tuple[str, ...] = (
            "evaluation",
            "model",
            "source_evaluation_run_id",
            "evaluation_run_id",
            "name",
            "description",
            "dataset",
            "attributes",
            "started_at",
            "finished_at",
            "expected",
        )

    evaluation = Text("The evaluation, usually a weave:/// URI.", required=True)
    model = Text("The model, usually a weave:/// URI.", required=True)
    source_evaluation_run_id = Text(
        "The run whose predictions are scored again, if any.", load_default=None
    )
    evaluation_run_id = Identifier("The id of the run. Default: a new UUIDv7.", load_default=None)
    name = Text("A name for people.", load_default=None)
    description = Text("What the run is about.", load_default=None)
    dataset = Text("The dataset, usually a weave:/// URI.", load_default=None)
    attributes = JsonObject(
        "Anything that distinguishes runs: tags, commit, branch, prompt.", load_default=None
    )
    expected = Count("How many predictions the run is expected to have.", load_default=None)


class EvaluationRunCreateQuery(WeaveQuery):
    """The query that creates an evaluation run."""

    if_exists = Choice(
        "What to do if there is a run with this id: `append` adds to it, and leaves it as it is; "
        "`replace` deletes it first, with its predictions and scores. Default: a 422.",
        ("append", "replace"),
        load_default=None,
    )


class EvaluationRunCreateRes(Shape):
    """The response to creating an evaluation run."""

    evaluation_run_id = Text("The id of the run.", required=True)


class EvaluationRunReadRes(Shape):
    """A stored evaluation run, with the fields after `source_evaluation_run_id` that were sent."""

    evaluation_run_id = Text("The id of the run.", required=True)
    evaluation = Text("The evaluation.", required=True)
    model = Text("The model.", required=True)
    status = Text("The status.", required=True, metadata={"enum": list(WEAVE_STATUS)})
    started_at = Text("When the run began.", required=True, metadata={"format": "date-time"})
    finished_at = Text("When it ended; null while it is running.", required=True, allow_none=True)
    summary = JsonObject(
        "The summary as sent, and Weave's status and latency in `weave`.", required=True
    )
    source_evaluation_run_id = Text(
        "The run whose predictions are scored again, if any.", required=True, allow_none=True
    )
    name = Text("A name for people.")
    description = Text("What the run is about.")
    dataset = Text("The dataset.")
    attributes = JsonObject("Anything that distinguishes runs.")
    expected = Count("How many predictions the run is expected to have.")

    def dumps(self, obj: EvaluationRun, *_: Any, **__: Any) -> str:
        """Return the JSON text of a run."""
        content = {
            "evaluation_run_id": obj.id,
            "evaluation": obj.evaluation,
            "model": obj.model,
            "status": obj.status,
            "started_at": time_text(obj.started_at),
            "finished_at": time_text(obj.finished_at),
            "summary": _summary(obj),
            "source_evaluation_run_id": obj.source_evaluation_run_id,
        }
        attributes = None if obj.attributes_json is None else json.loads(obj.attributes_json)
        extensions = {
            "name": obj.name,
            "description": obj.description,
            "dataset": obj.dataset,
            "attributes": attributes,
            "expected": obj.expected,
        }
        given = {name: value for name, value in extensions.items() if value is not None}
        return jsontext.write(content | given)


def _summary(run: EvaluationRun) -> dict[str, Any]:
    """Return the summary that was sent, after Weave's status and latency in `weave`."""
    weave: dict[str, Any] = {"status": WEAVE_STATUS[run.status], "trace_name": TRACE_NAME}
    if run.finished_at:
        seconds = (run.finished_at - run.started_at).total_seconds()
        weave["latency_ms"] = int(seconds * 1000)
    sent = {} if run.summary_json is None else json.loads(run.summary_json)
    return {"weave": weave, **sent}


class EvaluationRunListQuery(DocumentListQuery):
    """The query of a list of evaluation runs. Filters may be repeated; empty values are ignored."""

    evaluations = TextList(
        "Only runs of one of these evaluations.", most=MAX_FILTERED, load_default=()
    )
    models = TextList("Only runs of one of these models.", most=MAX_FILTERED, load_default=())
    evaluation_run_ids = TextList(
        "Only runs with one of these ids.", most=MAX_FILTERED, load_default=()
    )


class EvaluationRunDeleteQuery(WeaveQuery):
    """The query that deletes evaluation runs."""

    evaluation_run_ids = TextList(
        f"The ids of the runs, at most {MAX_DELETED}.", most=MAX_DELETED, required=True
    )


class EvaluationRunDeleteRes(DeleteRes):
    """The response to deleting evaluation runs."""


class EvaluationRunFinishBody(Shape):
    """The body that finishes an evaluation run."""

    summary = JsonObject("The results of the run, any JSON object.", load_default=None)


class EvaluationRunFinishRes(FinishRes):
    """The response to finishing an evaluation run."""
