"""Which texts or numbers of a leaf count as true: some texts, or a comparison with a number."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from app import jsontext
from app.conditions import OPERATORS, InvalidCondition, leaf_value, parse_condition
from app.leaves import MAX_CHARACTERS

COMPARISONS = ("<", "<=", ">", ">=", "=", "!=")
MAX_TEXTS = 100


class InvalidTrueWhen(ValueError):
    """What was given is no rule for truth; the message says why."""


@dataclass(frozen=True)
class TrueWhen:
    """A rule that says which texts, or which numbers, count as true."""

    texts: frozenset[str] | None = None
    operator: str = ""
    number: float = math.nan

    def truth(self, leaf: Mapping[str, Any]) -> bool | None:
        """Return whether the value of a leaf counts as true; None if the rule is not about it."""
        return self.truth_of(leaf_value(leaf))

    def truth_of(self, value: object) -> bool | None:
        """Return whether a value counts as true; None if the rule is not about it.

        A list of texts is about texts, a comparison about numbers. Booleans and nulls stay what
        they are.
        """
        if self.texts is not None:
            return value in self.texts if isinstance(value, str) else None
        return (
            bool(OPERATORS[self.operator](value, self.number)) if isinstance(value, float) else None
        )


def parse_true_when(given: Any) -> TrueWhen:
    """Return the rule that a list of texts or a text such as `>= 0.5` states.

    Raises InvalidTrueWhen.
    """
    if isinstance(given, str):
        return _comparison(given)
    if not isinstance(given, list) or not given or not all(isinstance(each, str) for each in given):
        raise InvalidTrueWhen("give a list of texts, or a comparison with a number such as >= 0.5")
    if len(given) > MAX_TEXTS:
        raise InvalidTrueWhen(f"at most {MAX_TEXTS} texts can count as true")
    if any(len(text) > MAX_CHARACTERS for text in given):
        raise InvalidTrueWhen(f"a leaf has no text of more than {MAX_CHARACTERS} characters")
    return TrueWhen(texts=frozenset(given))


def _comparison(text: str) -> TrueWhen:
    try:
        condition = parse_condition(text)
    except InvalidCondition as error:
        raise InvalidTrueWhen(str(error)) from None
    number = condition.operand
    if condition.leaf or condition.operator not in COMPARISONS or not isinstance(number, float):
        operators = " ".join(COMPARISONS)
        raise InvalidTrueWhen(
            f"a comparison is one of {operators} and a number, such as >= 0.5; "
            "texts that count as true are a list"
        )
    return TrueWhen(operator=condition.operator, number=number)


def read_true_when(text: str | None) -> TrueWhen | None:
    """Return the rule that is stored as JSON text, or None."""
    return None if text is None else parse_true_when(jsontext.read(text.encode()))
