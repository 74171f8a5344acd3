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
    List,
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

    model = Text("The model, usually a weave:/// URI.", required=True)
    inputs = JsonObject("The inputs of the model.", required=True)
    output = Anything("The model's output, any JSON.", required=True, allow_none=True)
    evaluation_run_id = Text("The evaluation run that it belongs to, if any.", load_default=None)
    prediction_id = Identifier(
        "The id of the prediction. Default: a new UUIDv7.", load_default=None
    )
    example_id = Identifier("The example that it was made from.", load_default=None)
    trial = Count("Which of several predictions of the example it is.", load_default=None)
    error = Text("Why the model failed, if it did.", load_default=None)
    usage = JsonObject("The tokens that the model used.", load_default=None)
    metadata = JsonObject("Any other data about the prediction.", load_default=None)


class PredictionBatchLine(PredictionCreateBody):
    """One prediction of a batch: an element of its list, or one of its lines."""

    class Meta(PredictionCreateBody.Meta):
        """marshmallow's options."""

        fields = (*PredictionCreateBody.Meta.fields, "idempotency_key")

    idempotency_key = Pattern(
        "A key with which this prediction is stored only once.", IDEMPOTENCY_KEY, load_default=None
    )


class PredictionBatchBody(Shape):
    """The body that creates a batch of predictions."""

    predictions = List(
        "At most 10,000 predictions.", fields.Nested(PredictionBatchLine), required=True
    )


class PredictionBatchResult(Shape):
    """The result of one prediction: its id or its errors."""

    prediction_id = Text("The id of the prediction, if it is stored.")
    detail = List("The errors, if the prediction is rejected.", JsonObject())


class PredictionBatchRes(Shape):
    """The response to creating a batch; with `partial` it has a result for each prediction."""

    prediction_ids = List("The ids in the order sent, without `partial`.", Text())
    results = List(
        "The results in the order sent, with `partial`.", fields.Nested(PredictionBatchResult)
    )
    num_created = Count("How many predictions are stored.", required=True)
    num_replayed = Count("How many of them an earlier call stored, with `partial`.")
    num_failed = Count("How many predictions are rejected, with `partial`.")


class PredictionCreateRes(Shape):
    """The response to creating a prediction."""

    prediction_id = Text("The id of the prediction.", required=True)


class PredictionReadRes(Shape):
    """A stored prediction, with the fields after `wb_user_id` that were sent."""

    prediction_id = Text("The id of the prediction.", required=True)
    model = Text("The model.", required=True)
    inputs = JsonObject("The inputs, as sent.", required=True)
    output = Anything("The output, as sent.", required=True)
    evaluation_run_id = Text(
        "The evaluation run that it belongs to, if any.", required=True, allow_none=True
    )
    wb_user_id = Text(
        "The owner of the API key that it was sent with.", required=True, allow_none=True
    )
    example_id = Text("The example that it was made from.")
    trial = Count("Which of several predictions of the example it is.")
    error = Text("Why the model failed.")
    started_at = Text("When it began.", metadata={"format": "date-time"})
    finished_at = Text("When it ended.", metadata={"format": "date-time"})
    usage = JsonObject("The tokens that the model used.")
    metadata = JsonObject("Any other data about the prediction.")

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
        "Only predictions of this evaluation run; empty for all.", load_default=None
    )


class PredictionDeleteQuery(WeaveQuery):
    """The query that deletes predictions."""

    prediction_ids = TextList(
        f"The ids of the predictions, at most {MAX_DELETED}.", most=MAX_DELETED, required=True
    )


class PredictionDeleteRes(DeleteRes):
    """The response to deleting predictions."""


class PredictionFinishRes(FinishRes):
    """The response to finishing a prediction."""
