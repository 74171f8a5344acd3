"""Gates: their three outcomes, and what each of the limits claims."""

from __future__ import annotations

import math
import random
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest
from marshmallow import ValidationError

from app.analysis.gates import gate_leaf, gate_run
from app.errors import InvalidParameter, NotFound
from app.schemas.gates import GateBody, GateQuery
from app.services.approvals import approve_run
from app.services.keys import COMMAND_LINE
from app.services.runs import change_run
from app.stores.base import Store
from app.stores.model import ApiKey
from tests.analysis.test_comparisons import add, numbered, predict
from tests.stores.test_documents import a_run


@pytest.fixture
def store(embedded_store: Store) -> Store:
    """Return an empty embedded store: what is tested here is the same on every engine."""
    return embedded_store


def gate(store: Store, **given: Any) -> dict[str, Any]:
    wanted = {"run": "B", "scorer": "s", **given}
    return gate_leaf(store, "acme", "demo", GateQuery().load(wanted))


def outcome(store: Store, **given: Any) -> str:
    return str(gate(store, **given)["outcome"])


def check(store: Store, name: str, **given: Any) -> dict[str, Any]:
    (found,) = [each for each in gate(store, **given)["checks"] if each["name"] == name]
    return dict(found)


def normal(n: int, seed: int = 1) -> list[float]:
    chance = random.Random(seed)
    return [chance.gauss(0.0, 1.0) for _ in range(n)]


def add_changed(store: Store, shift: float, n: int = 200, noise: float = 0.1) -> None:
    """Add the runs A and B, whose values differ by `shift` on average."""
    before = normal(n)
    after = [one + shift + two * noise for one, two in zip(before, normal(n, 2), strict=True)]
    add(store, "A", numbered(before))
    add(store, "B", numbered(after))


# Not worse by a margin


@pytest.mark.parametrize(
    ("shift", "direction", "wanted"),
    [
        (0.0, "higher", "passed"),
        (-0.2, "higher", "failed"),
        (-0.05, "higher", "inconclusive"),
        (0.2, "higher", "passed"),
        (0.2, "lower", "failed"),
        (-0.2, "lower", "passed"),
    ],
)
def test_a_run_must_be_shown_not_to_be_worse_by_a_margin(
    store: Store, shift: float, direction: str, wanted: str
) -> None:
    add_changed(store, shift)
    assert outcome(store, baseline="A", not_worse_by=0.05, direction=direction) == wanted


def test_few_examples_show_nothing(store: Store) -> None:
    add_changed(store, 0.0, n=8, noise=1.0)
    found = check(store, "not_worse_by", baseline="A", not_worse_by=0.05, direction="higher")
    assert found["outcome"] == "inconclusive"
    assert found["interval"]["level"] == 0.9
    assert found["why"] == "the margin is within the interval: more examples are needed"


def test_a_margin_needs_a_direction(store: Store) -> None:
    add_changed(store, 0.0)
    with pytest.raises(InvalidParameter, match="needs a direction"):
        gate(store, baseline="A", not_worse_by=0.05)


def test_an_identical_run_is_not_worse(store: Store) -> None:
    values = [True] * 90 + [False] * 10
    add(store, "A", numbered(values))
    add(store, "B", numbered(values))
    given = {"baseline": "A", "direction": "higher"}
    assert outcome(store, not_worse_by=0.05, **given) == "passed"
    assert outcome(store, max_drop=0.0, **given) == "passed"


def outcomes_of_margins(store: Store, scorers: list[str]) -> list[tuple[str, str | None]]:
    """Return the outcome of a margin of 0.05 for each scorer, in one call, and why."""
    limits = {"direction": "higher", "not_worse_by": 0.05}
    gates = [{**limits, "scorer": scorer} for scorer in scorers]
    body = GateBody().load({"run": "B", "baseline": "A", "gates": gates})
    found = gate_run(store, "acme", "demo", body)["checks"]
    return [(each["outcome"], each["why"]) for each in found if each["name"] == "not_worse_by"]


def add_worse(store: Store, scorer: str, t: float, n: int = 50) -> None:
    """Add differences that are below the margin of 0.05 by a t statistic."""
    noise = np.array(normal(n))
    noise = (noise - noise.mean()) / noise.std(ddof=1)
    changes = -0.05 - t / math.sqrt(n) + noise
    add(store, "A", numbered([0.0] * n), scorer)
    add(store, "B", numbered(changes.tolist()), scorer)


