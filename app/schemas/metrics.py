"""Schemas of declared metrics."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from marshmallow import RAISE, ValidationError, fields, validates_schema

from app import jsontext
from app.leaves import MAX_CHARACTERS
from app.schemas.documents import time_text
from app.schemas.fields import (
    MAX_ID_CHARACTERS,
    UNKNOWN,
    Anything,
    Boolean,
    Choice,
    Count,
    Float,
    JsonObject,
    List,
    MaxCharacters,
    Nested,
    Plain,
    Query,
    Reason,
    Shape,
    Text,
)
from app.schemas.query_fields import Flag, too_long
from app.scorers import scorer_name
from app.stores.model import Metric
from app.true_when import InvalidTrueWhen, parse_true_when
from app.value_schemas import InvalidSchema, ValueSchema

DIRECTIONS = ("higher", "lower", "none")
MODES = ("warn", "enforce")
MAX_DECLARED = 1_000
MAX_UNIT_CHARACTERS = 100

_TRUE_WHEN = (
    "Which values count as true: a list of texts, or a comparison with a number such as `>= 0.5`."
)
_SCHEMA = (
    "The JSON Schema of what the leaf names in a value; of the whole value for the empty leaf."
)
_DECLARED_TWICE = Reason(
    "value_error", "Value error, this leaf of this scorer is declared twice", {"error": {}}
)


def _text(description: str, most: int, **options: Any) -> Text:
    limit = {"maxLength": most}
    return Text(description, MaxCharacters(most), metadata=limit, **options)


class TrueWhenField(Anything):
    """A rule for texts or numbers that count as true."""

    shape: dict[str, Any] = {
        "anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]
    }

    def _deserialize(self, value: Any, *_: Any, **__: Any) -> Any:
        try:
            parse_true_when(value)
        except InvalidTrueWhen as error:
            raise ValidationError(_value_error(error)) from None
        return value


class SchemaField(JsonObject):
    """A JSON Schema for values."""

    def __init__(self, description: str, **options: Any) -> None:
        super().__init__(description, validate=_check_schema, **options)


def _check_schema(schema: dict[str, Any]) -> None:
    try:
        ValueSchema(schema)
    except InvalidSchema as error:
        raise ValidationError(_value_error(error)) from None


def _value_error(error: ValueError) -> Reason:
    return Reason("value_error", f"Value error, {error}", {"error": {}})


class MetricBody(Shape):
    """What is declared of one leaf of a scorer; a default replaces what was declared before."""

    class Meta(Shape.Meta):
        """marshmallow's options."""

        unknown = RAISE

    error_messages = {**Shape.error_messages, "unknown": UNKNOWN}

    scorer = _text(
        "The name of the scorer; a reference to a version stands for all versions.",
        MAX_ID_CHARACTERS,
        required=True,
    )
    leaf = _text(
        "The path of the leaf in the value; empty for a scalar.", MAX_CHARACTERS, load_default=""
    )
    direction = Choice("Which values are better.", DIRECTIONS, load_default="none")
    true_when = TrueWhenField(_TRUE_WHEN, load_default=None, allow_none=True)
    unit = _text(
        "The unit of its numbers, for people.",
        MAX_UNIT_CHARACTERS,
        load_default=None,
        allow_none=True,
    )
    schema = SchemaField(_SCHEMA, load_default=None, allow_none=True)
    schema_mode = Choice(
        "Whether a value against the schema is only counted, or refused.",
        MODES,
        load_default="warn",
    )
    primary = Boolean("Whether it is among the metrics that decide.", load_default=False)


class MetricsBody(Shape):
    """The body that declares metrics."""

    class Meta(Shape.Meta):
        """marshmallow's options."""

        unknown = RAISE

    error_messages = {**Shape.error_messages, "unknown": UNKNOWN}

    metrics = List(f"At most {MAX_DECLARED:,} metrics.", Nested(MetricBody), required=True)

    @validates_schema
    def _check(self, loaded: dict[str, Any], **_: Any) -> None:
        metrics = loaded["metrics"]
        if len(metrics) > MAX_DECLARED:
            raise ValidationError({"metrics": [too_long(MAX_DECLARED, len(metrics))]})
        if repeated := _repeated(metrics):
            raise ValidationError({"metrics": {at: {"leaf": [_DECLARED_TWICE]} for at in repeated}})


def _repeated(metrics: Sequence[dict[str, Any]]) -> list[int]:
    """Return the positions of metrics that are declared before in the same body."""
    seen: set[tuple[str, str]] = set()
    found = []
    for position, each in enumerate(metrics):
        key = (scorer_name(each["scorer"]), each["leaf"])
        if key in seen:
            found.append(position)
        seen.add(key)
    return found


