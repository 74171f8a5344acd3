"""Weave's expressions, compiled to functions of whatever has the fields that they name."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from app import jsontext
from app.errors import InvalidParameter

MAX_OPERATIONS = 100
"""How many operations and operands an expression may have."""

Expression = Callable[[Any], Any]


@dataclass(frozen=True)
class JsonField:
    """A field that may have any JSON value, or none; of a `many` one, each of its values counts.

    Beside a literal it is read as what the literal is, as on Weave's server: as a number, a truth
    value or a text, which is empty if there is no value.
    """

    read: Expression
    many: bool = False

    def __call__(self, values: Any) -> Any:
        """Return the value, or a tuple of values."""
        return self.read(values)


@dataclass(frozen=True)
class _Literal:
    """A value in an expression."""

    value: Any

    def __call__(self, _: Any) -> Any:
        return self.value


Prepare = Callable[[list[Any]], list[Any]]
"""Returns what to compile in place of the operands of a comparison."""


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


def compile_expression(
    expression: Any,
    field: Callable[[Any], Expression],
    parameter: str,
    prepare: Prepare | None = None,
) -> Expression:
    """Return one of Weave's expressions as a function.

    A comparison is None if one of its operands has no value or both are of different kinds, and
    `$not` of None is None. `field` compiles the name in a `$getField`, and `parameter` is named in
    errors. Raises InvalidParameter.
    """
    return _Compiler(field, parameter, prepare or list).compile(expression)


class _Compiler:
    """Compiles one expression, within MAX_OPERATIONS."""

    def __init__(
        self, field: Callable[[Any], Expression], parameter: str, prepare: Prepare
    ) -> None:
        self._left = MAX_OPERATIONS
        self._field = field
        self._parameter = parameter
        self._prepare = prepare

    def compile(self, expression: Any) -> Expression:
        self._left -= 1
        if self._left < 0:
            message = f"an expression has at most {MAX_OPERATIONS} operations and operands"
            raise self._invalid(None, message)
        if not isinstance(expression, dict) or len(expression) != 1:
            raise self._invalid(expression, "an expression is an object with one operator")
        ((name, operand),) = expression.items()
        if name == "$literal":
            return _Literal(operand)
        if name == "$getField":
            return self._field(operand)
        if name in ("$contains", "$convert"):
            return self._named(name, operand)
        if name in _OPERANDS:
            return self._operation(name, operand)
        raise self._invalid(expression, f"the operator {name!r} is not known")

    def _operation(self, name: str, operand: Any) -> Expression:
        count, text = _OPERANDS[name]
        if not isinstance(operand, list) or len(operand) != (count or len(operand) or 1):
            raise self._invalid({name: operand}, f"{name} takes a list of {text}")
        operand = self._prepare(operand)
        if name == "$in":
            return self._membership(operand)
        parts = [self.compile(part) for part in operand]
        if name in _LOGIC:
            logic = _LOGIC[name]
            return lambda values: logic(part(values) for part in parts)
        return _comparison(name, *parts)

    def _membership(self, operand: list[Any]) -> Expression:
        wanted, options = operand
        if not isinstance(options, list):
            raise self._invalid({"$in": operand}, "$in takes a value and a list")
        value, parts = self.compile(wanted), [self.compile(option) for option in options]
        read = _beside(value, [part.value for part in parts if isinstance(part, _Literal)])

        def is_among(values: Any) -> bool | None:
            found = read(values)
            if found is None:
                return None
            return any(_compare("$eq", found, part(values)) for part in parts)

        return is_among

    def _named(self, name: str, operand: Any) -> Expression:
        """Compile an operator whose operands have names."""
        needed = "substr" if name == "$contains" else "to"
        optional = {"case_insensitive"} if name == "$contains" else set()
        if not isinstance(operand, dict) or not (
            {"input", needed} <= operand.keys() <= {"input", needed} | optional
        ):
            raise self._invalid({name: operand}, f"{name} takes `input` and `{needed}`")
        source = self.compile(operand["input"])
        if name == "$contains":
            part = self.compile(operand["substr"])
            folded = bool(operand.get("case_insensitive"))
            return lambda values: _contains(source(values), part(values), folded)
        convert = _CONVERSIONS.get(operand["to"]) if isinstance(operand["to"], str) else None
        if convert is None:
            message = f"$convert is to {', '.join(_CONVERSIONS)}"
            raise self._invalid({name: operand}, message)
        return lambda values: convert(source(values))

    def _invalid(self, given: Any, message: str) -> InvalidParameter:
        return InvalidParameter(self._parameter, given, message, place="body")


# Comparisons


def _comparison(name: str, one: Expression, other: Expression) -> Expression:
    literals = [part.value for part in (one, other) if isinstance(part, _Literal)]
    if name == "$eq" and None in literals:
        return lambda values: one(values) in (None, ()) and other(values) in (None, ())
    first, second = _beside(one, literals), _beside(other, literals)
    return lambda values: _compare(name, first(values), second(values))


def _beside(part: Expression, literals: Sequence[Any]) -> Expression:
    """Return an operand; a field is read as the kind of the literals that it is compared with."""
    kinds = {_kind(each) for each in literals}
    if not isinstance(part, JsonField) or len(kinds) != 1:
        return part
    convert = _READINGS.get(kinds.pop())
    if convert is None:
        return part
    if part.many:
        return lambda values: tuple(convert(each) for each in part(values))
    return lambda values: convert(part(values))


def _compare(name: str, one: Any, other: Any) -> bool | None:
    """Return the result of a comparison, None if a value is missing or the kinds do not compare."""
    if isinstance(one, tuple):
        return any(_compare(name, each, other) for each in one)
    if isinstance(other, tuple):
        return any(_compare(name, one, each) for each in other)
    kind = _kind(one)
    if kind != _kind(other) or not (name == "$eq" or kind in _READINGS) or one is None:
        return None
    return _COMPARISONS[name](one, other)


def _kind(value: Any) -> type:
    """Return the type of a JSON value; numbers are of one kind, and true and false are none."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return float if is_number else type(value)


