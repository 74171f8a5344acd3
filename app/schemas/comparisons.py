"""Schemas of a comparison: the query, and the answer for each metric."""

from __future__ import annotations

from typing import Any

from marshmallow import ValidationError, fields, validates_schema

from app.schemas.differences import (
    CategoriesRes,
    Change,
    DifferenceRes,
    PairCounts,
    TextChange,
)
from app.schemas.fields import (
    MISSING,
    Anything,
    Boolean,
    Choice,
    Count,
    Float,
    JsonObject,
    List,
    Pattern,
    Plain,
    Query,
    Reason,
    Shape,
    Text,
)
from app.schemas.query_fields import Flag, Number, TextList, WholeNumber
from app.schemas.scores import repeats, repeats_res
from app.schemas.summaries import (
    BooleanSummary,
    Interval,
    LeafCounts,
    NumberSummary,
    TextSummary,
    rate,
)

PAIR_BY = r"^(prediction_id|example|order|(before|after):[\s\S]+|leaf:[\s\S]*)$"
SLICE_BY = r"^((inputs|metadata)\.[\s\S]+|leaf:[\s\S]*)$"
MAX_CANDIDATES = 20
MAX_NAMES = 100
"""How many scorers or leaves a parameter names."""

FAILURES = ("exclude", "worst", "as_false")

NOT_RANKED = ("slice_by", "k", "effect", "worst", "histograms")
"""The parameters that a ranking does not take."""

BESIDE_RUN = Reason("value_error", "Value error, give either run or this", {"error": {}})
ONLY_PAIRS = Reason(
    "value_error",
    "Value error, a ranking by run has no slices, passes, needed pairs, changed examples and "
    "histograms: give a baseline and candidates",
    {"error": {}},
)
ONE_RUN = Reason("value_error", "Value error, give at least two different runs", {"error": {}})

VERDICTS = (
    *("worse", "not comparable", "lower", "higher", "better"),
    *("no difference shown", "not enough data", None),
)
"""The verdicts in the order of the comparisons in a response; texts have none."""
MAX_REGRESSIONS = 1_000
MAX_TRIALS = 1_000
"""The greatest k of pass@k."""


def superseded_res() -> fields.Dict:
    """Return the field of a response with the number of scores that were left out."""
    return JsonObject(
        "By run, how many superseded scores were left out.",
        keys=fields.String(),
        values=Count(),
        required=True,
    )


class CompareQuery(Query):
    """The runs to compare, and how to pair their predictions."""

    baseline = Text("The run to compare the candidates with.", load_default=None)
    candidate = TextList(
        f"A run to compare with the baseline; at most {MAX_CANDIDATES}.",
        most=MAX_CANDIDATES,
        load_default=list,
    )
    run = TextList(
        f"In place of baseline and candidate: a run to rank; 2 to {MAX_CANDIDATES}.",
        most=MAX_CANDIDATES,
        load_default=list,
    )
    scorer = TextList(
        "Compare only the scores by this scorer, given by its name or by a "
        "reference to any version; repeatable.",
        most=MAX_NAMES,
        load_default=list,
    )
    leaf = TextList(
        "Compare only this leaf; empty for a scalar; repeatable.",
        most=MAX_NAMES,
        load_default=list,
    )
    pair_by = Pattern(
        "What the predictions of a pair have in common: their `example`, their "
        "`prediction_id`, their `order` in the run, the part of the id `before:` or `after:` a "
        "separator, or the value of a `leaf:`. Default: `example` if any prediction of the runs "
        "has one that was given or comes from its inputs, otherwise `prediction_id`.",
        PAIR_BY,
        load_default=None,
    )
    repeats = repeats()
    lower_is_better = TextList(
        "A leaf whose lower values are better; repeatable.", most=MAX_NAMES, load_default=list
    )
    higher_is_better = TextList(
        "A leaf whose higher values are better; repeatable.", most=MAX_NAMES, load_default=list
    )
    failures = Choice(
        "What counts for an example that only one of the runs has a value for: it is left out "
        "(`exclude`, the default, and the runs are not comparable if they fail on different "
        "examples), it has the worst value (`worst`), or it is false (`as_false`).",
        FAILURES,
        load_default=FAILURES[0],
    )
    max_unpaired = Number(
        "The greatest part of the baseline's examples that the candidate may lack.",
        least=0,
        most=1,
        load_default=0.5,
    )
    effect = Number("Say how many pairs a difference of this size needs.", load_default=None)
    histograms = Flag("Whether summaries of numbers have histograms.", load_default=False)
    slice_by = Pattern(
        "Compare each slice of the examples too: an attribute that is a part of their predictions' "
        "inputs or metadata, such as `inputs.lang` or `metadata.tags`, or the value of a `leaf:`.",
        SLICE_BY,
        load_default=None,
    )
    k = WholeNumber(
        "Say of rates how often at least one of this many trials of an example is true, and how "
        "often all of them are.",
        least=1,
        most=MAX_TRIALS,
        load_default=None,
    )
    worst = WholeNumber(
        "How many regressions and how many improvements of each metric to list, the largest first. "
        "Default: 10, and fewer of more than two metrics, 20 in all.",
        least=0,
        most=MAX_REGRESSIONS,
        load_default=None,
    )

    @validates_schema
    def _check_runs(self, loaded: dict[str, Any], **_: Any) -> None:
        roles = {name: loaded[name] for name in ("baseline", "candidate")}
        if not loaded["run"]:
            errors = {name: [MISSING] for name, given in roles.items() if not given}
        else:
            errors = {name: [BESIDE_RUN] for name, given in roles.items() if given}
            errors |= {name: [ONLY_PAIRS] for name in NOT_RANKED if loaded[name]}
            if not errors and len(set(loaded["run"])) < 2:
                errors = {"run": [ONE_RUN]}
        if errors:
            raise ValidationError(errors)


