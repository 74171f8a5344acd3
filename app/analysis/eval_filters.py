"""Filters and sort orders of evaluation results: fields of trials, and Weave's expressions."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Set
from dataclasses import dataclass
from typing import Any

from app import jsontext
from app.errors import InvalidParameter

MAX_OPERATIONS = 100
"""How many operations and operands the expression of a filter may have."""

MAX_FIELD_CHARACTERS = 1_000
PREFIXES = ("scores", "inputs", "outputs", "row_digest")

Values = Mapping[str, Any]
"""What a trial has under each of PREFIXES; `scores` by the name of the scorer."""

_DOT = re.compile(r"(?<!\\)\.")
"""A dot between two keys; in a key it has a backslash, as in Weave."""

Expression = Callable[[Values], Any]


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


def look_up(value: Any, parts: list[str]) -> Any:
    """Return the part of a value at a path that was split at its dots, or None.

    A key may have dots in it; of several that fit, the longest is taken.
    """
    while parts:
        if isinstance(value, dict):
            for length in range(len(parts), 0, -1):
                key = ".".join(parts[:length])
                if key in value:
                    value, parts = value[key], parts[length:]
                    break
            else:
                return None
        elif isinstance(value, list):
            step, parts = parts[0], parts[1:]
            if not (step.isascii() and step.isdigit() and len(step) < 10):
                return None
            if int(step) >= len(value):
                return None
            value = value[int(step)]
        else:
            return None
    return value


# Expressions


def compile_filter(expression: Any) -> Filter:
    """Return the filter of one of Weave's expressions. Raises InvalidParameter."""
    compiler = _Compiler()
    return Filter(compiler.compile(expression), compiler.prefixes)


class _Compiler:
    """Compiles one expression, within MAX_OPERATIONS."""

    def __init__(self) -> None:
        self._left = MAX_OPERATIONS
        self.prefixes: set[str] = set()

    def compile(self, expression: Any) -> Expression:
        self._left -= 1
        if self._left < 0:
            message = f"an expression has at most {MAX_OPERATIONS} operations and operands"
            raise _invalid("filters", None, message)
        if not isinstance(expression, dict) or len(expression) != 1:
            raise _invalid("filters", expression, "an expression is an object with one operator")
        ((name, operand),) = expression.items()
        if name == "$literal":
            return lambda _: operand
        if name == "$getField":
            field = compile_field("filters", operand)
            self.prefixes.add(field.prefix)
            return field
        if name in ("$contains", "$convert"):
            return self._named(name, operand)
        if name in _OPERATORS:
            return self._operation(name, operand)
        raise _invalid("filters", expression, f"the operator {name!r} is not known")

    def _operation(self, name: str, operand: Any) -> Expression:
        count, apply = _OPERATORS[name]
        if not isinstance(operand, list) or len(operand) != (count or len(operand)):
            message = f"{name} takes a list of {count or 'all'} operands"
            raise _invalid("filters", {name: operand}, message)
        if name == "$in":
            return self._membership(operand)
        parts = [self.compile(part) for part in operand]
        return lambda values: apply(part(values) for part in parts)

    def _membership(self, operand: list[Any]) -> Expression:
        wanted, options = operand
        if not isinstance(options, list):
            raise _invalid("filters", {"$in": operand}, "$in takes a value and a list")
        value, parts = self.compile(wanted), [self.compile(option) for option in options]
        return lambda values: any(equal(value(values), part(values)) for part in parts)

    def _named(self, name: str, operand: Any) -> Expression:
        """Compile an operator whose operands have names."""
        needed = "substr" if name == "$contains" else "to"
        optional = {"case_insensitive"} if name == "$contains" else set()
        if not isinstance(operand, dict) or not (
            {"input", needed} <= operand.keys() <= {"input", needed} | optional
        ):
            raise _invalid("filters", {name: operand}, f"{name} takes `input` and `{needed}`")
        source = self.compile(operand["input"])
        if name == "$contains":
            part = self.compile(operand["substr"])
            folded = bool(operand.get("case_insensitive"))
            return lambda values: _contains(source(values), part(values), folded)
        convert = _CONVERSIONS.get(operand["to"]) if isinstance(operand["to"], str) else None
        if convert is None:
            message = f"$convert is to {', '.join(_CONVERSIONS)}"
            raise _invalid("filters", {name: operand}, message)
        return lambda values: convert(source(values))


def equal(one: Any, other: Any) -> bool:
    """Return whether two JSON values are equal: 1 is 1.0, but neither is true."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    return bool(one == other)


def _ordered(compare: Callable[[Any, Any], bool]) -> Callable[[Any], bool]:
    """Return a comparison of two numbers or two texts, which is false for anything else."""

    def apply(operands: Any) -> bool:
        one, other = operands
        kinds = {_kind(one), _kind(other)}
        return len(kinds) == 1 and None not in kinds and compare(one, other)

    return apply


def _kind(value: Any) -> type | None:
    if isinstance(value, str):
        return str
    return float if isinstance(value, int | float) else None


def _contains(text: Any, part: Any, folded: bool) -> bool:
    if not isinstance(text, str) or not isinstance(part, str):
        return False
    return part.casefold() in text.casefold() if folded else part in text


def _number(value: Any, to: type[int] | type[float]) -> Any:
    try:
        return to(value) if isinstance(value, str | int | float) else None
    except (ValueError, OverflowError):
        return None


def _text(value: Any) -> Any:
    return value if value is None or isinstance(value, str) else jsontext.write(value)


def _boolean(value: Any) -> Any:
    if isinstance(value, str):
        return {"true": True, "false": False}.get(value.lower())
    return bool(value) if isinstance(value, int | float) else None


_OPERATORS: dict[str, tuple[int | None, Callable[[Any], bool]]] = {
    "$and": (None, all),
    "$or": (None, any),
    "$not": (1, lambda operands: not any(operands)),
    "$eq": (2, lambda operands: equal(*operands)),
    "$gt": (2, _ordered(lambda one, other: one > other)),
    "$gte": (2, _ordered(lambda one, other: one >= other)),
    "$lt": (2, _ordered(lambda one, other: one < other)),
    "$lte": (2, _ordered(lambda one, other: one <= other)),
    "$in": (2, any),
}
"""How many operands an operator takes, None for any number, and what it does."""

_CONVERSIONS: dict[str, Callable[[Any], Any]] = {
    "double": lambda value: _number(value, float),
    "int": lambda value: _number(value, int),
    "string": _text,
    "bool": _boolean,
    "exists": lambda value: value is not None,
}


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
    return _number(value, float) if isinstance(value, int | float) else None