def test_a_margin_only_fails_if_that_is_shown_among_all_margins(store: Store) -> None:
    add_worse(store, "worse", 1.9)  # One-sided, p = .032.
    for number in range(3):
        add_worse(store, f"fine-{number}", -5)
    fine = [f"fine-{number}" for number in range(3)]
    assert outcomes_of_margins(store, ["worse"]) == [("failed", None)]
    why = "it is worse by more than the margin, but among 4 such checks this can be chance"
    found = outcomes_of_margins(store, ["worse", *fine])
    assert found == [("inconclusive", why), *[("passed", None)] * 3]


def test_a_margin_that_fails_leaves_the_others_a_smaller_family(store: Store) -> None:
    add_worse(store, "worst", 9)
    add_worse(store, "worse", 2.2)  # One-sided, p = .016: below .05 / 3, and not below .05 / 4.
    for number in range(2):
        add_worse(store, f"fine-{number}", -5)
    found = outcomes_of_margins(store, ["worse", "worst", "fine-0", "fine-1"])
    assert [each for each, _ in found] == ["failed", "failed", "passed", "passed"]
    add_worse(store, "fine-2", -5)
    found = outcomes_of_margins(store, ["worse", "fine-0", "fine-1", "fine-2"])
    assert [each for each, _ in found] == ["inconclusive", "passed", "passed", "passed"]


# Comparable runs


def test_a_run_of_the_ten_easiest_examples_does_not_pass(store: Store) -> None:
    add(store, "A", numbered([True] * 50 + [False] * 50))
    add(store, "B", numbered([True] * 10))
    given = {"baseline": "A", "max_drop": 0.0}
    assert outcome(store, **given) == "inconclusive"
    assert outcome(store, **given, min_compared=0.1) == "passed"
    found = check(store, "min_compared", **given)
    assert (found["found"], found["wanted"]) == (0.1, 0.9)
    assert found["why"] == "only 10 of 100 examples of the baseline are compared"


def test_a_run_that_fails_where_its_baseline_does_not_is_inconclusive(store: Store) -> None:
    add(store, "A", numbered([True] * 100))
    add(store, "B", numbered([True] * 93 + [None] * 7))
    assert outcome(store, baseline="A", max_drop=0.1) == "inconclusive"


def test_a_drop_is_that_of_the_paired_examples(store: Store) -> None:
    add(store, "A", {**numbered([0.5] * 19), "only here": 1000.0})
    add(store, "B", numbered([0.5] * 19))
    assert outcome(store, baseline="A", max_drop=0.0) == "passed"


def test_the_interval_of_a_drop_is_that_of_the_drop(store: Store) -> None:
    add_changed(store, -0.2)
    found = check(store, "max_drop", baseline="A", max_drop=0.1)
    assert found["outcome"] == "failed"
    assert found["interval"]["low"] < found["found"] < found["interval"]["high"]


@pytest.mark.parametrize(
    ("shift", "direction", "figures"),
    [(-0.2, "higher", "at most -0.1"), (0.2, "lower", "at least 0.1")],
)
def test_a_failed_margin_says_what_was_shown_and_what_is_allowed(
    store: Store, shift: float, direction: str, figures: str
) -> None:
    add_changed(store, shift)
    reason = gate(store, baseline="A", not_worse_by=0.05, direction=direction)["reason"]
    assert f", with 95 % confidence {figures}" in reason
    assert f", where {shift / 4:g} is allowed)." in reason


def test_figures_that_differ_look_different(store: Store) -> None:
    add(store, "B", numbered([True] * 84 + [False] * 16))
    reason = gate(store, min=0.84 + 1e-9)["reason"]
    assert reason == "B: 1 of 1 checks failed: s min (found 0.84, wanted 0.840000001)."
    assert gate(store, min=0.84)["reason"] == "B passed its check."


@pytest.mark.parametrize("limit", ["max_drop", "max_rise", "not_worse_by"])
def test_an_integer_beyond_a_double_fails_a_limit_against_a_baseline(
    store: Store, limit: str
) -> None:
    add(store, "A", numbered([1] * 19 + [2]))
    add(store, "B", numbered([1] * 19 + [10**400]))
    found = check(store, limit, baseline="A", direction="lower", **{limit: 5.0})
    assert (found["outcome"], found["why"]) == (
        "failed",
        "the run has integers too large for a double",
    )
    found = check(store, limit, run="A", baseline="B", direction="lower", **{limit: 5.0})
    assert (found["outcome"], found["why"]) == (
        "inconclusive",
        "the baseline has integers too large for a double",
    )