class PassRate(Shape):
    """The probability that k trials of an example pass, as a mean over the examples."""

    rate = Float("The probability; null if no example has k trials.", allow_none=True)
    interval = fields.Nested(Interval, required=True, allow_none=True)


class FlakyExample(Shape):
    """An example whose trials disagree."""

    trials = Count("Its trials with a value.", required=True)
    passes = Count("Those of them that are true.", required=True)
    passing_prediction_id = Text("The newest trial that is true.", required=True)
    failing_prediction_id = Text("The newest trial that is not.", required=True)


class PassesRes(Shape):
    """How often one of k trials of an example passes, or all, by unbiased estimates."""

    k = Count("The number of trials.", required=True)
    reason = Text("The figures in one sentence.", required=True)
    examples = Count("The examples with at least k trials, which count.", required=True)
    left_out = Count("The examples with fewer trials.", required=True)
    failed_trials = Count("Trials without a value.", required=True)
    pass_at_k = fields.Nested(
        PassRate, required=True, metadata={"description": "That at least one of k trials passes."}
    )
    pass_hat_k = fields.Nested(
        PassRate, required=True, metadata={"description": "That all of k trials pass."}
    )
    num_flaky = Count("The examples of which some trials pass and some do not.", required=True)
    flaky = List(
        "Up to `worst` of these, those first whose trials disagree most.",
        fields.Nested(FlakyExample),
        required=True,
    )


class LeafSummary(LeafCounts):
    """The figures of one leaf in one run."""

    coverage = Float("`scored / attempted`; null without scores.", required=True, allow_none=True)
    number = fields.Nested(NumberSummary, allow_none=True)
    boolean = fields.Nested(BooleanSummary, allow_none=True)
    text = fields.Nested(TextSummary, allow_none=True)
    rate = rate()
    passes = fields.Nested(
        PassesRes,
        allow_none=True,
        metadata={"description": "With `k`, of a comparison; null if the values are no rates."},
    )


class BothSummaries(Shape):
    """The figures of the leaf in both runs."""

    baseline = fields.Nested(LeafSummary, required=True)
    candidate = fields.Nested(LeafSummary, required=True)


class SliceRes(Shape):
    """The comparison of the examples with one value of the attribute."""

    slice = Anything(
        "The value of the attribute, a text, number or boolean; null for the examples without one.",
        required=True,
    )
    verdict = Text(
        "What is shown; null for texts that can be compared.",
        required=True,
        allow_none=True,
        metadata={"enum": list(VERDICTS)},
    )
    reason = Text("The verdict in one sentence, with its figures.", required=True)
    pairs = fields.Nested(PairCounts, required=True)
    difference = fields.Nested(DifferenceRes, required=True, allow_none=True)


class MetricOfRuns(Shape):
    """One leaf of one scorer, and what is declared of it."""

    scorer = Text("The name of the scorer.", required=True)
    leaf = Text("The path of the leaf in the value.", required=True)
    kind = Text(
        "The kind of the values.", required=True, metadata={"enum": ["number", "boolean", "text"]}
    )
    is_rate = Boolean(
        "Whether the values are booleans, numbers that are all 0 or 1, or values of which it is "
        "declared which are true.",
        required=True,
    )
    direction = Text(
        "Which values are better, if that is declared.",
        required=True,
        allow_none=True,
        metadata={"enum": ["higher", "lower", None]},
    )
    unit = Text("The unit, if one is declared.", required=True, allow_none=True)
    primary = Boolean("Whether the metric is declared to be primary.", required=True)


