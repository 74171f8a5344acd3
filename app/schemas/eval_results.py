"""Schemas of evaluation results: the query, and the rows and summary of the answer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from marshmallow import RAISE, ValidationError, fields, post_load, validate

from app import jsontext
from app.schemas.fields import (
    NOT_AN_OBJECT,
    UNKNOWN,
    Anything,
    Boolean,
    Choice,
    Count,
    Float,
    JsonObject,
    List,
    Nested,
    Reason,
    Shape,
    Text,
)
from app.schemas.query_fields import too_long

MAX_RUNS = 100
MAX_FILTERS = 20
MAX_SORTS = 10

NO_RUNS = Reason(
    "value_error",
    "Value error, At least one of evaluation_call_ids or evaluation_run_ids must be provided",
    {"error": {}},
)


class BoundedList(List):
    """A list of at most `most` elements, or null."""

    def __init__(self, description: str, element: fields.Field[Any], most: int) -> None:
        super().__init__(
            description, element, validate=_MaxLength(most), load_default=None, allow_none=True
        )


class _MaxLength(validate.Length):
    """Reject a list of more than `most` elements, with pydantic's error."""

    def __init__(self, most: int) -> None:
        super().__init__(max=most)

    def _format_error(self, value: Any, _message: str) -> str:
        return too_long(self.max or 0, len(value))


class Strict(Shape):
    """A part of the query that rejects unknown keys: one may be a misspelt bound."""

    class Meta(Shape.Meta):
        """marshmallow's options."""

        unknown = RAISE

    error_messages = {"unknown": UNKNOWN, "type": NOT_AN_OBJECT}


class FilterQuery(Strict):
    """The expression of a filter."""

    expr = JsonObject(
        "One of `$and`, `$or`, `$not`, `$eq`, `$gt`, `$gte`, `$lt`, `$lte`, "
        "`$in`, `$contains` and `$convert`, with `$getField` and `$literal` as operands.",
        data_key="$expr",
        attribute="$expr",
        required=True,
    )


class EvalResultsFilter(Strict):
    """A filter of rows."""

    query = Nested(FilterQuery, required=True)
    evaluation_call_id = Text(
        "Only the trials of this evaluation run count.", load_default=None, allow_none=True
    )


class EvalResultsSort(Strict):
    """A field to sort rows by."""

    field = Text("`scores.NAME`, `inputs.PATH`, `outputs.PATH` or `row_digest`.", required=True)
    direction = Choice("Ascending or descending.", ("asc", "desc"), required=True)
    evaluation_call_id = Text(
        "Only the trials of this evaluation run count.", load_default=None, allow_none=True
    )
    mode = Choice(
        "Sort by the mean, or by how far the runs' means are apart.",
        ("value", "difference"),
        load_default="value",
    )


def _boolean(description: str, default: bool | None) -> Boolean:
    return Boolean(description, load_default=default, allow_none=default is None)


class EvalResultsBody(Shape):
    """The body that asks for the results of evaluation runs."""

    evaluation_call_ids = BoundedList(f"The evaluation runs, at most {MAX_RUNS}.", Text(), MAX_RUNS)
    evaluation_run_ids = BoundedList(
        "More evaluation runs, as in `evaluation_call_ids`.", Text(), MAX_RUNS
    )
    require_intersection = _boolean("Only rows that all evaluation runs have.", False)
    include_raw_data_rows = _boolean("Return the inputs of each example.", False)
    resolve_row_refs = _boolean("Accepted; inputs are always complete.", False)
    include_rows = _boolean("Return rows, and count them.", True)
    include_summary = _boolean("Return a summary of each evaluation run.", False)
    summary_require_intersection = _boolean(
        "Summarise only rows that all runs have. Default: `require_intersection`.", None
    )
    include_predict_and_score_children = _boolean("Return ids of predictions and scores.", True)
    include_costs = _boolean("Accepted; costs are not known.", False)
    filters = BoundedList(
        f"Rows must pass all of them; at most {MAX_FILTERS}.",
        Nested(EvalResultsFilter),
        MAX_FILTERS,
    )
    filter_logic_operator = Choice(
        "Whether all evaluation runs or any must pass a filter.", ("and", "or"), load_default="or"
    )
    sort_by = BoundedList("Default: by `row_digest`.", Nested(EvalResultsSort), MAX_SORTS)
    limit = Count("The most rows to return.", load_default=None, allow_none=True)
    offset = Count("How many rows to skip.", load_default=0)

    @post_load
    def _check_runs(self, loaded: dict[str, Any], **_: Any) -> dict[str, Any]:
        if not loaded["evaluation_call_ids"] and not loaded["evaluation_run_ids"]:
            raise ValidationError(NO_RUNS)
        return loaded


