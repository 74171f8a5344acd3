"""Schemas of predictions."""

from __future__ import annotations

from typing import Any

from marshmallow import fields

from app import jsontext
from app.schemas.documents import (
    MAX_DELETED,
    DeleteRes,
    DocumentListQuery,
    FinishRes,
    TimedBody,
    given_fields,
    time_text,
)
from app.schemas.fields import (
    Anything,
    Count,
    Identifier,
    JsonObject,
    Pattern,
    Shape,
    Text,
    WeaveQuery,
)
from app.schemas.query_fields import TextList
from app.schemas.scores import IDEMPOTENCY_KEY
from app.stores.model import Prediction


class PredictionCreateBody(TimedBody):
    """The body that creates a prediction; entity and project are in the path."""

    class Meta(TimedBody.Meta):
        """marshmallow's options: Weave's fields are checked first."""

        fields: tuple[str, ...] = (
            "model",
            "inputs",
            "output",
            "evaluation_run_id",
            "prediction_id",
            "example_id",
            "trial",
            "error",
            "started_at",
            "finished_at",
            "usage",
            "metadata",
        )

    model = Text(required=True, metadata={"description": "The model, usually a weave:/// URI."})
    inputs = JsonObject(required=True, metadata={"description": "The inputs of the model."})
    output = Anything(
        required=True, allow_none=True, metadata={"description": "The model's output, any JSON."}
    )
    evaluation_run_id = Text(
        load_default=None,
        metadata={"description": "The evaluation run that it belongs to, if any."},
    )
    prediction_id = Identifier(
        load_default=None,
        metadata={"description": "The id of the prediction. Default: a new UUIDv7."},
    )
    example_id = Identifier(
        load_default=None,
        metadata={"description": "The example that it was made from."},
    )
    trial = Count(
        load_default=None,
        metadata={"description": "Which of several predictions of the example it is."},
    )
    error = Text(load_default=None, metadata={"description": "Why the model failed, if it did."})
    usage = JsonObject(
        load_default=None, metadata={"description": "The tokens that the model used."}
    )
    metadata = JsonObject(
        load_default=None, metadata={"description": "Any other data about the prediction."}
    )


class PredictionBatchLine(PredictionCreateBody):
    """One prediction of a batch: an element of its list, or one of its lines."""

    class Meta(PredictionCreateBody.Meta):
        """marshmallow's options."""

        fields = (*PredictionCreateBody.Meta.fields, "idempotency_key")

    idempotency_key = Pattern(
        IDEMPOTENCY_KEY,
        load_default=None,
        metadata={"description": "A key with which this prediction is stored only once."},
    )


class PredictionBatchBody(Shape):
    """The body that creates a batch of predictions."""

    predictions = fields.List(
        fields.Nested(PredictionBatchLine),
        required=True,
        metadata={"description": "At most 10,000 predictions."},
    )


class PredictionBatchResult(Shape):
    """The result of one prediction: its id or its errors."""

    prediction_id = Text(metadata={"description": "The id of the prediction, if it is stored."})
    detail = fields.List(
        fields.Dict(), metadata={"description": "The errors, if the prediction is rejected."}
    )


class PredictionBatchRes(Shape):
    """The response to creating a batch; with `partial` it has a result for each prediction."""

    prediction_ids = fields.List(
        Text(), metadata={"description": "The ids in the order sent, without `partial`."}
    )
    results = fields.List(
        fields.Nested(PredictionBatchResult),
        metadata={"description": "The results in the order sent, with `partial`."},
    )
    num_created = fields.Integer(
        required=True, metadata={"description": "How many predictions are stored."}
    )
    num_replayed = fields.Integer(
        metadata={"description": "How many of them an earlier call stored, with `partial`."}
    )
    num_failed = fields.Integer(
        metadata={"description": "How many predictions are rejected, with `partial`."}
    )


class PredictionCreateRes(Shape):
    """The response to creating a prediction."""

    prediction_id = Text(required=True, metadata={"description": "The id of the prediction."})


class PredictionReadRes(Shape):
    """A stored prediction, with the fields after `wb_user_id` that were sent."""

    prediction_id = Text(required=True, metadata={"description": "The id of the prediction."})
    model = Text(required=True, metadata={"description": "The model."})
    inputs = JsonObject(required=True, metadata={"description": "The inputs, as sent."})
    output = Anything(required=True, metadata={"description": "The output, as sent."})
    evaluation_run_id = Text(
        required=True,
        allow_none=True,
        metadata={"description": "The evaluation run that it belongs to, if any."},
    )
    wb_user_id = Text(
        required=True,
        allow_none=True,
        metadata={"description": "The owner of the API key that it was sent with."},
    )
    example_id = Text(metadata={"description": "The example that it was made from."})
    trial = Count(metadata={"description": "Which of several predictions of the example it is."})
    error = Text(metadata={"description": "Why the model failed."})
    started_at = Text(metadata={"description": "When it began.", "format": "date-time"})
    finished_at = Text(metadata={"description": "When it ended.", "format": "date-time"})
    usage = JsonObject(metadata={"description": "The tokens that the model used."})
    metadata = JsonObject(metadata={"description": "Any other data about the prediction."})

    def dumps(self, obj: Prediction, *_: Any, **__: Any) -> str:
        """Return the JSON text of a prediction; its stored JSON texts are not parsed."""
        write = jsontext.write
        return (
            f'{{"prediction_id":{write(obj.id)},"model":{write(obj.model)},'
            f'"inputs":{obj.inputs_json},"output":{obj.output_json},'
            f'"evaluation_run_id":{write(obj.evaluation_run_id)},'
            f'"wb_user_id":{write(obj.wb_user_id)}{_extensions(obj)}}}'
        )


def _extensions(obj: Prediction) -> str:
    """Return the JSON text of the fields beyond Weave's that were sent, each after a comma."""
    plain = {
        "example_id": obj.example_id,
        "trial": obj.trial,
        "error": obj.error,
        "started_at": time_text(obj.started_at),
        "finished_at": time_text(obj.finished_at),
    }
    given = given_fields(plain, {"usage": obj.usage_json, "metadata": obj.metadata_json})
    return f",{given}" if given else ""


class PredictionListQuery(DocumentListQuery):
    """The query of a list of predictions."""

    evaluation_run_id = Text(
        load_default=None,
        metadata={"description": "Only predictions of this evaluation run; empty for all."},
    )


class PredictionDeleteQuery(WeaveQuery):
    """The query that deletes predictions."""

    prediction_ids = TextList(
        most=MAX_DELETED,
        required=True,
        metadata={"description": f"The ids of the predictions, at most {MAX_DELETED}."},
    )


class PredictionDeleteRes(DeleteRes):
    """The response to deleting predictions."""


class PredictionFinishRes(FinishRes):
    """The response to finishing a prediction."""