def test_a_baseline_with_values_of_another_kind_is_not_said_to_have_none(store: Store) -> None:
    add(store, "A", numbered([1, 0] * 20))
    add(store, "B", numbered([True, False] * 20))
    found = check(store, "not_worse_by", baseline="A", direction="higher", not_worse_by=0.1)
    why = "the baseline has no boolean, but values of another kind, at this leaf"
    assert (found["outcome"], found["why"]) == ("inconclusive", why)


# The mean of the run


@pytest.mark.parametrize(
    ("limits", "wanted"),
    [
        ({"min": 0.5}, "passed"),
        ({"min": 0.69, "confidence": "true"}, "passed"),
        ({"min": 0.75, "confidence": "true"}, "inconclusive"),
        ({"min": 0.9, "confidence": "true"}, "failed"),
        ({"max": 0.9, "confidence": "true"}, "passed"),
        ({"max": 0.85, "confidence": "true"}, "inconclusive"),
        ({"max": 0.7, "confidence": "true"}, "failed"),
    ],
)
def test_limits_with_confidence_hold_for_the_whole_interval(
    store: Store, limits: dict[str, Any], wanted: str
) -> None:
    add(store, "B", numbered([True] * 80 + [False] * 20))
    assert outcome(store, **limits) == wanted


def test_trials_of_an_example_make_no_interval_narrower(store: Store) -> None:
    for example in range(10):
        names = [f"{example}/{trial}" for trial in range(20)]
        predict(store, "B", dict.fromkeys(names, f"e{example}"))
        add(store, "B", dict.fromkeys(names, example < 8))
    found = check(store, "min", min=0.6, confidence="true")
    assert found["outcome"] == "inconclusive"
    assert found["interval"]["method"] == "clustered_wilson"
    assert found["interval"]["low"] < 0.5


def test_an_integer_beyond_a_double_passes_no_limit(store: Store) -> None:
    add(store, "B", numbered([1, 2, 10**400]))
    for limit in ({"min": 0.0}, {"max": 1e300}):
        assert outcome(store, **limit) == "failed"
    assert check(store, "max", max=1e300)["why"] == "the run has integers too large for a double"


@pytest.mark.parametrize(
    ("value", "leaf"),
    [(None, "f1"), ({}, "f1"), ({"f1": None}, "f1"), ({"f1": None, "a": 1}, "f1.mean")],
)
def test_a_leaf_without_a_value_is_inconclusive(store: Store, value: Any, leaf: str) -> None:
    add(store, "B", {"p": value})
    assert outcome(store, leaf=leaf, min=0.0) == "inconclusive"


@pytest.mark.parametrize(
    ("values", "why"),
    [
        (["a", "b"], "the run has texts at this leaf, which have no mean"),
        ([1.0, True], "the run has values of several kinds at this leaf: number, boolean"),
    ],
)
def test_what_has_no_mean_is_inconclusive(store: Store, values: list[Any], why: str) -> None:
    add(store, "B", numbered(values))
    found = check(store, "min", min=0.0)
    assert (found["outcome"], found["why"], found["found"]) == ("inconclusive", why, None)


def test_texts_have_no_difference_but_a_baseline_all_the_same(store: Store) -> None:
    for run in ("A", "B"):
        add(store, run, numbered(["a", "b"]))
    found = check(store, "max_drop", baseline="A", max_drop=0.1)
    why = "the runs have texts at this leaf, which have no difference"
    assert (found["outcome"], found["why"], found["found"]) == ("inconclusive", why, None)
    assert outcome(store, baseline="A", min_coverage=0.5) == "passed"
    add(store, "C", numbered(["a", None]))
    assert outcome(store, run="C", baseline="A", min_coverage=0.5) == "inconclusive"


def test_a_run_without_scores_is_inconclusive(store: Store) -> None:
    store.add_documents([a_run(id="B", status="completed")])
    found = check(store, "min", min=0.0)
    why = "the run has no scores by this scorer"
    assert (found["outcome"], found["why"], found["found"]) == ("inconclusive", why, None)


