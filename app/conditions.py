"""Conditions on a leaf of a score's value, such as `accuracy.f1<0.5`."""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from json import JSONDecodeError, JSONDecoder
from typing import Any

Operand = bool | float | str | None

OPERATORS: Mapping[str, Callable[[Any, Any], bool]] = {
    "=": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "~": lambda text, part: part.casefold() in text.casefold(),
}
"""What an operator compares; `~` looks for a part of a text."""

_OPERATOR = re.compile("<=|>=|!=|==|=|<|>|~")
_NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_CONSTANTS: Mapping[str, Operand] = {"true": True, "false": False, "null": None}
_EITHER = ("=", "!=")
"""The operators for true, false and null, which have no order."""


class InvalidCondition(ValueError):
    """The text is not a condition; the message says why, and at which character."""


@dataclass(frozen=True)
class Condition:
    """An operator between the value of a leaf and a number, a text, true, false or null."""

    leaf: str
    operator: str
    operand: Operand

    def holds(self, leaves: Iterable[Mapping[str, Any]]) -> bool:
        """Return whether one of these leaves is the named one and fits.

        A null only fits `=null`. Values of different kinds are unequal and have no order.
        """
        return any(self._fits(leaf) for leaf in leaves if leaf["path"] == self.leaf)

    def _fits(self, leaf: Mapping[str, Any]) -> bool:
        is_null: bool = leaf["kind"] == "null"
        if self.operand is None:
            return is_null == (self.operator == "=")
        if is_null:
            return False
        value = leaf_value(leaf)
        if type(value) is not type(self.operand):
            return self.operator == "!="
        return bool(OPERATORS[self.operator](value, self.operand))


def leaf_value(leaf: Mapping[str, Any]) -> Operand:
    """Return the value of a leaf; an integer too large for a double is infinite."""
    match leaf["kind"]:
        case "null":
            return None
        case "text":
            return str(leaf["text"])
        case "boolean":
            return bool(leaf["number"])
    if "number" in leaf:
        return float(leaf["number"])
    return -math.inf if leaf["text"].startswith("-") else math.inf


def parse_condition(text: str) -> Condition:
    """Return the condition that `text` states. Raises InvalidCondition."""
    leaf, at = _leaf(text)
    match = _OPERATOR.match(text, at)
    if match is None:
        raise InvalidCondition(
            f"one of the operators {' '.join(OPERATORS)} is expected at character {at + 1}"
        )
    name = "=" if match[0] == "==" else match[0]
    return Condition(leaf, name, _operand(text, match.end(), name))


def _leaf(text: str) -> tuple[str, int]:
    """Return the name of the leaf, and where the operator should be."""
    start = _skip_blanks(text, 0)
    if text.startswith('"', start):
        name, end = _quoted(text, start)
        return name, _skip_blanks(text, end)
    found = _OPERATOR.search(text)
    end = found.start() if found else len(text)
    return text[start:end].strip(), end


def _operand(text: str, at: int, name: str) -> Operand:
    """Return what the leaf is compared with, which begins at a character."""
    start = _skip_blanks(text, at)
    word = text[start:].strip()
    if not word:
        raise InvalidCondition(f'a value is expected at character {start + 1}; an empty text is ""')
    if word.startswith('"'):
        quoted, end = _quoted(text, start)
        if text[end:].strip():
            raise InvalidCondition(f"nothing is expected after the text at character {end + 1}")
        return quoted
    if name == "~":
        return word
    if word in _CONSTANTS:
        if name not in _EITHER:
            message = f"at character {start + 1}, {word} has no order: use = or !="
            raise InvalidCondition(message)
        return _CONSTANTS[word]
    return _number(word, start) if _NUMBER.fullmatch(word) else word


def _number(word: str, start: int) -> float:
    number = float(word)
    if math.isinf(number):
        raise InvalidCondition(f"the number at character {start + 1} is too large for a double")
    return number


def _quoted(text: str, start: int) -> tuple[str, int]:
    """Return the JSON string at a character, and where it ends."""
    try:
        found, end = JSONDecoder().raw_decode(text, start)
    except JSONDecodeError:
        message = f"the quoted text at character {start + 1} is not a JSON string"
        raise InvalidCondition(message) from None
    return str(found), end


def _skip_blanks(text: str, at: int) -> int:
    return len(text) - len(text[at:].lstrip())
