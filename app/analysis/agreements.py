"""Agreement: how far two judges agree beyond chance, and where they do not."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from app.analysis.agreement_figures import AgreementFigures
from app.analysis.judges import Judge, Judgement, read_judge
from app.analysis.metrics import Declared
from app.analysis.pairs import ComparedMetric
from app.analysis.run_scores import RunScores, Value, read_examples
from app.errors import InvalidParameter
from app.services.lists import ClientCheck, no_client_check
from app.services.metrics import read_metrics
from app.services.run_references import RunFinder
from app.stores.base import Store

MAX_RUNS = 1_000
"""In how many runs the predictions may be that both have judged."""

MAX_REASON = 1_000
"""How many characters of a reason are shown."""

FAILED = {
    (True, False): "failed_in_first",
    (False, True): "failed_in_second",
    (True, True): "failed_in_both",
}


class JudgedTwice(NamedTuple):
    """A prediction that has a value by both judges."""

    first: Judgement
    second: Judgement
    values: tuple[Any, Any]
    """As they are compared: of rates, whether they are true."""


def agreement_of(
    store: Store,
    entity: str,
    project: str,
    wanted: Mapping[str, Any],
    check_client: ClientCheck = no_client_check,
) -> dict[str, Any]:
    """Return how far two judges agree on the predictions that both have judged.

    `wanted` is a loaded AgreementQuery. Raises what `RunFinder.find` and `read_judge` raise, and
    InvalidParameter for values that cannot be equal and for more than MAX_RUNS runs.
    """
    place = (entity, project)
    finder = RunFinder(store, *place, check_client)
    wanted = {**wanted, "run": finder.find_all("run", wanted["run"])}
    first, second = (
        read_judge(store, *place, wanted, side, check_client) for side in ("first", "second")
    )
    metrics = _metrics(first, second, Declared(read_metrics(store, *place), {}))
    compared, counts = _match(first, second, metrics)
    examples = _examples(store, *place, compared, check_client)
    kind = "boolean" if metrics[0].is_rate else metrics[0].kind
    finder.check_unchanged()
    figures = AgreementFigures(kind, [each.values for each in compared], examples, check_client)
    return {
        "first": first.response(),
        "second": second.response(),
        "runs": wanted["run"],
        "kind": kind,
        "reason": figures.reason(*_names(first, second)),
        "predictions": {"compared": len(compared), "examples": len(set(examples)), **counts},
        **figures.response(),
        "disagreements": _disagreements(store, *place, compared, wanted["worst"]),
    }


def _names(first: Judge, second: Judge) -> tuple[str, str]:
    """Return how a sentence names the judges, with their leaves if only these differ."""
    if first.name != second.name:
        return first.name, second.name
    return f"{first.name} {first.leaf}".rstrip(), f"{second.name} {second.leaf}".rstrip()


def _metrics(
    first: Judge, second: Judge, declared: Declared
) -> tuple[ComparedMetric, ComparedMetric]:
    """Return the metrics of both, of one kind. Raises InvalidParameter if there is none.

    Numbers are compared as numbers and texts as texts, unless all numbers are 0 or 1. Values of
    different kinds are compared as rates, where it is known which of them are true.
    """
    one, two = first.metric(declared), second.metric(declared)
    if not first.has_values:
        one = replace(two, scorer=one.scorer, path=one.path)
    if not second.has_values:
        two = replace(one, scorer=two.scorer, path=two.path)
    is_declared = one.true_when is not None or two.true_when is not None
    are_rates = one.is_rate and two.is_rate
    if one.kind == two.kind and (is_declared or not are_rates):
        plain = one.kind == "boolean"
        return (
            replace(one, is_rate=plain, true_when=None),
            replace(two, is_rate=plain, true_when=None),
        )
    if not are_rates:
        why = f"{one.kind} is compared with {two.kind}: declare which values are true"
        raise InvalidParameter("second", second.scorer, why)
    return one, two


def _match(
    first: Judge, second: Judge, metrics: tuple[ComparedMetric, ComparedMetric]
) -> tuple[list[JudgedTwice], dict[str, int]]:
    """Return the predictions with a value by both, and how many others there are, by reason."""
    compared, failed = [], Counter[str]()
    for prediction_id, one in first.judgements.items():
        two = second.judgements.get(prediction_id)
        if two is None:
            continue
        values = metrics[0].value_in(one.score), metrics[1].value_in(two.score)
        if values[0] is None or values[1] is None:
            failed[FAILED[values[0] is None, values[1] is None]] += 1
        else:
            compared.append(JudgedTwice(one, two, values))
    ids = first.judgements.keys(), second.judgements.keys()
    counts = {name: failed[name] for name in FAILED.values()}
    counts |= {"only_in_first": len(ids[0] - ids[1]), "only_in_second": len(ids[1] - ids[0])}
    return compared, counts


def _examples(
    store: Store,
    entity: str,
    project: str,
    compared: Sequence[JudgedTwice],
    check_client: ClientCheck,
) -> list[str]:
    """Return the example of each prediction, or its own id. Raises InvalidParameter."""
    runs: dict[str, RunScores] = {}
    for one, _, _ in compared:
        runs.setdefault(one.run_id, RunScores(one.run_id)).scores[""].append(one.score)
    if len(runs) > MAX_RUNS:
        message = f"the predictions are in over {MAX_RUNS} runs: name fewer runs"
        raise InvalidParameter("run", None, message)
    keys = read_examples(store, entity, project, runs.values(), check_client)
    ids = [each.first.score.prediction_id for each in compared]
    return [keys.get(prediction_id, prediction_id) for prediction_id in ids]


def _disagreements(
    store: Store, entity: str, project: str, compared: Sequence[JudgedTwice], most: int
) -> list[dict[str, Any]]:
    """Return at most `most` disagreements, of numbers the largest first."""
    found = heapq.nsmallest(
        most,
        (
            (-_distance(*each.values), place)
            for place, each in enumerate(compared)
            if each.values[0] != each.values[1]
        ),
    )
    shown = [compared[place] for _, place in found]
    ids = sorted({side.score.score_id for each in shown for side in each[:2]})
    reasons = {
        score.score_id: score.reason and score.reason[:MAX_REASON]
        for score in store.read_scores(entity, project, ids)
    }
    return [
        {
            "prediction_id": each.first.score.prediction_id,
            "first_score_id": each.first.score.score_id,
            "second_score_id": each.second.score.score_id,
            "first_value": _only_value(each.first),
            "second_value": _only_value(each.second),
            "first_reason": reasons.get(each.first.score.score_id),
            "second_reason": reasons.get(each.second.score.score_id),
        }
        for each in shown
    ]


def _distance(one: Value, two: Value) -> float:
    """Return the distance of two values, which is 1 unless both are numbers."""
    return abs(one - two) if isinstance(one, float) and isinstance(two, float) else 1.0


def _only_value(judgement: Judgement) -> Value:
    (value,) = judgement.score.values.values()
    return value