class MetricsQuery(Query):
    """The query that declares metrics."""

    dry_run = Flag("Check the body and store nothing.", load_default=False)


class MetricQuery(Query):
    """The query that names one metric."""

    scorer = _text("The name of the scorer, or a reference.", MAX_ID_CHARACTERS, required=True)
    leaf = _text("The path of the leaf.", MAX_CHARACTERS, load_default="")


class MetricRes(Shape):
    """A declared metric."""

    scorer = Text("The name of the scorer.", required=True)
    leaf = Text("The path of the leaf in the value.", required=True)
    direction = Text("Which values are better.", required=True, metadata={"enum": DIRECTIONS})
    true_when = TrueWhenField(_TRUE_WHEN, required=True, allow_none=True)
    unit = Text("The unit of its numbers.", required=True, allow_none=True)
    schema = JsonObject(_SCHEMA, required=True, allow_none=True)
    schema_mode = Text(
        "Whether a value against the schema is counted or refused.",
        required=True,
        metadata={"enum": MODES},
    )
    primary = Boolean("Whether it is among the metrics that decide.", required=True)
    declared_at = Text(
        "When it was declared so, in UTC.", required=True, metadata={"format": "date-time"}
    )
    wb_user_id = Text(
        "The owner of the API key that declared it so.", required=True, allow_none=True
    )


class MetricsRes(Shape):
    """The declared metrics of a project."""

    metrics = List("By scorer and leaf.", fields.Nested(MetricRes), required=True)

    def dumps(self, obj: Any, *_: Any, **__: Any) -> str:
        """Return the JSON text of stored metrics."""
        return jsontext.write({"metrics": [_content(each) for each in obj]})


def _content(metric: Metric) -> dict[str, Any]:
    """Return the fields of MetricRes."""
    return {
        "scorer": metric.scorer_name,
        "leaf": metric.leaf,
        "direction": metric.direction,
        "true_when": _parsed(metric.true_when_json),
        "unit": metric.unit,
        "schema": _parsed(metric.schema_json),
        "schema_mode": metric.schema_mode,
        "primary": metric.is_primary,
        "declared_at": time_text(metric.declared_at),
        "wb_user_id": metric.wb_user_id,
    }


def _parsed(text: str | None) -> Any:
    return None if text is None else json.loads(text)


class RunFilter(Query):
    """The query that asks for figures of all current scores, or of those in one run."""

    run = Text(
        "Only scores of this run: its id or its name, or which run is meant, as in a comparison.",
        load_default=None,
    )


class FaultRes(Shape):
    """A value that is against a schema."""

    score_id = Text("The id of the score.", required=True)
    fault = Text("What is wrong with its value.", required=True)


class SchemaCheckRes(Shape):
    """How many current values of a metric are against its schema."""

    scorer = Text("The name of the scorer.", required=True)
    leaf = Text("The path of the leaf in the value.", required=True)
    schema_mode = Text("The mode.", required=True, metadata={"enum": MODES})
    checked = Count("How many current scores have a value that is not null.", required=True)
    against = Count("How many of their values are against the schema.", required=True)
    examples = List("The oldest of these, at most 5.", fields.Nested(FaultRes), required=True)


class SchemaChecksRes(Plain):
    """How many current values are against the schemas of a project."""

    metrics = List(
        "The metrics with a schema, by scorer and leaf.",
        fields.Nested(SchemaCheckRes),
        required=True,
    )


class SeenText(Shape):
    """A text, and how often it is a value."""

    text = Text("The text.", required=True)
    scores = Count("How many current scores have it.", required=True)


class ProposedMetric(Shape):
    """What the current scores show of a leaf that is not declared."""

    scorer = Text("The name of the scorer.", required=True)
    leaf = Text("The path of the leaf in the value.", required=True)
    kinds = JsonObject(
        "How many values are a number, boolean, text or null.",
        keys=fields.String(),
        values=Count(),
        required=True,
    )
    minimum = Float("The least number, if there are numbers.", required=True, allow_none=True)
    maximum = Float("The greatest number, if there are numbers.", required=True, allow_none=True)
    only_0_and_1 = Boolean("Whether all numbers are 0 or 1.", required=True)
    texts = List(
        "The texts, those with the most scores first; none if there are more than 20.",
        fields.Nested(SeenText),
        required=True,
    )


class ProposalRes(Plain):
    """The leaves that could be declared as metrics."""

    metrics = List(
        "The leaves by scorer and path, at most 1,000.",
        fields.Nested(ProposedMetric),
        required=True,
    )
    num_metrics = Count("How many leaves there are.", required=True)
    num_declared = Count("How many more leaves are declared already.", required=True)


class MetricDeleteRes(Plain):
    """The response to removing a metric."""

    num_deleted = Count("How many metrics were declared, and are not any more: 1.", required=True)
