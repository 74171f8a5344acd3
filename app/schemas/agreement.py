"""Schemas of agreement: two judges of the same predictions, and how far they agree."""

from __future__ import annotations

from typing import Any

from marshmallow import ValidationError, fields, validates_schema

from app.schemas.comparisons import MAX_NAMES, MAX_REGRESSIONS
from app.schemas.fields import Anything, Count, Float, List, Plain, Query, Reason, Shape, Text
from app.schemas.query_fields import TextList, WholeNumber
from app.schemas.summaries import Interval

SAME_JUDGE = Reason("value_error", "Value error, give two different judges", {"error": {}})

ANNOTATOR = (
    "Only its scores by this annotator; empty for those without one. Needed where several "
    "annotated one prediction."
)


class AgreementQuery(Query):
    """The two judges, and the runs that they judged."""

    first = Text(
        "The one scorer: a name, for its current scores, or the reference of a version, for the "
        "newest scores by that version.",
        required=True,
    )
    second = Text("The other scorer, likewise; it may be the same one.", required=True)
    first_annotator = Text(ANNOTATOR, load_default=None)
    second_annotator = Text(ANNOTATOR, load_default=None)
    leaf = Text("The path of the leaf in the values.", load_default="")
    second_leaf = Text("That of the second scorer. Default: `leaf`.", load_default=None)
    run = TextList(
        "Only scores of this evaluation run: its id or its name, or which run is meant, as in a "
        f"comparison; repeatable, at most {MAX_NAMES}.",
        most=MAX_NAMES,
        load_default=list,
    )
    worst = WholeNumber(
        "How many disagreements to list, of numbers the largest first.",
        least=0,
        most=MAX_REGRESSIONS,
        load_default=10,
    )

    @validates_schema
    def _check_judges(self, loaded: dict[str, Any], **_: Any) -> None:
        first, second = (
            (loaded[side], loaded[f"{side}_annotator"]) for side in ("first", "second")
        )
        if first == second and loaded["second_leaf"] in (None, loaded["leaf"]):
            raise ValidationError({"second": [SAME_JUDGE]})


class JudgeRes(Shape):
    """One of the judges."""

    scorer = Text("The scorer, as it was given.", required=True)
    annotator = Text("The annotator, as it was given.", required=True, allow_none=True)
    leaf = Text("The path of the leaf in the value.", required=True)
    judged = Count("How many predictions it judged.", required=True)


class PredictionCounts(Shape):
    """How many predictions were judged, and by whom."""

    compared = Count("Those that have a value by both.", required=True)
    examples = Count("Of how many examples these are.", required=True)
    failed_in_first = Count("Judged by both, but the first gave no value.", required=True)
    failed_in_second = Count("Judged by both, but the second gave no value.", required=True)
    failed_in_both = Count("Judged by both, and neither gave a value.", required=True)
    only_in_first = Count("Judged by the first only.", required=True)
    only_in_second = Count("Judged by the second only.", required=True)


class Figure(Shape):
    """One measure of agreement."""

    value = Float("Its value; null where it makes no sense.", required=True, allow_none=True)
    interval = fields.Nested(Interval, required=True, allow_none=True)
    why = Text("Why there is no value or no interval.", required=True, allow_none=True)


class ConfusionTable(Shape):
    """How often the first judge gave which value where the second gave which."""

    categories = List("The values, ascending.", Anything(), required=True)
    counts = List(
        "A row for each value of the first judge, with a count for each value of the second.",
        List("The counts.", Count()),
        required=True,
    )


class Disagreement(Shape):
    """A prediction to which the judges gave different values."""

    prediction_id = Text("The prediction.", required=True)
    first_score_id = Text("The score by the first.", required=True)
    second_score_id = Text("The score by the second.", required=True)
    first_value = Anything("The value by the first.", required=True)
    second_value = Anything("The value by the second.", required=True)
    first_reason = Text("The reason of the first, cut.", required=True, allow_none=True)
    second_reason = Text("The reason of the second, cut.", required=True, allow_none=True)


class AgreementRes(Plain):
    """How far two judges agree, beyond what chance gives, and where they do not."""

    first = fields.Nested(JudgeRes, required=True)
    second = fields.Nested(JudgeRes, required=True)
    runs = List("The ids of the runs that `run` means, if it was given.", Text(), required=True)
    kind = Text(
        "What the values are compared as; `boolean` where those of both are rates.",
        required=True,
        metadata={"enum": ["number", "boolean", "text"]},
    )
    reason = Text("What the figures say, in one sentence.", required=True)
    predictions = fields.Nested(PredictionCounts, required=True)
    agreement = fields.Nested(
        Figure, required=True, metadata={"description": "The part with equal values."}
    )
    by_chance = Float(
        "The part that would be equal by chance, if each judge gave its values at random.",
        required=True,
        allow_none=True,
    )
    kappa = fields.Nested(Figure, required=True, metadata={"description": "Cohen's kappa."})
    weighted_kappa = fields.Nested(
        Figure,
        required=True,
        metadata={"description": "Cohen's kappa with quadratic weights, of numbers."},
    )
    alpha = fields.Nested(
        Figure, required=True, metadata={"description": "Krippendorff's alpha, by the kind."}
    )
    spearman = fields.Nested(
        Figure, required=True, metadata={"description": "Spearman's rank correlation, of numbers."}
    )
    table = fields.Nested(
        ConfusionTable,
        required=True,
        allow_none=True,
        metadata={"description": "Null with over 50 different values."},
    )
    disagreements = List("The disagreements.", fields.Nested(Disagreement), required=True)
