"""Protected examples of a gate, which may not fail at all, on every engine."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest

from app.errors import InvalidParameter
from app.stores.base import Store
from tests.analysis.test_comparisons import add
from tests.analysis.test_gates import check, gate
from tests.stores.test_documents import a_prediction


def predict(store: Store, run: str, examples: Mapping[str, str], tags: Mapping[str, Any]) -> None:
    """Add a prediction for each id, with its example and perhaps its tags."""
    store.add_documents(
        [
            a_prediction(
                id=name,
                evaluation_run_id=run,
                example_id=example,
                example_key=example,
                metadata_json=json.dumps({"tags": tags[name]}) if name in tags else None,
            )
            for name, example in examples.items()
        ]
    )


def protected(store: Store, *names: str, **given: Any) -> dict[str, Any]:
    return check(store, "protected", protected=list(names), **given)


def test_a_protected_example_may_not_fail_at_all(store: Store) -> None:
    examples = {"B1": "one", "B2": "two", "B3": "two", "B4": "four", "B5": "five"}
    predict(store, "B", examples, {"B1": ["must"], "B2": ["must", "x"], "B4": ["must"]})
    add(store, "B", {"B1": True, "B2": True, "B3": True, "B4": True, "B5": False})
    found = protected(store, "tag:must")
    assert (found["outcome"], found["found"], found["wanted"]) == ("passed", 0, 0)
    add(store, "B", {"B1": None, "B3": False})
    found = protected(store, "tag:must")
    assert (found["outcome"], found["found"]) == ("failed", 2)
    assert found["why"] == ("2 of 3 protected examples: one (failed), two (1 of 2 trials not true)")
    assert protected(store, "four", "B2")["why"] == (
        "1 of 2 protected examples: B2 (1 of 2 trials not true)"
    )


def test_a_protected_example_that_was_not_predicted_or_judged_fails(store: Store) -> None:
    predict(store, "A", {"A1": "one", "A2": "two"}, {"A2": ["must"]})
    predict(store, "B", {"B1": "one", "B3": "three"}, {"B3": ["must"]})
    add(store, "A", {"A1": True})
    add(store, "B", {"B1": True})
    assert protected(store, "tag:must")["why"] == "1 of 1 protected examples: three (not judged)"
    assert protected(store, "tag:must", "nine", baseline="A")["why"] == (
        "3 of 3 protected examples: nine (not predicted), three (not judged), two (not predicted)"
    )
    assert protected(store, "one", baseline="A")["outcome"] == "passed"


def test_ids_are_those_by_which_runs_are_paired(store: Store) -> None:
    add(store, "B", {"ex-1#b": {"ok": True, "example": "one"}, "ex-2#b": {"ok": False}})
    given = {"leaf": "ok"}
    assert protected(store, "ex-1#b", **given)["outcome"] == "passed"
    assert protected(store, "ex-1", pair_by="before:#", **given)["outcome"] == "passed"
    assert protected(store, "ex-2", pair_by="before:#", **given)["outcome"] == "failed"
    assert protected(store, "one", pair_by="leaf:example", **given)["outcome"] == "passed"


def test_at_most_five_are_named(store: Store) -> None:
    add(store, "B", {f"p{place}": place > 6 for place in range(9)})
    why = protected(store, *(f"p{place}" for place in range(9)))["why"]
    named = ", ".join(f"p{place} (not true)" for place in range(5))
    assert why == f"7 of 9 protected examples: {named} and 2 more"


@pytest.mark.parametrize(
    ("names", "values", "why"),
    [
        (["tag:mist"], [True], "no prediction has 'tag:mist'; there is 'tag:must'"),
        (["one"], [0.5], "declare true_when"),
        (["one"], ["yes"], "declare true_when"),
    ],
)
def test_what_cannot_be_protected_is_refused(
    store: Store, names: list[str], values: list[Any], why: str
) -> None:
    predict(store, "B", {"p0": "one"}, {"p0": ["must"]})
    add(store, "B", {"p0": values[0]})
    with pytest.raises(InvalidParameter, match=why) as refused:
        gate(store, protected=names)
    assert refused.value.name == "protected"
