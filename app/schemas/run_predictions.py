"""Schemas of the predictions of a run, with their current scores."""

from __future__ import annotations

from typing import Any

from marshmallow import ValidationError, fields, validates_schema

from app import jsontext
from app.ids import utc_text
from app.schemas.documents import time_text
from app.schemas.fields import (
    Anything,
    Boolean,
    Count,
    Identifier,
    JsonObject,
    List,
    Pattern,
    Reason,
    Shape,
    Text,
    UtcText,
)
from app.schemas.runs import PageQuery
from app.schemas.scores import ScoreReadRes
from app.stores.model import Prediction, Score

MISSING = r"^(example|scorer:[\s\S]+)$"
OF_AND_EXAMPLE = Reason(
    "value_error", "Value error, `of` belongs to `missing=example`", {"error": {}}
)


class RunPredictionListQuery(PageQuery):
    """The query of a page of the predictions of a run."""

    run = Identifier("The id of the run.", required=True)
    missing = Pattern(
        "`scorer:NAME`: only predictions without a score by this scorer. "
        "`example`: predictions of the run `of` whose examples this run lacks, one for each.",
        MISSING,
        load_default=None,
    )
    of = Identifier("The run with the examples, for `missing=example`.", load_default=None)

    @validates_schema
    def _check_of(self, loaded: dict[str, Any], **_: Any) -> None:
        """Reject `of` without `missing=example`, and the reverse."""
        if (loaded["missing"] == "example") != (loaded["of"] is not None):
            raise ValidationError({"of": [OF_AND_EXAMPLE]})


class CurrentScoreRes(ScoreReadRes):
    """A current score, with the name of its scorer."""

    scorer_name = Text("The name of the scorer.", required=True)

    def dumps(self, obj: Score, *_: Any, **__: Any) -> str:
        """Return the JSON text of a score, with the name of its scorer first."""
        return f'{{"scorer_name":{jsontext.write(obj.scorer_name)},{super().dumps(obj)[1:]}'


_SCORE = CurrentScoreRes()


class RunPredictionRes(Shape):
    """A prediction of a run; what one that only scores name does not have is null."""

    prediction_id = Text("The id of the prediction.", required=True)
    evaluation_run_id = Text("The id of the run.", required=True)
    explicit = Boolean("False if only scores name the prediction.", required=True)
    created_at = UtcText("When it was created, or first named, in UTC.", required=True)
    model = Text("The model.", required=True, allow_none=True)
    example_id = Text(
        "The example: the given id, the digest of the inputs, or without inputs "
        "the prediction's id.",
        required=True,
        allow_none=True,
    )
    trial = Count(
        "The given trial, or the rank among those of its example.", required=True, allow_none=True
    )
    inputs = JsonObject("The inputs, as sent.", required=True, allow_none=True)
    output = Anything("The output, as sent.", required=True)
    error = Text("Why the model failed, if it did.", required=True, allow_none=True)
    started_at = Text(
        "When it began.", required=True, allow_none=True, metadata={"format": "date-time"}
    )
    finished_at = Text(
        "When it ended.", required=True, allow_none=True, metadata={"format": "date-time"}
    )
    usage = JsonObject("The tokens that were used.", required=True, allow_none=True)
    metadata = JsonObject("Any other data about the prediction.", required=True, allow_none=True)
    wb_user_id = Text(
        "The owner of the API key that it was sent with.", required=True, allow_none=True
    )
    scores = List(
        "Its current scores in this run by scorer, at most 100.",
        fields.Nested(CurrentScoreRes),
        required=True,
    )
    num_scores = Count("How many current scores it has in this run.", required=True)

    def dumps(self, obj: Any, *_: Any, **__: Any) -> str:
        """Return the JSON text of a RunPrediction; its stored JSON texts are not parsed."""
        document: Prediction | None = obj.document
        values = {
            "prediction_id": obj.prediction_id,
            "evaluation_run_id": obj.run_id,
            "explicit": document is not None,
            "created_at": utc_text(obj.created_at),
            "model": document and document.model,
            "example_id": obj.example_id,
            "trial": obj.trial,
            "error": document and document.error,
            "started_at": document and time_text(document.started_at),
            "finished_at": document and time_text(document.finished_at),
            "wb_user_id": document and document.wb_user_id,
            "num_scores": obj.num_scores,
        }
        texts = {
            "inputs": document and document.inputs_json,
            "output": document and document.output_json,
            "usage": document and document.usage_json,
            "metadata": document and document.metadata_json,
            "scores": f"[{','.join(map(_SCORE.dumps, obj.scores))}]",
        }
        written = "".join(f',"{name}":{text or "null"}' for name, text in texts.items())
        return f"{jsontext.write(values)[:-1]}{written}}}"
