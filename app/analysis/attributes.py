"""Attributes of examples, by which slices are made: parts of inputs, of metadata, or a leaf."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import chain
from sys import intern
from typing import Any

from app import jsontext
from app.analysis.run_scores import (
    RunScores,
    Scores,
    ScoreValues,
    read_predictions,
    refuse_unknown_leaf,
)
from app.errors import InvalidParameter
from app.leaves import MAX_CHARACTERS, part_at, scalars, similar_names, steps_of, storable
from app.services.lists import ClientCheck
from app.stores.base import Store

MAX_SLICES = 100
MAX_LABELS = 10_000
"""How many labels are counted before an attribute is refused for having too many."""

NAMED_FROM = 100
"""From how many predictions the attributes are taken that a message names."""

_LAST_POSITION = re.compile(r"\[[0-9]+\]$")

Label = str | None
"""The value of an attribute as JSON text, so that 1, "1" and true differ; None without one."""

Part = tuple[RunScores, RunScores]
"""The scores of one scorer in two runs, of the examples of one slice."""


@dataclass
class Attribute:
    """The labels of the examples of some runs: `inputs.PATH`, `metadata.PATH` or `leaf:PATH`.

    Each text, number or boolean of a list is a label of its own.
    """

    name: str
    leaf: str | None = None
    """The leaf that has the labels; None if predictions have them."""
    labels: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """By the ids of predictions; one without a label is left out."""

    def split(self, scorer: str, baseline: RunScores, candidate: RunScores) -> dict[Label, Part]:
        """Return two runs by slice, those without a label last.

        The labels of an example are those in the baseline, or else those in the candidate.
        """
        before, after = (run.paired.get(scorer, {}) for run in (baseline, candidate))
        slices: dict[Label, tuple[Scores, Scores]] = {}
        for key in {**before, **after}:
            labels: Sequence[Label]
            labels = self._labels(before.get(key, ())) or self._labels(after.get(key, ()))
            for label in labels or (None,):
                one, other = slices.setdefault(label, ({}, {}))
                if key in before:
                    one[key] = before[key]
                if key in after:
                    other[key] = after[key]
        return {
            label: (
                RunScores(baseline.run_id, paired={scorer: slices[label][0]}),
                RunScores(candidate.run_id, paired={scorer: slices[label][1]}),
            )
            for label in sorted(slices, key=_place)
        }

    def describe(self, label: Label) -> str:
        """Return how a sentence names a slice."""
        if label is None:
            return f"without {self.name}"
        value = json.loads(label)
        return f"{self.name} = {value if isinstance(value, str) else label}"

    def _labels(self, scores: Iterable[ScoreValues]) -> list[str]:
        """Return the labels of the trials of an example."""
        return list(dict.fromkeys(label for score in scores for label in self.labels_of(score)))

    def labels_of(self, score: ScoreValues) -> tuple[str, ...]:
        """Return the labels of one trial."""
        if self.leaf is None:
            return self.labels.get(score.prediction_id, ())
        return labels_in(score.values.get(self.leaf))


def read_attribute(
    store: Store,
    entity: str,
    project: str,
    runs: Sequence[RunScores],
    name: str,
    check_client: ClientCheck,
    *,
    parameter: str,
) -> Attribute:
    """Read the labels of the examples of some runs.

    Raises InvalidParameter if none has the attribute, and if there are more than MAX_SLICES labels,
    and whatever `check_client` raises.
    """
    if name.startswith("leaf:"):
        attribute = Attribute(name, name.removeprefix("leaf:"))
        refuse_unknown_leaf(runs, parameter, attribute.leaf or "", name)
        scores = (each for run in runs for of_scorer in run.scores.values() for each in of_scorer)
        seen = {label for score in scores for label in attribute.labels_of(score)}
        _check_number(parameter, name, seen)
        return attribute
    attribute = Attribute(name)
    root, _, path = name.partition(".")
    steps, known, found = steps_of(path), set[str](), set[str]()
    for run in runs:
        rows = chain.from_iterable(read_predictions(store, entity, project, run, f"{root}_json"))
        for position, (prediction_id, text) in enumerate(rows):
            check_client()
            content = jsontext.read_leniently(text) if text else None
            if position < NAMED_FROM:
                paths = [path for path, _ in scalars(content, MAX_SLICES) if path]
                known |= {f"{root}.{_LAST_POSITION.sub('', path)}" for path in paths}
            labels = labels_in(part_at(content, steps))
            found.update(labels)
            if len(found) > MAX_LABELS or len(labels) > MAX_SLICES:
                _check_number(parameter, name, found)
            if labels:
                attribute.labels[prediction_id] = labels
    if not found:
        message = f"none of the predictions has {name!r}{similar_names(name, known)}"
        raise InvalidParameter(parameter, name, message)
    _check_number(parameter, name, found)
    return attribute


def labels_in(value: Any) -> tuple[str, ...]:
    """Return the labels that a value is: itself, or those in a list; an object and null are none.

    Texts are cut to MAX_CHARACTERS, like those of leaves.
    """
    if isinstance(value, list):
        found = (label for each in value if not isinstance(each, list) for label in labels_in(each))
        return tuple(dict.fromkeys(found))
    if value is None or isinstance(value, dict):
        return ()
    if isinstance(value, str):
        value = storable(value[:MAX_CHARACTERS])
    elif isinstance(value, float) and value.is_integer():
        value = int(value)
    return (intern(jsontext.write(value)),)


def _check_number(parameter: str, name: str, labels: set[str]) -> None:
    number = len(labels)
    if number > MAX_SLICES:
        shown = f"over {MAX_LABELS}" if number > MAX_LABELS else str(number)
        message = f"{name!r} has {shown} values, and at most {MAX_SLICES} slices are compared"
        raise InvalidParameter(parameter, name, message)


def _place(label: Label) -> tuple[bool, bool, Any]:
    """Return where a slice comes: numbers first, then texts, then examples without a label."""
    value = None if label is None else json.loads(label)
    return value is None, isinstance(value, str), 0 if value is None else value