class EvalResultsTrial(Shape):
    """One prediction of the example in the run, with its current scores."""

    predict_and_score_call_id = Text("The id of the prediction with its scores.", required=True)
    predict_call_id = Text("The id of the prediction.", required=True, allow_none=True)
    model_output = Anything("The output, as sent.", required=True)
    scores = JsonObject("The newest value by each scorer, by its name.", keys=Text(), required=True)
    model_latency_seconds = Float(
        "How long the prediction took, if both times are known.", required=True, allow_none=True
    )
    total_tokens = Count("The tokens in `usage`.", required=True, allow_none=True)
    total_cost = Float("Always null.", required=True, allow_none=True)
    scorer_call_ids = JsonObject(
        "The ids of the scores, by the name of the scorer.",
        keys=Text(),
        values=Text(),
        required=True,
    )
    genai_span_ref = Anything("Always null.", required=True, allow_none=True)


class EvalResultsEvaluation(Shape):
    """The trials of one run."""

    evaluation_call_id = Text("The evaluation run.", required=True)
    trials = List("The trials of the example.", fields.Nested(EvalResultsTrial), required=True)


class EvalResultsRow(Shape):
    """The trials of one example, by run."""

    row_digest = Text("The id of the example.", required=True)
    raw_data_row = JsonObject("The inputs, if asked for.", required=True, allow_none=True)
    evaluations = List("Its trials by run.", fields.Nested(EvalResultsEvaluation), required=True)


class EvalResultsScorerStats(Shape):
    """The statistics of one leaf of one scorer; nulls are left out."""

    scorer_key = Text("The name of the scorer.", required=True)
    path = Text(
        "The path of the leaf; null for a value that is a scalar.", required=True, allow_none=True
    )
    value_type = Text(
        "The type of the values; of several, the last of these.",
        required=True,
        metadata={"enum": ["binary", "continuous", "text"]},
    )
    trial_count = Count("Scores with a value at the leaf.", required=True)
    numeric_count = Count("Numbers among them.", required=True)
    numeric_mean = Float("The mean of the numbers.", required=True, allow_none=True)
    pass_true_count = Count("Scores that are true.", required=True)
    pass_known_count = Count("Scores that are true or false.", required=True)
    pass_rate = Float("`pass_true_count / pass_known_count`.", required=True, allow_none=True)
    pass_signal_coverage = Float("`pass_known_count / trial_count`.", required=True)


class EvalResultsRunSummary(Shape):
    """The summary of one run."""

    evaluation_call_id = Text("The evaluation run.", required=True)
    trial_count = Count("Its predictions.", required=True)
    scorer_stats = List("By scorer and leaf.", fields.Nested(EvalResultsScorerStats), required=True)
    predict_total_tokens = Count("The tokens of its trials.", required=True, allow_none=True)
    predict_total_cost = Float("Always null.", required=True, allow_none=True)
    evaluation_ref = Text("The evaluation.", required=True, allow_none=True)
    model_ref = Text("The model.", required=True, allow_none=True)
    display_name = Text("Its name.", required=True, allow_none=True)
    trace_id = Text("The evaluation run.", required=True)
    started_at = Text("When it began.", required=True, allow_none=True)


class EvalResultsSummary(Shape):
    """The summaries of the runs that exist."""

    row_count = Count("The number of examples.", required=True)
    evaluations = List("The summaries by run.", fields.Nested(EvalResultsRunSummary), required=True)


class EvalResultsRes(Shape):
    """The results of evaluation runs by example."""

    rows = List("The rows, if asked for.", fields.Nested(EvalResultsRow), required=True)
    total_rows = Count("The number of rows before `limit` and `offset`.", required=True)
    summary = fields.Nested(EvalResultsSummary, required=True, allow_none=True)
    warnings = List("What may be unexpected in the response.", Text(), required=True)

    def dumps(self, obj: Mapping[str, Any], *_: Any, **__: Any) -> str:
        """Return the JSON text of results; what was sent as JSON is not parsed."""
        write = jsontext.write
        return (
            f'{{"rows":[{",".join(map(_row_text, obj["rows"]))}],'
            f'"total_rows":{obj["total_rows"]},"summary":{write(obj["summary"])},'
            f'"warnings":{write(obj["warnings"])}}}'
        )


def _row_text(row: Mapping[str, Any]) -> str:
    evaluations = ",".join(map(_evaluation_text, row["evaluations"]))
    return (
        f'{{"row_digest":{jsontext.write(row["row_digest"])},'
        f'"raw_data_row":{row["raw_data_row"]},"evaluations":[{evaluations}]}}'
    )


def _evaluation_text(evaluation: Mapping[str, Any]) -> str:
    run_id = jsontext.write(evaluation["evaluation_call_id"])
    trials = ",".join(map(_trial_text, evaluation["trials"]))
    return f'{{"evaluation_call_id":{run_id},"trials":[{trials}]}}'


def _trial_text(trial: Mapping[str, Any]) -> str:
    return _object_text(
        {
            name: value if name == "model_output" else _text(name, value)
            for name, value in trial.items()
        }
    )


def _text(name: str, value: Any) -> str:
    return _object_text(value) if name == "scores" else jsontext.write(value)


def _object_text(texts: Mapping[str, str]) -> str:
    """Return the JSON text of an object whose values are JSON texts."""
    return f"{{{','.join(f'{jsontext.write(name)}:{text}' for name, text in texts.items())}}}"