class ComparisonRes(MetricOfRuns):
    """The comparison of one leaf of one scorer in one candidate with the baseline."""

    candidate = Text("The candidate run.", required=True)
    verdict = Text(
        "What is shown; null for texts that can be compared.",
        required=True,
        allow_none=True,
        metadata={"enum": list(VERDICTS)},
    )
    reason = Text("The verdict in one sentence, with its figures.", required=True)
    summaries = fields.Nested(BothSummaries, required=True)
    pairs = fields.Nested(PairCounts, required=True)
    difference = fields.Nested(DifferenceRes, required=True, allow_none=True)
    regressions = List(
        "The pairs that got worse, the worst first, if it is declared what is better.",
        fields.Nested(Change),
        required=True,
    )
    improvements = List(
        "The pairs that got better, the best first, if it is declared what is better.",
        fields.Nested(Change),
        required=True,
    )
    falls = List(
        "The pairs that fell, the largest fall first, if no direction is declared.",
        fields.Nested(Change),
    )
    rises = List(
        "The pairs that rose, the largest rise first, if no direction is declared.",
        fields.Nested(Change),
    )
    changes = List("The most frequent changes of a text.", fields.Nested(TextChange))
    categories = fields.Nested(
        CategoriesRes,
        allow_none=True,
        metadata={"description": "Of texts, whether their shares changed; null for too many."},
    )
    slices = List("With `slice_by`, the slices of the examples.", fields.Nested(SliceRes))


class RankedRun(Shape):
    """One run of a ranking, with its figures and the ranks that it may have."""

    run = Text("The run.", required=True)
    attempted = Count("The scores, and failed predictions without one.", required=True)
    scored = Count("Scores with a value.", required=True)
    coverage = Float("`scored / attempted`.", required=True, allow_none=True)
    mean = Float("The mean, or rate of true.", required=True, allow_none=True)
    interval = fields.Nested(Interval, required=True, allow_none=True)
    best_rank = Count("One more than the runs that were shown to be better.", required=True)
    worst_rank = Count("All runs less those that were shown to be worse.", required=True)


class RankedPair(Shape):
    """Two runs of a ranking, compared."""

    baseline = Text("The one that comes first.", required=True)
    candidate = Text("The other one.", required=True)
    compared = Count("Examples that have a value in both.", required=True)
    verdict = Text(
        "What is shown of the second run.", required=True, metadata={"enum": list(VERDICTS[:-1])}
    )
    mean = Float("The difference.", required=True, allow_none=True)
    interval = fields.Nested(Interval, required=True, allow_none=True)
    method = Text("The statistical test.", required=True, allow_none=True)
    paired = Boolean("Whether the test is paired.", required=True, allow_none=True)
    p_value = Float("The two-sided p-value.", required=True, allow_none=True)
    p_adjusted = Float(
        "The p-value after Holm's correction over the family.", required=True, allow_none=True
    )
    family = Count(
        "For how many pairs of all metrics it is corrected.", required=True, allow_none=True
    )


class RankingRes(MetricOfRuns):
    """The order of several runs by one metric, the best first, or the highest."""

    reason = Text("What the order shows, in one sentence.", required=True)
    runs = List("The runs in order.", fields.Nested(RankedRun), required=True)
    pairs = List("Every two runs, compared.", fields.Nested(RankedPair), required=True)


class CompareRes(Plain):
    """The comparisons of every leaf of every candidate, the worst first, or rankings."""

    baseline = Text("The baseline run, if there is one.")
    pair_by = Text("What the predictions of a pair have in common.", required=True)
    repeats = repeats_res()
    failures = Text(
        "What counts for an example that only one run has a value for.",
        required=True,
        metadata={"enum": list(FAILURES)},
    )
    superseded = superseded_res()
    alpha = Float("A difference needs an adjusted p-value below this.", required=True)
    correction = Text("The correction of the p-values: `holm`.", required=True)
    slice_by = Text("The attribute that slices are made by, if there is one.")
    comparisons = List(
        "The comparisons with the baseline, the worst first.", fields.Nested(ComparisonRes)
    )
    rankings = List("The order of the runs by each metric.", fields.Nested(RankingRes))