def test_a_scorer_that_is_not_there_is_refused(store: Store) -> None:
    add(store, "B", numbered([True]))
    with pytest.raises(InvalidParameter, match="'ss'; there is 's'"):
        gate(store, scorer="ss", min=0.0)


# Baselines


MAIN = {"status": "completed", "attributes_json": '{"branch":"main"}'}


def test_a_baseline_is_an_id_a_name_the_latest_or_the_approved_run(store: Store) -> None:
    for run, mean in (("a", 0.1), ("b", 0.2), ("B", 0.3)):
        store.add_documents([a_run(id=run, name=f"name {run}", **MAIN)])
        add(store, run, numbered([mean, mean, mean + 0.01]))
    approve_run(store, "acme", "demo", {"run": "a", "reason": "good"}, COMMAND_LINE)
    for given, run in (
        *(("a", "a"), ("name a", "a"), ("id:b", "b")),
        *(("latest:branch=main", "b"), ("approved", "a")),
    ):
        found = gate(store, run="name B", baseline=given, max_rise=1)
        assert (found["run"], found["baseline"]) == ("B", run)
        assert {each["baseline"] for each in found["checks"] if each.get("scorer")} == {run}
    with pytest.raises(NotFound, match="No evaluation run has the id or the name 'none'"):
        gate(store, baseline="none", max_rise=1)


def test_a_drift_by_small_steps_is_seen_against_the_approved_run(store: Store) -> None:
    for number, run in enumerate(("first", "second", "B")):
        store.add_documents([a_run(id=run, **MAIN)])
        noise = normal(200, number)
        values = [
            one - 0.04 * number + 0.01 * two for one, two in zip(normal(200, 9), noise, strict=True)
        ]
        add(store, run, numbered(values))
    approve_run(store, "acme", "demo", {"run": "first", "reason": "released"}, COMMAND_LINE)
    limits = {"scorer": "s", "direction": "higher", "not_worse_by": 0.05}
    baselines = ("latest:branch=main", "approved")
    gates = [{**limits, "baseline": each} for each in baselines]
    body = GateBody().load({"run": "B", "gates": gates})
    found = gate_run(store, "acme", "demo", body)
    held = [each for each in found["checks"] if each["name"] == "not_worse_by"]
    assert [(each["baseline"], each["outcome"]) for each in held] == [
        ("second", "passed"),
        ("first", "failed"),
    ]
    assert found["reason"].startswith("B: 1 of 5 checks failed: s not_worse_by against first (")


def test_an_ambiguous_baseline_of_a_body_is_named_in_the_body(store: Store) -> None:
    store.add_documents([a_run(id=run, name="n") for run in ("a", "b")])
    add(store, "B", numbered([1.0]))
    body = GateBody().load({"run": "B", "baseline": "n", "gates": [{"scorer": "s", "min": 0}]})
    with pytest.raises(InvalidParameter, match="several runs have this name") as error:
        gate_run(store, "acme", "demo", body)
    assert (error.value.place, error.value.name, error.value.given) == ("body", "baseline", "n")


@pytest.mark.parametrize(
    ("value", "leaf", "why"),
    [
        ({"f1": 1}, "f1.mean", "none of the scores has the leaf 'f1.mean'; there is 'f1'"),
        ({"a": None, "f1": 1}, "f2", "; there is 'f1'"),
        (0.5, "f1", r"; there is '' \(the whole value\)"),
        ({"f": [1]}, "f.0", r"is now named 'f\[0\]'"),
    ],
)
def test_a_leaf_that_no_score_has_is_refused(store: Store, value: Any, leaf: str, why: str) -> None:
    add(store, "A", {"p": value, "q": None})
    add(store, "B", {"p": 1}, "other")
    for run, baseline in (("A", "B"), ("B", "A")):
        with pytest.raises(InvalidParameter, match=why):
            gate(store, run=run, baseline=baseline, leaf=leaf, max_drop=0.0)


# The run itself


def test_a_run_that_is_not_finished_never_passes(store: Store) -> None:
    add(store, "B", numbered([1.0] * 3))
    assert outcome(store, min=0.5) == "passed"
    store.add_documents([a_run(id="B", status="running", expected=4)])
    answer = gate(store, min=0.5)
    assert answer["outcome"] == "inconclusive"
    assert [(each["name"], each["why"]) for each in answer["checks"][:2]] == [
        ("finished", "the run is not finished"),
        ("expected", "the run has 3 of 4 predictions"),
    ]
    assert outcome(store, min=2) == "failed"
    store.change_document(type(a_run()), "acme", "demo", "B", status="completed")
    add(store, "B", {"p3": 1.0})
    assert outcome(store, min=0.5) == "passed"


