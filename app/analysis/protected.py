"""Protected examples: those that a run may not fail at all, named by a tag or an id."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import chain
from typing import Any

from app.analysis.gate_checks import Check
from app.analysis.pairs import ComparedMetric
from app.analysis.run_scores import RunScores, ScoreValues, read_predictions
from app.errors import InvalidParameter
from app.leaves import similar_names
from app.services.lists import ClientCheck
from app.stores.base import Store

NAMED = 5
"""How many examples a check names."""

MAX_TAGS = 1_000
"""Of how many tags a message names the similar ones."""

TAG = "tag:"


class ProtectedExamples:
    """The examples of some runs that are named by `tag:NAME`, an example's or a prediction's id."""

    def __init__(self) -> None:
        self._names: dict[str, dict[str, set[str]]] = {}
        """The names that each prediction has, by run; one without them is left out."""
        self._examples: dict[str, str] = {}
        """The ids of examples, by the ids of these predictions."""
        self._predictions: dict[str, list[str]] = {}
        """The ids of the predictions of each run, also of those without a score."""
        self._tags: set[str] = set()

    def read(
        self,
        store: Store,
        entity: str,
        project: str,
        runs: Sequence[RunScores],
        names: Collection[str],
        check_client: ClientCheck,
    ) -> None:
        """Read which predictions have one of the names. Raises whatever `check_client` raises."""
        wanted = set(names)
        fields = ("example_key", "metadata_json")
        for run in runs:
            found = self._names.setdefault(run.run_id, {})
            predictions = self._predictions.setdefault(run.run_id, [])
            pages = read_predictions(store, entity, project, run, *fields)
            for prediction_id, example, metadata in chain.from_iterable(pages):
                check_client()
                predictions.append(prediction_id)
                tags = tags_in(metadata)
                if len(self._tags) < MAX_TAGS:
                    self._tags.update(tags)
                given = wanted & {prediction_id, example, *tags}
                if given:
                    found[prediction_id] = given
                    self._examples[prediction_id] = example or prediction_id

    def check(
        self,
        names: Sequence[str],
        metric: ComparedMetric,
        run: RunScores,
        baseline: RunScores | None,
    ) -> Check:
        """Check that every trial of the named examples is true: none failed, and none is missing.

        Examples that only the baseline has count too. Raises InvalidParameter for a tag that no
        prediction has.
        """
        shown = self._find(names, metric.scorer, [run] if baseline is None else [run, baseline])
        trials = self._trials(shown, metric, run)
        failing = [
            f"{name} ({why})"
            for key, name in sorted(shown.items(), key=lambda each: each[1])
            if (why := _why_failing(trials.get(key, [])))
        ]
        if not failing:
            return Check("protected", 0, "passed", 0)
        named = ", ".join(failing[:NAMED])
        more = f" and {len(failing) - NAMED} more" if len(failing) > NAMED else ""
        why = f"{len(failing)} of {len(shown)} protected examples: {named}{more}"
        return Check("protected", 0, "failed", len(failing), why=why)

    def _find(
        self, names: Sequence[str], scorer: str, runs: Sequence[RunScores]
    ) -> dict[object, str]:
        """Return the protected examples by pairing key, and how to call them."""
        wanted, found = set(names), set[str]()
        shown: dict[object, str] = {}
        for run in runs:
            of_run = self._names.get(run.run_id, {})
            for key, prediction_id in self._places(run, scorer):
                given = wanted & {*of_run.get(prediction_id, ()), _text_of(key)}
                if given:
                    found |= given
                    ids = sorted(name for name in given if not name.startswith(TAG))
                    shown.setdefault(
                        key, (ids or [self._examples.get(prediction_id, prediction_id)])[0]
                    )
        for name in names:
            if name not in found and name.startswith(TAG):
                message = f"no prediction has {name!r}{similar_names(name, self._tags)}"
                raise InvalidParameter("protected", name, message)
        return shown | {("unknown", name): name for name in names if name not in found}

    def _trials(
        self, keys: Collection[object], metric: ComparedMetric, run: RunScores
    ) -> dict[object, list[str]]:
        """Return what is wrong with the trials of each example in a run; a true one is empty."""
        scores = run.paired.get(metric.scorer, {})
        trials: defaultdict[object, list[str]] = defaultdict(list)
        for key, prediction_id in dict.fromkeys(self._places(run, metric.scorer)):
            if key in keys:
                own = [each for each in scores.get(key, ()) if each.prediction_id == prediction_id]
                trials[key].append(_why_not_true(metric, own))
        return trials

    def _places(self, run: RunScores, scorer: str) -> Iterator[tuple[object, str]]:
        """Yield the pairing key and the id of each prediction, judged or not."""
        judged = set()
        for key, scores in run.paired.get(scorer, {}).items():
            for score in scores:
                judged.add(score.prediction_id)
                yield key, score.prediction_id
        for prediction_id in self._predictions[run.run_id]:
            if prediction_id not in judged:
                yield run.key_of(prediction_id), prediction_id


def tags_in(metadata_json: str | None) -> set[str]:
    """Return the texts in the list `tags` of a prediction's metadata, as `tag:NAME`."""
    metadata: Mapping[str, Any] = json.loads(metadata_json) if metadata_json else {}
    tags = metadata.get("tags")
    return (
        {f"{TAG}{tag}" for tag in tags if isinstance(tag, str)} if isinstance(tags, list) else set()
    )


def _text_of(key: object) -> str | None:
    """Return the id in a pairing key; of a leaf's value, the text."""
    value = key[1] if isinstance(key, tuple) else key
    return value if isinstance(value, str) else None


def _why_not_true(metric: ComparedMetric, scores: Sequence[ScoreValues]) -> str:
    values = [metric.value_in(score) for score in scores]
    if not values:
        return "not judged"
    if None in values:
        return "failed"
    return "" if all(values) else "not true"


def _why_failing(trials: Sequence[str]) -> str:
    """Return what is wrong with an example, empty if all its trials are true."""
    if not trials:
        return "not predicted"
    wrong = Counter(each for each in trials if each)
    if len(trials) == 1:
        return trials[0]
    return ", ".join(f"{number} of {len(trials)} trials {why}" for why, number in wrong.items())
