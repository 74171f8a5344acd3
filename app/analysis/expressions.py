"""Weave's expressions, compiled to functions of whatever has the fields that they name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from app import jsontext
from app.errors import InvalidParameter

MAX_OPERATIONS = 100
"""How many operations and operands an expression may have."""

Expression = Callable[[Any], Any]

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

    `field` compiles the name in a `$getField`, and `parameter` is named in errors. Raises
    InvalidParameter.
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
            return lambda _: operand
        if name == "$getField":
            return self._field(operand)
        if name in ("$contains", "$convert"):
            return self._named(name, operand)
        if name in _OPERATORS:
            return self._operation(name, operand)
        raise self._invalid(expression, f"the operator {name!r} is not known")

    def _operation(self, name: str, operand: Any) -> Expression:
        count, apply = _OPERATORS[name]
        if not isinstance(operand, list) or len(operand) != (count or len(operand)):
            message = f"{name} takes a list of {_OPERANDS[count]}"
            raise self._invalid({name: operand}, message)
        operand = self._prepare(operand)
        if name == "$in":
            return self._membership(operand)
        parts = [self.compile(part) for part in operand]
        return lambda values: apply(part(values) for part in parts)

    def _membership(self, operand: list[Any]) -> Expression:
        wanted, options = operand
        if not isinstance(options, list):
            raise self._invalid({"$in": operand}, "$in takes a value and a list")
        value, parts = self.compile(wanted), [self.compile(option) for option in options]
        return lambda values: any(equal(value(values), part(values)) for part in parts)

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
    text = to_text(text)  # As on Weave's server, what is no text is searched as JSON.
    if not isinstance(text, str) or not isinstance(part, str):
        return False
    return part.casefold() in text.casefold() if folded else part in text


def to_number(value: Any, to: type[int] | type[float]) -> Any:
    """Return a number or the text of one as `to`, None for anything else."""
    try:
        return to(value) if isinstance(value, str | int | float) else None
    except (ValueError, OverflowError):
        return None


def to_text(value: Any) -> Any:
    """Return a text as it is, None as None, and other values as JSON."""
    return value if value is None or isinstance(value, str) else jsontext.write(value)


def _boolean(value: Any) -> Any:
    if isinstance(value, str):
        return {"true": True, "false": False}.get(value.lower())
    return bool(value) if isinstance(value, int | float) else None


_OPERANDS = {None: "operands", 1: "one operand", 2: "two operands"}

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
    "double": lambda value: to_number(value, float),
    "int": lambda value: to_number(value, int),
    "string": to_text,
    "bool": _boolean,
    "exists": lambda value: value is not None,
}