def _contains(text: Any, part: Any, folded: bool) -> bool:
    if isinstance(text, tuple):
        return any(_contains(each, part, folded) for each in text)
    text = to_text(text)  # As on Weave's server, what is no text is searched as JSON.
    if not isinstance(text, str) or not isinstance(part, str):
        return False
    return part.casefold() in text.casefold() if folded else part in text


def _not(operands: Iterable[Any]) -> bool | None:
    (value,) = operands
    return None if value is None else not value


# Conversions


def to_number(value: Any, to: type[int] | type[float]) -> Any:
    """Return a number or the text of one as `to`, None for anything else."""
    try:
        return to(value) if isinstance(value, str | int | float) else None
    except (ValueError, OverflowError):
        return None


def to_text(value: Any) -> Any:
    """Return a text as it is, None as None, and other values as JSON."""
    return value if value is None or isinstance(value, str) else jsontext.write(value)


def number_in(value: Any) -> Any:
    """Return a number, also of its text, None for anything else and for true and false."""
    if isinstance(value, str):
        return to_number(value, float)
    return value if _kind(value) is float else None


def _double(value: Any) -> Any:
    return None if isinstance(value, bool) else to_number(value, float)


def _whole(value: Any) -> Any:
    """Return a whole number, also of its text, None for anything else."""
    if isinstance(value, float):
        return int(value) if value.is_integer() else None
    return None if isinstance(value, bool) else to_number(value, int)


def _boolean(value: Any) -> Any:
    if isinstance(value, str):
        return {"true": True, "1": True, "false": False, "0": False}.get(value.lower())
    return bool(value) if isinstance(value, int | float) and value in (0, 1) else None


_OPERANDS: dict[str, tuple[int | None, str]] = {
    **dict.fromkeys(("$and", "$or"), (None, "operands")),
    "$not": (1, "one operand"),
    **dict.fromkeys(("$eq", "$gt", "$gte", "$lt", "$lte", "$in"), (2, "two operands")),
}
"""How many operands an operator takes, None for any number but none, and in words."""

_LOGIC: dict[str, Callable[[Iterable[Any]], bool | None]] = {"$and": all, "$or": any, "$not": _not}

_COMPARISONS: dict[str, Callable[[Any, Any], bool]] = {
    "$eq": operator.eq,
    "$gt": operator.gt,
    "$gte": operator.ge,
    "$lt": operator.lt,
    "$lte": operator.le,
}

_READINGS: dict[type, Callable[[Any], Any]] = {
    str: lambda value: to_text(value) or "",
    bool: _boolean,
    float: number_in,
}
"""How a field is read that is compared with a literal of a kind."""

_CONVERSIONS: dict[str, Callable[[Any], Any]] = {
    "double": _double,
    "int": _whole,
    "string": to_text,
    "bool": _boolean,
    "exists": lambda value: value not in (None, ()),
}
