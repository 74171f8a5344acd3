"""Slices of the examples: their labels, their verdicts, and what is refused."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from typing import Any

import pytest

from app.analysis import attributes, comparisons
from app.analysis.gates import gate_run
from app.errors import InvalidParameter
from app.schemas.gates import GateBody
from app.stores.base import Store
from tests.analysis.test_comparisons import add, answered, compared
from tests.analysis.test_gates import check, gate, outcome
from tests.stores.test_documents import a_prediction

Outcomes = dict[Any, tuple[list[Any], list[Any]]]


@pytest.fixture
def store(embedded_store: Store) -> Store:
    """Return an empty embedded store: what is tested here is the same on every engine."""
    return embedded_store


def add_sliced(
    store: Store,
    outcomes: Outcomes,
    fields: Callable[[Any], dict[str, Any]] = lambda label: {"metadata": {"topic": label}},
) -> None:
    """Add the runs A and B, with the values of each slice in A and in B."""
    for place, run in enumerate("AB"):
        predictions, values = [], {}
        for label, both in outcomes.items():
            for number, value in enumerate(both[place]):
                name = f"{label}-{number}"
                given = {f"{key}_json": json.dumps(each) for key, each in fields(label).items()}
                example = {"example_id": name, "example_key": name, "evaluation_run_id": run}
                predictions.append(a_prediction(id=f"{run}-{name}", **{**example, **given}))
                values[f"{run}-{name}"] = value
        store.add_documents(predictions)
        add(store, run, values)


def slices(store: Store, attribute: str = "metadata.topic", **wanted: Any) -> dict[Any, Any]:
    (row,) = compared(store, slice_by=attribute, **wanted)
    return {each["slice"]: each for each in row["slices"]}


MIXED: Outcomes = {
    "easy": ([True] * 40, [True] * 40),
    "hard": ([True] * 30 + [False] * 10, [False] * 30 + [True] * 10),
    "rare": ([True] * 3, [True] * 3),
}


def test_each_slice_has_a_verdict_of_its_own(store: Store) -> None:
    add_sliced(store, MIXED)
    found = slices(store, higher_is_better=[""])
    assert {label: each["verdict"] for label, each in found.items()} == {
        "easy": "no difference shown",
        "hard": "worse",
        "rare": "not enough data",
    }
    assert found["hard"]["pairs"]["compared"] == 40
    assert found["hard"]["difference"]["mean"] == -0.5
    assert found["hard"]["reason"].startswith(
        "metadata.topic = hard: The candidate is worse: s fell from 75 % to 25 % "
    )


def test_slices_are_in_the_family_of_the_correction(store: Store) -> None:
    add_sliced(store, MIXED)
    (whole,) = compared(store)
    (row,) = compared(store, slice_by="metadata.topic")
    assert whole["difference"]["family"] == 1
    assert row["difference"]["family"] == 2  # Nothing changed in the others.
    assert row["difference"]["p_adjusted"] > whole["difference"]["p_adjusted"]


def test_of_many_equal_slices_few_seem_to_differ(store: Store) -> None:
    chance = random.Random(4)
    numbers = [[[chance.gauss(0, 1) for _ in range(20)] for _ in "AB"] for _ in range(40)]
    add_sliced(store, {f"t{place}": (one, two) for place, (one, two) in enumerate(numbers)})
    found = slices(store)
    assert len(found) == 40
    assert min(each["difference"]["p_value"] for each in found.values()) < 0.05
    assert {each["verdict"] for each in found.values()} == {"no difference shown"}


def test_examples_without_the_attribute_are_a_slice(store: Store) -> None:
    add_sliced(
        store,
        {"de": ([1.0], [1.0]), "none": ([1.0] * 2, [1.0] * 2)},
        lambda label: {"inputs": {} if label == "none" else {"row": {"lang.iso": [label]}}},
    )
    add(store, "A", {"only scored": 1.0})
    found = slices(store, r"inputs.row.lang\.iso[0]", pair_by="example")
    assert {label: each["pairs"]["compared"] for label, each in found.items()} == {"de": 1, None: 2}
    assert found[None]["pairs"]["only_in_baseline"] == 1
    assert found[None]["reason"].startswith(r"without inputs.row.lang\.iso[0]: ")


def test_an_example_with_several_tags_is_in_several_slices(store: Store) -> None:
    tags = {"x": ["red", "blue"], "y": ["blue"]}
    add_sliced(
        store,
        {"x": ([1.0] * 2, [1.0] * 2), "y": ([1.0], [1.0])},
        lambda label: {"metadata": {"tags": tags[label]}},
    )
    found = slices(store, "metadata.tags")
    assert {label: each["pairs"]["compared"] for label, each in found.items()} == {
        "blue": 3,
        "red": 2,
    }


def test_numbers_texts_and_booleans_are_different_slices(store: Store) -> None:
    labels = [1, 1.0, "1", True, {"an": "object"}, 10, 2]
    add_sliced(
        store,
        {place: ([1.0], [1.0]) for place in range(len(labels))},
        lambda place: {"metadata": {"topic": labels[place]}},
    )
    (row,) = compared(store, slice_by="metadata.topic")
    assert [(each["slice"], each["pairs"]["compared"]) for each in row["slices"]] == [
        *((1, 2), (True, 1), (2, 1), (10, 1)),
        *(("1", 1), (None, 1)),
    ]
    assert type(row["slices"][1]["slice"]) is bool


def test_a_leaf_of_the_score_makes_slices(store: Store) -> None:
    for run, topic in (("A", "math"), ("B", "art")):
        add(store, run, {f"p{place}": {"f1": 1.0, "topic": topic} for place in range(7)})
    (row,) = compared(store, slice_by="leaf:topic", leaf=["f1"])
    (found,) = row["slices"]  # The baseline's label counts.
    assert (found["slice"], found["pairs"]["compared"]) == ("math", 7)
    assert found["reason"].startswith("leaf:topic = math: ")


def test_slices_by_the_values_that_are_compared_have_no_verdict(store: Store) -> None:
    chance = random.Random(3)
    for run in "AB":  # The same model twice.
        add(store, run, {f"p{place}": chance.random() < 0.5 for place in range(200)})
    (row,) = compared(store, slice_by="leaf:", higher_is_better=[""])
    assert (row["verdict"], row["difference"]["family"]) == ("no difference shown", 1)
    assert [(each["slice"], each["verdict"]) for each in row["slices"]] == [
        (False, "not comparable"),
        (True, "not comparable"),
    ]
    assert all("chance alone" in each["reason"] for each in row["slices"])
    found = check(store, "slice", slice="leaf:", baseline="A", direction="higher")
    assert found["outcome"] == "inconclusive"
    assert "chance alone" in found["why"]


def test_an_example_has_the_labels_of_the_candidate_where_the_baseline_has_none(
    store: Store,
) -> None:
    for run, metadata in (("A", "{}"), ("B", '{"topic": "new"}')):
        example = {"example_id": "e", "example_key": "e", "evaluation_run_id": run}
        store.add_documents([a_prediction(id=run, **example, metadata_json=metadata)])
        add(store, run, {run: 1.0})
    add(store, "B", {"q": 1.0})
    found = slices(store, pair_by="example")
    assert found["new"]["pairs"]["compared"] == 1
    assert found[None]["pairs"]["only_in_candidate"] == 1


@pytest.mark.parametrize(
    ("attribute", "why"),
    [
        ("metadata.topik", "none of the predictions has 'metadata.topik'; there is 'metadata.top"),
        ("metadata.tag", "; there is 'metadata.tags'"),
        ("inputs.topic", "none of the predictions has 'inputs.topic'; there is 'inputs.q'"),
        ("leaf:topic", "none of the scores has the leaf 'topic'"),
    ],
)
def test_an_attribute_that_no_example_has_is_refused(
    store: Store, attribute: str, why: str
) -> None:
    content = {"metadata": {"topic": "a", "tags": ["b"]}, "inputs": {"q": 1}}
    add_sliced(store, {"a": ([1.0], [1.0])}, lambda _: content)
    with pytest.raises(InvalidParameter, match=why) as refused:
        slices(store, attribute)
    assert (refused.value.name, refused.value.given) == ("slice_by", attribute)


def test_too_many_slices_are_refused(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    add_sliced(store, {number: ([1.0], [1.0]) for number in range(101)})
    with pytest.raises(InvalidParameter, match="has 101 values, and at most 100 slices"):
        slices(store)
    monkeypatch.setattr(attributes, "MAX_LABELS", 100)
    with pytest.raises(InvalidParameter, match="has over 100 values"):
        slices(store)
    monkeypatch.setattr(attributes, "MAX_SLICES", 101)
    monkeypatch.setattr(attributes, "MAX_LABELS", 1_000)
    monkeypatch.setattr(comparisons, "MAX_SLICED", 100)
    with pytest.raises(InvalidParameter, match="over 100 slices of all metrics: name a scorer"):
        slices(store)


def test_a_comparison_without_slices_has_none(store: Store) -> None:
    add_sliced(store, MIXED)
    answer = answered(store)
    assert "slice_by" not in answer
    assert "slices" not in answer["comparisons"][0]


# The gate that no slice is worse

GATE = {"baseline": "A", "slice": "metadata.topic", "direction": "higher"}


def test_a_gate_fails_if_a_slice_is_shown_to_be_worse(store: Store) -> None:
    add_sliced(store, MIXED)
    found = check(store, "slice", **GATE)
    assert (found["outcome"], found["found"], found["wanted"]) == ("failed", 1, 0)
    assert found["why"].startswith("metadata.topic = hard: The candidate is worse: s fell from ")
    assert outcome(store, **{**GATE, "direction": "lower"}) == "inconclusive"


def test_a_gate_passes_if_no_slice_is_shown_to_be_worse(store: Store) -> None:
    add_sliced(store, {"a": ([True] * 40, [True] * 40), "b": ([False] * 9, [True] * 9)})
    assert outcome(store, **GATE) == "passed"


@pytest.mark.parametrize(
    ("slices", "why"),
    [
        (MIXED["easy"], "metadata.topic = rare: 3 compared of at least 6 examples"),
        (
            ([True] * 40, [True] * 10),
            "metadata.topic = a: only 10 of 40 examples of the baseline are compared; "
            "metadata.topic = rare: 3 compared of at least 6 examples",
        ),
    ],
)
def test_a_slice_of_which_nothing_can_be_shown_makes_a_gate_inconclusive(
    store: Store, slices: tuple[list[Any], list[Any]], why: str
) -> None:
    add_sliced(store, {"a": slices, "rare": MIXED["rare"], "new": ([], [False] * 9)})
    found = check(store, "slice", **GATE)
    assert (found["outcome"], found["why"]) == ("inconclusive", why)


def test_a_slice_that_cannot_be_compared_is_not_called_worse(store: Store) -> None:
    add_sliced(store, {"a": ([True] * 40, [False] * 20)})
    assert check(store, "slice", **GATE)["outcome"] == "inconclusive"
    assert check(store, "slice", **GATE, min_compared=0.5)["outcome"] == "failed"


def test_the_slices_of_all_gates_are_one_family(store: Store) -> None:
    # p = 0.0156 in the slice, which two such tests make 0.031, and four 0.0625.
    one = ([True] * 20, [False] * 6 + [True] * 14)
    add_sliced(store, {"a": one})
    assert outcome(store, **GATE) == "failed"
    body = {"run": "B", "baseline": "A", "gates": [{"scorer": "s", **GATE}] * 4}
    answer = gate_run(store, "acme", "demo", GateBody().load(body))
    assert {each["outcome"] for each in answer["checks"]} == {"passed"}


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"direction": None}, "slice needs a direction"),
        ({"baseline": None}, "slice need a baseline"),
        ({"slice": "metadata.topik"}, "none of the predictions has 'metadata.topik'"),
    ],
)
def test_a_gate_of_slices_without_what_it_needs_is_refused(
    store: Store, changes: dict[str, Any], why: str
) -> None:
    add_sliced(store, MIXED)
    with pytest.raises(InvalidParameter, match=why):
        gate(store, **{name: each for name, each in {**GATE, **changes}.items() if each})
