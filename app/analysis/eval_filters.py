"""Filters and sort orders of evaluation results: fields of trials, and Weave's expressions."""

from __future__ import annotations

import re
from collections.abc import Mapping, Set
from dataclasses import dataclass
from typing import Any

from app.analysis.expressions import (
    Expression,
    JsonField,
    compile_expression,
    look_up,
    to_number,
)
from app.errors import InvalidParameter

MAX_FIELD_CHARACTERS = 1_000
PREFIXES = ("scores", "inputs", "outputs", "row_digest")

Values = Mapping[str, Any]
"""What a trial has under each of PREFIXES; `scores` by the name of the scorer."""

_DOT = re.compile(r"(?<!\\)\.")
"""A dot between two keys; in a key it has a backslash, as in Weave."""


@dataclass(frozen=True)
class Field:
    """A field of a trial: the first part of its name, which is one of PREFIXES, and the rest."""

    name: str
    prefix: str
    parts: list[str]

    def __call__(self, values: Values) -> Any:
        """Return the value of the field, None if the trial does not have it."""
        return look_up(values.get(self.prefix), self.parts)


@dataclass(frozen=True)
class Filter:
    """A compiled expression, and the first parts of the names of the fields in it."""

    expression: Expression
    prefixes: Set[str]


def compile_field(parameter: str, name: Any) -> Field:
    """Return `scores.NAME`, `inputs.PATH`, `outputs.PATH` or `row_digest`.

    A name may be followed by a path in the value. `inputs` and `outputs` alone are the whole.
    Weave's server reads `output.output.PATH` and `output.scores.NAME`, which are the same. Raises
    InvalidParameter.
    """
    if not isinstance(name, str) or len(name) > MAX_FIELD_CHARACTERS:
        raise _invalid(parameter, name, "a field is a text of at most 1000 characters")
    prefix, *parts = (part.replace("\\.", ".") for part in _DOT.split(name))
    if prefix == "output" and parts[:1] in (["output"], ["scores"]):
        prefix, *parts = parts
        prefix = {"output": "outputs"}.get(prefix, prefix)
    if prefix not in PREFIXES or (prefix == "scores" and not parts):
        message = f"the field {name!r} does not begin with scores., inputs. or outputs."
        raise _invalid(parameter, name, message)
    return Field(name, prefix, parts)


def compile_filter(expression: Any) -> Filter:
    """Return the filter of one of Weave's expressions. Raises InvalidParameter."""
    prefixes: set[str] = set()

    def field(name: Any) -> JsonField:
        found = compile_field("filters", name)
        prefixes.add(found.prefix)
        return JsonField(found)

    return Filter(compile_expression(expression, field, "filters"), prefixes)


def _invalid(parameter: str, given: Any, message: str) -> InvalidParameter:
    return InvalidParameter(parameter, given, message, place="body")


# Sort orders


def mean_value(values: list[Any]) -> float | str | None:
    """Return what values are sorted by: the mean of the numbers, else the first text, else None."""
    numbers = [number for value in values if (number := _sortable(value)) is not None]
    if numbers:
        return sum(number / len(numbers) for number in numbers)
    return min((value for value in values if isinstance(value, str)), default=None)


def _sortable(value: Any) -> float | None:
    return to_number(value, float) if isinstance(value, int | float) else None