def test_a_run_that_was_only_given_a_name_is_not_waited_for(store: Store) -> None:
    add(store, "B", numbered([1.0] * 3))
    caller = ApiKey("k", "k", "admin", "*", "me", "", datetime.now(UTC))
    change_run(store, "acme", "demo", "B", {"name": "nightly"}, caller)
    assert outcome(store, min=0.5) == "passed"


def test_a_scorer_that_fails_too_often_makes_a_gate_inconclusive(store: Store) -> None:
    add(store, "B", numbered([1.0] * 8 + [None] * 2))
    predict(store, "B", {"failed": "e"}, error="no answer")
    assert outcome(store, min=0.5, max_failed=0.19) == "passed"
    assert outcome(store, min=0.5, max_failed=0.1) == "inconclusive"
    assert check(store, "max_failed", max_failed=0.1)["why"] == "the scorer failed on 2 of 11"


# Regressions


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ({"direction": "higher", "not_worse_by": 0.1}, ["p3", "p1"]),
        ({"direction": "lower", "not_worse_by": 0.1}, ["p0"]),
        ({"max_drop": 0.1}, ["p3", "p1"]),
        ({"max_rise": 0.1}, ["p0"]),
        ({"max_drop": 0.1, "max_rise": 0.1}, []),
        ({"min": 0.1}, []),
    ],
)
def test_a_gate_lists_the_worst_regressions_on_request(
    store: Store, given: dict[str, Any], wanted: list[str]
) -> None:
    add(store, "A", numbered([0.5, 0.5, 0.5, 0.5, 0.5]))
    add(store, "B", numbered([0.9, 0.3, 0.5, 0.1, 0.4]))
    answer = gate(store, baseline="A", worst=2, **given)
    assert [each["prediction_id"] for each in answer["regressions"]] == wanted
    assert gate(store, baseline="A", **given)["regressions"] == []


@pytest.mark.parametrize("worst", [-1, 1.5, True, None, "much", 10**9])
def test_a_wrong_number_of_regressions_is_refused(worst: Any) -> None:
    body = {"run": "B", "worst": worst, "gates": [{"scorer": "s", "min": 1}]}
    with pytest.raises(ValidationError, match="worst"):
        GateBody().load(body)


# Several metrics


def test_several_metrics_are_checked_against_their_own_baselines(store: Store) -> None:
    for run, value in (("main", 0.5), ("released", 0.7), ("B", 0.6)):
        add(store, run, numbered([value] * 10))
        add(store, run, numbered([value > 0.5] * 10), "t")
    body = {
        "run": "B",
        "baseline": "main",
        "gates": [
            {"scorer": "s", "max_drop": 0.05},
            {"scorer": "s", "max_drop": 0.05, "baseline": "released"},
            {"scorer": "t", "min": 1},
        ],
    }
    answer = gate_run(store, "acme", "demo", GateBody().load(body))
    outcomes = {
        (each["scorer"], each["baseline"], each["name"]): each["outcome"]
        for each in answer["checks"]
    }
    assert outcomes["s", "main", "max_drop"] == "passed"
    assert outcomes["s", "released", "max_drop"] == "failed"
    assert outcomes["t", "main", "min"] == "passed"
    assert answer["outcome"] == "failed"
    failed = "s max_drop against released (found 0.1, wanted 0.05)"
    assert answer["reason"] == f"B: 1 of 6 checks failed: {failed}."


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"min": None}, "give at least one of min"),
        ({"max_drop": 0.1}, "need a baseline"),
        ({"not_worse_by": 0.1}, "need a baseline"),
    ],
)
def test_a_gate_without_what_it_needs_is_refused(
    store: Store, changes: dict[str, Any], why: str
) -> None:
    add(store, "B", numbered([1.0]))
    limits = {name: value for name, value in {"min": 0.0, **changes}.items() if value is not None}
    with pytest.raises(InvalidParameter, match=why) as refused:
        gate_run(
            store,
            "acme",
            "demo",
            GateBody().load({"run": "B", "gates": [{"scorer": "s", **limits}]}),
        )
    assert refused.value.place == "body"
