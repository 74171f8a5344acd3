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
from app.schemas.fields import Count, Identifier, JsonObject, Shape, Text, WeaveQuery
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

    evaluation = Text(
        required=True, metadata={"description": "The evaluation, usually a weave:/// URI."}
    )
    model = Text(required=True, metadata={"description": "The model, usually a weave:/// URI."})
    source_evaluation_run_id = Text(
        load_default=None,
        metadata={"description": "The run whose predictions are scored again, if any."},
    )
    evaluation_run_id = Identifier(
        load_default=None, metadata={"description": "The id of the run. Default: a new UUIDv7."}
    )
    name = Text(load_default=None, metadata={"description": "A name for people."})
    description = Text(load_default=None, metadata={"description": "What the run is about."})
    dataset = Text(
        load_default=None, metadata={"description": "The dataset, usually a weave:/// URI."}
    )
    attributes = JsonObject(
        load_default=None,
        metadata={"description": "Anything that distinguishes runs: tags, commit, branch, prompt."},
    )
    expected = Count(
        load_default=None,
        metadata={"description": "How many predictions the run is expected to have."},
    )


class EvaluationRunCreateRes(Shape):
    """The response to creating an evaluation run."""

    evaluation_run_id = Text(required=True, metadata={"description": "The id of the run."})


class EvaluationRunReadRes(Shape):
    """A stored evaluation run, with the fields after `source_evaluation_run_id` that were sent."""

    evaluation_run_id = Text(required=True, metadata={"description": "The id of the run."})
    evaluation = Text(required=True, metadata={"description": "The evaluation."})
    model = Text(required=True, metadata={"description": "The model."})
    status = Text(
        required=True,
        metadata={"description": "The status.", "enum": list(WEAVE_STATUS)},
    )
    started_at = Text(
        required=True, metadata={"description": "When the run began.", "format": "date-time"}
    )
    finished_at = Text(
        required=True,
        allow_none=True,
        metadata={"description": "When it ended; null while it is running."},
    )
    summary = JsonObject(
        required=True,
        metadata={"description": "The summary as sent, and Weave's status and latency in `weave`."},
    )
    source_evaluation_run_id = Text(
        required=True,
        allow_none=True,
        metadata={"description": "The run whose predictions are scored again, if any."},
    )
    name = Text(metadata={"description": "A name for people."})
    description = Text(metadata={"description": "What the run is about."})
    dataset = Text(metadata={"description": "The dataset."})
    attributes = JsonObject(metadata={"description": "Anything that distinguishes runs."})
    expected = Count(metadata={"description": "How many predictions the run is expected to have."})

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
        most=MAX_FILTERED,
        load_default=(),
        metadata={"description": "Only runs of one of these evaluations."},
    )
    models = TextList(
        most=MAX_FILTERED,
        load_default=(),
        metadata={"description": "Only runs of one of these models."},
    )
    evaluation_run_ids = TextList(
        most=MAX_FILTERED,
        load_default=(),
        metadata={"description": "Only runs with one of these ids."},
    )


class EvaluationRunDeleteQuery(WeaveQuery):
    """The query that deletes evaluation runs."""

    evaluation_run_ids = TextList(
        most=MAX_DELETED,
        required=True,
        metadata={"description": f"The ids of the runs, at most {MAX_DELETED}."},
    )


class EvaluationRunDeleteRes(DeleteRes):
    """The response to deleting evaluation runs."""


class EvaluationRunFinishBody(Shape):
    """The body that finishes an evaluation run."""

    summary = JsonObject(
        load_default=None, metadata={"description": "The results of the run, any JSON object."}
    )


class EvaluationRunFinishRes(FinishRes):
    """The response to finishing an evaluation run."""
