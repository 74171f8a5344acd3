"""What queries of calls and of feedback have in common: conditions, sort orders and limits."""

from __future__ import annotations

import heapq
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC
from functools import total_ordering
from typing import Any, Protocol, TypeVar

from app.analysis.expressions import Expression, compile_expression, number_in, to_text
from app.datetimes import InvalidDatetime, parse_datetime
from app.errors import InvalidParameter
from app.services.lists import ClientCheck
from app.stores.documents import time_text

LIMITS = {"documents": 500_000, "characters": 512 * 1024 * 1024}
"""How many calls or feedback one query looks at, and how many characters of their content."""

MAX_FIELD_CHARACTERS = 1_000

_DOT = re.compile(r"(?<!\\)\.")
"""A dot between two keys; in a key it has a backslash."""


class View(Protocol):
    """What is selected by its id."""

    @property
    def id(self) -> str:
        """The id."""


AnyView = TypeVar("AnyView", bound=View)


class Counts:
    """Counts what a query reads, up to LIMITS."""

    def __init__(self, check_client: ClientCheck) -> None:
        self._counts = dict.fromkeys(LIMITS, 0)
        self._check_client = check_client

    def add(self, **more: int) -> None:
        """Count what was read. Raises InvalidParameter above a limit, and ClientGone."""
        self._check_client()
        for name, number in more.items():
            self._counts[name] += number
            if self._counts[name] > LIMITS[name]:
                raise invalid("filter", f"over {LIMITS[name]} {name}: filter by ids, trace or op")


def invalid(parameter: str, message: str, given: Any = None) -> InvalidParameter:
    """Return the error for a part of a query."""
    return InvalidParameter(parameter, given, message, place="body")


# Conditions


def compile_condition(
    query: dict[str, Any] | None, field: Callable[[Any], Expression], times: Collection[str]
) -> Expression | None:
    """Return the condition of a query `{"$expr": …}`, or None without one.

    `times` are the fields that are compared with datetimes or Unix timestamps. Raises
    InvalidParameter.
    """
    if query is None:
        return None
    if query.keys() != {"$expr"}:
        raise invalid("query", "a query is an object with `$expr` and nothing else", query)

    def prepare(operands: list[Any]) -> list[Any]:
        if any(_field_in(operand) in times for operand in operands):
            return [
                list(map(_with_time, operand)) if isinstance(operand, list) else _with_time(operand)
                for operand in operands
            ]
        return operands

    return compile_expression(query["$expr"], field, "query", prepare)


def split_field(name: Any) -> list[str]:
    """Return the parts of a field's name between its dots. Raises InvalidParameter."""
    if not isinstance(name, str) or len(name) > MAX_FIELD_CHARACTERS:
        raise invalid("query", f"a field is a text of at most {MAX_FIELD_CHARACTERS} characters")
    return [part.replace("\\.", ".") for part in _DOT.split(name)]


def _field_in(operand: Any) -> Any:
    name = operand.get("$getField") if isinstance(operand, dict) else None
    return name if isinstance(name, str) else None


def _with_time(operand: Any) -> Any:
    """Return an operand whose literal is a time as views have it. Raises InvalidParameter."""
    literal = operand.get("$literal") if isinstance(operand, dict) else None
    if isinstance(literal, bool) or not isinstance(literal, str | int | float):
        return operand
    try:
        return {"$literal": time_text(parse_datetime(str(literal)).astimezone(UTC))}
    except (InvalidDatetime, OverflowError):
        raise invalid("query", "a time is a datetime or a Unix timestamp", literal) from None


def equal_texts(query: dict[str, Any] | None, name: str) -> list[str] | None:
    """Return the texts of which a field must be one if a query is true, None for any."""
    for operation in _all_of(query["$expr"] if query else None):
        ((operator, operands),) = operation.items()
        if operator not in ("$eq", "$in") or _field_in(operands[0]) != name:
            continue
        options = [operands[1]] if operator == "$eq" else operands[1]
        texts = [each.get("$literal") for each in options]
        if all(isinstance(text, str) for text in texts):
            return [text for text in texts if _is_unicode(text)]
    return None


def _is_unicode(text: str) -> bool:
    """Return whether a text has no lone surrogate; no stored id or reference has one."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _all_of(expression: Any) -> Iterator[dict[str, Any]]:
    """Yield the operations that must all be true, of a query that could be compiled."""
    if expression and "$and" in expression:
        for part in expression["$and"]:
            yield from _all_of(part)
    elif expression:
        yield expression


# Orders


@total_ordering
@dataclass(frozen=True, slots=True)
class _Descending:
    """A value in the reverse order."""

    value: Any

    def __lt__(self, other: Any) -> bool:
        return bool(other.value < self.value)


@dataclass(frozen=True)
class Sort:
    """A field to sort by. A `plain` one is a text in every view."""

    field: Expression
    descending: bool
    plain: bool

    def key(self, view: Any) -> Any:
        """Return what a view is sorted by: numbers, then texts, then those that have nothing.

        A text that is a number is sorted as one, and of several values the first counts.
        """
        value = self.field(view)
        if self.plain:
            return _Descending(value) if self.descending else value
        if isinstance(value, tuple):
            value = next(iter(value), None)
        if value is None:
            return (2,)
        number = number_in(value)
        rank, key = (1, to_text(value)) if number is None else (0, number)
        return (rank, _Descending(key) if self.descending else key)


def compile_order(
    sort_by: Sequence[Mapping[str, str]],
    field: Callable[[Any], Expression],
    plain: Collection[str],
) -> list[Sort]:
    """Return an order of views; the fields in `plain` are texts. Raises InvalidParameter."""
    return [
        Sort(field(each["field"]), each["direction"].lower() == "desc", each["field"] in plain)
        for each in sort_by
    ]


def select(
    views: Iterable[AnyView], order: Sequence[Sort], first: int, limit: int | None
) -> tuple[list[str], int]:
    """Return the ids of the page of views from `first` on, and how many views there are.

    Only the keys of the page and of those before it are held in memory.
    """
    count = 0

    def keys() -> Iterator[tuple[Any, ...]]:
        nonlocal count
        for view in views:
            count += 1
            yield (*(sort.key(view) for sort in order), view.id)

    if limit is None:
        found = sorted(keys())
    else:  # A limit of 0 counts as well.
        found = heapq.nsmallest(max(first + limit, 1), keys())[: first + limit]
    return [key[-1] for key in found[first:]], count
