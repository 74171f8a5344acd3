"""Agreement of two judges: pairs, figures, disagreements and the sentence."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from marshmallow import ValidationError
from scipy import stats

from app.analysis import agreements, judges
from app.analysis.agreements import agreement_of
from app.analysis.statistics.agreement import confusion_table
from app.errors import InvalidParameter, NotFound
from app.schemas.agreement import AgreementQuery
from app.services.metrics import declare_metrics
from app.stores.base import Store
from tests.analysis.test_comparisons import add, numbered
from tests.services.test_metrics import OLGA, a_body
from tests.stores.test_documents import a_prediction

V0, V1 = (f"weave:///acme/demo/object/Judge:v{number}" for number in (0, 1))


@pytest.fixture
def store(embedded_store: Store) -> Store:
    """Return an empty embedded store: what is tested here is the same on every engine."""
    return embedded_store


def agreed(
    store: Store, first: str = "Judge", second: str = "Human", **given: Any
) -> dict[str, Any]:
    wanted = AgreementQuery().load({"first": first, "second": second, **given})
    return agreement_of(store, "acme", "demo", wanted)


def judge(store: Store, values: list[Any], scorer: str = "Judge", **fields: Any) -> None:
    add(store, "run", numbered(values), scorer=scorer, **fields)


def counts(answer: Mapping[str, Any]) -> dict[str, int]:
    return {name: number for name, number in answer["predictions"].items() if number}


def values_of(answer: Mapping[str, Any]) -> dict[str, float | None]:
    names = ("agreement", "kappa", "weighted_kappa", "alpha", "spearman")
    return {name: answer[name]["value"] for name in names}


def test_booleans_have_cohen_s_kappa_and_a_confusion_table(store: Store) -> None:
    judge(store, [True] * 25 + [False] * 25)
    judge(store, [True] * 20 + [False] * 5 + [True] * 10 + [False] * 15, "Human")
    answer = agreed(store)
    assert answer["kind"] == "boolean"
    assert answer["table"] == {"categories": [False, True], "counts": [[15, 10], [5, 20]]}
    # The textbook case: observed 0.7, by chance 0.5.
    assert values_of(answer)["agreement"] == pytest.approx(0.7)
    assert answer["by_chance"] == pytest.approx(0.5)
    assert values_of(answer)["kappa"] == pytest.approx(0.4)
    interval = answer["kappa"]["interval"]
    assert interval["low"] < 0.4 < interval["high"]
    assert answer["weighted_kappa"]["why"] == "these values have no order"
    assert answer["spearman"]["value"] is None
    assert answer["reason"].startswith(
        "Judge and Human give the same value to 70 % of 50 predictions; by chance it would be "
        "50 %, so Cohen's kappa is 0.40 (95 % interval "
    )
    assert answer["reason"].endswith("): they reach 40 % of what chance leaves open.")
    assert agreed(store) == answer


def test_numbers_have_spearman_and_weighted_kappa(store: Store) -> None:
    chance = random.Random(2)
    first = [float(chance.randint(1, 5)) for _ in range(60)]
    second = [min(5.0, max(1.0, each + chance.choice((-1, 0, 0, 1)))) for each in first]
    judge(store, first)
    judge(store, second, "Human")
    answer = agreed(store)
    assert answer["kind"] == "number"
    found = values_of(answer)
    assert found["spearman"] == pytest.approx(stats.spearmanr(first, second).statistic)
    # With quadratic weights, kappa is 1 less the mean square over that of all pairs.
    square = np.subtract.outer(np.array(first), np.array(second)) ** 2
    assert found["weighted_kappa"] == pytest.approx(1 - np.diag(square).mean() / square.mean())
    assert answer["kappa"]["value"] < answer["weighted_kappa"]["value"]
    assert "Krippendorff's alpha, 0." in answer["reason"]


def test_numbers_of_many_values_have_no_table(store: Store) -> None:
    chance = random.Random(2)
    first = [chance.gauss(0, 1) for _ in range(60)]
    judge(store, first)
    judge(store, [each * 1e300 for each in first], "Human")
    answer = agreed(store)
    assert (answer["table"], answer["kappa"]["value"]) == (None, None)
    assert answer["kappa"]["why"] == "there are over 50 different values"
    assert answer["spearman"]["value"] == pytest.approx(1)


def test_texts_are_categories(store: Store) -> None:
    judge(store, ["good", "bad", "fair"] * 10)
    judge(store, ["good", "bad", "good"] * 10, "Human")
    answer = agreed(store)
    assert answer["kind"] == "text"
    assert answer["table"]["categories"] == ["bad", "fair", "good"]
    assert answer["table"]["counts"] == [[10, 0, 0], [0, 0, 10], [0, 0, 10]]
    assert answer["weighted_kappa"]["value"] is None


def test_predictions_without_both_values_are_counted_by_why(store: Store) -> None:
    judge(store, [True, True, None, None, True])
    judge(store, [True, None, True, None], "Human")
    add(store, "other", {"q": True}, scorer="Human")
    assert counts(agreed(store)) == {
        "compared": 1,
        "examples": 1,
        "failed_in_first": 1,
        "failed_in_second": 1,
        "failed_in_both": 1,
        "only_in_first": 1,
        "only_in_second": 1,
    }
    assert counts(agreed(store, run=["run"]))["compared"] == 1
    assert "only_in_second" not in counts(agreed(store, run=["run"]))


def test_versions_are_compared_although_the_newer_one_supersedes(store: Store) -> None:
    judge(store, [True] * 12, V0)
    judge(store, [False] * 3 + [True] * 9, V0)
    judge(store, [True] * 12, V1)
    answer = agreed(store, V0, V1)
    assert counts(answer) == {"compared": 12, "examples": 12}
    assert values_of(answer)["agreement"] == pytest.approx(0.75)
    assert answer["reason"].startswith("Judge:v0 and Judge:v1 give the same value to 75 %")
    with pytest.raises(InvalidParameter, match="no score is by the scorer 'weave:///acme/demo"):
        agreed(store, V0, V1 + "1")


def test_annotators_are_compared_with_each_other_and_with_the_judge(store: Store) -> None:
    judge(store, [True] * 10)
    judge(store, [True] * 10, annotator="alice")
    judge(store, [False] * 5 + [True] * 5, annotator="bob")
    both = {"first_annotator": "alice", "second_annotator": "bob"}
    assert values_of(agreed(store, second="Judge", **both))["agreement"] == 0.5
    none = {"first_annotator": "", "second_annotator": "bob"}
    answer = agreed(store, second="Judge", **none)
    assert counts(answer) == {"compared": 10, "examples": 10}
    assert answer["reason"].startswith("Judge and Judge (bob) give")
    with pytest.raises(InvalidParameter, match="name an annotator") as refused:
        agreed(store, second="Judge", second_annotator="bob")
    assert refused.value.name == "first_annotator"
    with pytest.raises(InvalidParameter, match="the annotator 'bod'; there is 'bob'"):
        agreed(store, second="Judge", first_annotator="bod", second_annotator="bob")


def test_the_largest_disagreements_come_first_with_their_reasons(store: Store) -> None:
    judge(store, [1.0, 5.0, 2.0, 3.0], reason="r" * 2_000)
    judge(store, [1.0, 1.0, 4.0, 2.0], "Human")
    found = agreed(store, worst="2")["disagreements"]
    assert [each["prediction_id"] for each in found] == ["p1", "p2"]
    assert (found[0]["first_value"], found[0]["second_value"]) == (5.0, 1.0)
    assert (len(found[0]["first_reason"]), found[0]["second_reason"]) == (1_000, None)
    assert found[0]["first_score_id"] != found[0]["second_score_id"]
    assert agreed(store, worst="0")["disagreements"] == []


def test_a_value_that_prevails_is_warned_of(store: Store) -> None:
    judge(store, [True] * 95 + [False] * 5)
    judge(store, [True] * 90 + [False] * 5 + [True] * 5, "Human")
    answer = agreed(store)
    assert values_of(answer)["agreement"] == pytest.approx(0.9)
    assert answer["kappa"]["value"] < 0
    assert (
        "they agree no more often than by chance; 95 % of all values are true" in answer["reason"]
    )


def test_equal_constants_show_nothing(store: Store) -> None:
    judge(store, [True] * 20)
    judge(store, [True] * 20, "Human")
    answer = agreed(store)
    assert answer["kappa"] == {"value": None, "interval": None, "why": "the values do not vary"}
    assert answer["reason"].endswith(
        "100 % of 20 predictions, always this one value, so nothing shows whether they tell any "
        "apart."
    )


def test_judges_without_a_common_prediction_have_no_figures(store: Store) -> None:
    judge(store, [True] * 3)
    add(store, "run", {"q": True}, scorer="Human")
    answer = agreed(store)
    assert answer["reason"] == "No prediction has a value by both Judge and Human."
    assert set(values_of(answer).values()) == {None}
    assert (answer["by_chance"], answer["table"]) == (None, None)


def test_trials_of_an_example_are_drawn_together(store: Store) -> None:
    store.add_documents(
        [
            a_prediction(id=f"p{place}", evaluation_run_id="run", example_key=f"e{place % 10}")
            for place in range(40)
        ]
    )
    judge(store, [place % 2 == 0 for place in range(40)])
    judge(store, [place % 10 < 5 for place in range(40)], "Human")
    answer = agreed(store)
    assert counts(answer)["examples"] == 10
    assert answer["agreement"]["interval"]["method"] == "clustered_wilson"


def test_values_of_different_kinds_need_a_declared_truth(store: Store) -> None:
    judge(store, ["yes", "no"] * 10)
    judge(store, [True, False] * 10, "Human")
    with pytest.raises(InvalidParameter, match="declare which values are true"):
        agreed(store)
    body = a_body(scorer="Judge", true_when=["yes"])
    declare_metrics(store, "acme", "demo", [body], OLGA)
    answer = agreed(store)
    assert (answer["kind"], answer["kappa"]["value"]) == ("boolean", 1)
    assert answer["kappa"]["why"] == "samples of these examples do not vary enough for an interval"


def test_numbers_that_are_0_or_1_are_compared_with_booleans(store: Store) -> None:
    judge(store, [1, 0] * 10)
    judge(store, [True, False] * 10, "Human")
    assert agreed(store)["kind"] == "boolean"


def test_two_leaves_of_one_scorer_are_named_by_their_leaves(store: Store) -> None:
    judge(store, [{"ok": place > 2, "safe": place > 4} for place in range(12)])
    answer = agreed(store, second="Judge", leaf="ok", second_leaf="safe")
    assert answer["reason"].startswith(
        "Judge ok and Judge safe give the same value to 83.3 % of 12"
    )


def test_leaves_are_named_and_unknown_ones_refused(store: Store) -> None:
    judge(store, [{"ok": True, "score": 1.5}] * 3)
    judge(store, [{"label": True}] * 3, "Human")
    assert counts(agreed(store, leaf="ok", second_leaf="label"))["compared"] == 3
    for given, field in (
        ({"leaf": "ok"}, "leaf"),
        ({"leaf": "ok", "second_leaf": "x"}, "second_leaf"),
    ):
        with pytest.raises(InvalidParameter, match="none of the scores has the leaf") as refused:
            agreed(store, **given)
        assert refused.value.name == field
    with pytest.raises(InvalidParameter, match="there is 'Human'") as refused:
        agreed(store, second="human", leaf="ok")
    assert refused.value.name == "second"
    add(store, "other", numbered([True]), scorer="Other")
    with pytest.raises(NotFound, match="run other has no scores by Judge"):
        agreed(store, leaf="ok", second_leaf="label", run=["run", "other"])


def test_an_answer_reads_a_bounded_number_of_predictions_and_runs(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    for run in "AB":
        for scorer in ("Judge", "Human"):
            add(store, run, {f"{run}{place}": True for place in range(3)}, scorer=scorer)
    assert counts(agreed(store))["compared"] == 6
    monkeypatch.setattr(agreements, "MAX_RUNS", 1)
    with pytest.raises(InvalidParameter, match="over 1 runs"):
        agreed(store)
    monkeypatch.setattr(judges, "MAX_JUDGED", 5)
    with pytest.raises(InvalidParameter, match="over 5 predictions"):
        agreed(store)
    assert counts(agreed(store, run=["A"]))["compared"] == 3


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"first": "a"}, "second"),
        ({"first": "a", "second": "a"}, "second"),
        ({"first": "a", "second": "b", "annotator": "x"}, "annotator"),
        ({"first": "a", "second": "b", "worst": "1001"}, "worst"),
    ],
)
def test_agreement_takes_two_different_judges(given: dict[str, Any], field: str) -> None:
    with pytest.raises(ValidationError) as refused:
        AgreementQuery().load(given)
    assert list(refused.value.messages_dict) == [field]


def test_equal_pairs_of_values_are_counted_once_in_each_sample(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    judge(store, [True, True, False] * 20)
    judge(store, [True, False, False] * 20, "Human")
    seen = []

    def table(first: Any, *rest: Any) -> Any:
        seen.append(len(first))
        return confusion_table(first, *rest)

    monkeypatch.setattr("app.analysis.agreement_figures.confusion_table", table)
    assert agreed(store)["kappa"]["interval"] is not None
    assert set(seen) == {3}
