"""Decide which judgements of a prediction by a scorer count, and which value each of them has."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from app.services.scores import hash_of

MAX_DEPTH = 50
"""How deep values are compared; a text of an object in a deeper value is another value."""

_TEXT_OF_OBJECT = re.compile(r"[^\W\d][\w.]*\(.*\)", re.DOTALL)


@dataclass(frozen=True)
class Judgement:
    """A judgement as a call, feedback or an output says it: a value, or an error with null."""

    name: str
    scorer: str
    value: Any
    error: str | None = None
    reason: str | None = None
    annotator: str | None = None
    call_id: str | None = None
    """The id of the scorer's call."""
    id: str = ""
    """The id of what says it, empty for an output."""
    owner: str | None = None
    may_change: bool = False
    """Whether it may supersede what other owners say."""
    arrived: str = ""
    """A text that sorts in the order of arrival."""
    other_forms: tuple[Any, ...] = ()
    """The same value as other sources say it."""

    @cached_property
    def hash(self) -> str:
        """The hash of the value and the error, whatever the order of keys."""
        return self._hash_of(self.value)

    @cached_property
    def hashes(self) -> set[str]:
        """The hashes of the value in all its forms."""
        return {self.hash, *map(self._hash_of, self.other_forms)}

    def _hash_of(self, value: Any) -> str:
        return hash_of(json.dumps([value, self.error], sort_keys=True))


def judgements_of(
    owner: str | None,
    calls: Sequence[Judgement],
    feedback: Sequence[Judgement],
    output: Judgement | None,
) -> list[Judgement]:
    """Return the judgements of one scorer that count, in the order in which they were made.

    `calls` are in the order in which they began. Feedback wins over the call that it names, or over
    all calls if it names none of them; the output only counts alone. `owner` is that of the
    prediction.
    """
    everything = [*calls, *feedback, *([output] if output else [])]
    counted = [each for each in feedback if _counts(each, owner, everything)]
    made = {each.id: each for each in calls if _counts(each, owner, everything)}
    named = {each.call_id for each in counted}
    others = [each for each in made.values() if each.id not in named] if named <= {*made} else []
    found = [_in_best_form(each, made.get(each.call_id or "")) for each in counted] + others
    if not found:
        return [output] if output else []
    if len(found) == 1 and output:
        found = [_in_best_form(found[0], output)]
    places = {call_id: place for place, call_id in enumerate(made)}
    return sorted(
        found, key=lambda each: (places.get(each.call_id or "", len(places)), each.arrived)
    )


def _counts(each: Judgement, owner: str | None, everything: Sequence[Judgement]) -> bool:
    """Return whether a judgement counts beside those of other owners.

    One owner decides: that of the prediction, if it judges at all, otherwise the first one.
    """
    if any(other.owner == owner for other in everything):
        first = owner
    else:
        first = min(everything, key=lambda other: other.arrived).owner
    return each.may_change or each.owner == first


def with_objects(judgement: Judgement, objects: Mapping[str, Any]) -> Judgement:
    """Return a judgement with objects in place of the references to them."""
    value = _with_objects(judgement.value, objects) if objects else judgement.value
    if value == judgement.value:
        return judgement
    return replace(judgement, value=value, other_forms=(judgement.value,))


def _with_objects(value: Any, objects: Mapping[str, Any], depth: int = 0) -> Any:
    if isinstance(value, str):
        return objects.get(value, value)
    if isinstance(value, dict) and depth < MAX_DEPTH:
        return {name: _with_objects(part, objects, depth + 1) for name, part in value.items()}
    if isinstance(value, list) and depth < MAX_DEPTH:
        return [_with_objects(part, objects, depth + 1) for part in value]
    return value


def _in_best_form(judgement: Judgement, source: Judgement | None) -> Judgement:
    """Return a judgement with the objects of its source in place of texts of them.

    Of an object that a scorer returns, the SDK sends the fields in the call and `repr` in the
    feedback.
    """
    if source is None or source.error or judgement.value == source.value:
        return judgement
    if judgement.value not in source.other_forms and not _is_text_of(judgement.value, source.value):
        return judgement
    forms = (*judgement.other_forms, judgement.value, *source.other_forms)
    return replace(judgement, value=source.value, other_forms=forms)


def _is_text_of(one: Any, other: Any, depth: int = 0) -> bool:
    """Return whether one value is another one, apart from texts in place of objects."""
    if depth > MAX_DEPTH:
        return False
    if isinstance(one, str) and _is_object(other):
        return True
    if isinstance(one, dict) and isinstance(other, dict):
        pairs = [(one[name], other[name]) for name in one.keys() & other.keys()]
        is_same = len(pairs) == len(one) == len(other)
    elif isinstance(one, list) and isinstance(other, list):
        pairs = list(zip(one, other, strict=False))
        is_same = len(one) == len(other)
    else:
        return type(one) is type(other) and bool(one == other)
    return is_same and all(_is_text_of(*pair, depth + 1) for pair in pairs)


def has_text_of_object(value: Any, depth: int = 0) -> bool:
    """Return whether a value has a text such as `Verdict(passed=True)`."""
    if isinstance(value, str):
        return _TEXT_OF_OBJECT.fullmatch(value) is not None
    parts = value.values() if isinstance(value, dict) else value
    if depth > MAX_DEPTH or not isinstance(value, dict | list):
        return False
    return any(has_text_of_object(part, depth + 1) for part in parts)


def _is_object(value: Any) -> bool:
    """Return whether a value is an object of a class, or a reference to one."""
    if isinstance(value, dict):
        return "_type" in value
    return isinstance(value, str) and value.startswith("weave:///")
