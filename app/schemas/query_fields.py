"""Fields of a query, whose values are texts: read as pydantic reads them."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any

from marshmallow import ValidationError, fields

from app.schemas.fields import MISSING, Reason, one_of

NOT_AN_INTEGER = Reason(
    "int_parsing", "Input should be a valid integer, unable to parse string as an integer"
)
TOO_LONG_AN_INTEGER = Reason(
    "int_parsing_size", "Unable to parse input string as an integer, exceeded maximum size"
)
NOT_A_NUMBER = Reason(
    "float_parsing", "Input should be a valid number, unable to parse string as a number"
)
NOT_FINITE = Reason("finite_number", "Input should be a finite number")
NOT_A_BOOLEAN = Reason("bool_parsing", "Input should be a valid boolean, unable to interpret input")

MAX_DIGITS = 4300
# Unicode's White_Space, which is not quite what str.strip() takes away.
_BLANK = "[\t-\r \x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]*"
_INTEGER = re.compile(rf"{_BLANK}([+-]?)([0-9]+(?:_[0-9]+)*)(?:\.0+)?{_BLANK}")
_TRUE = frozenset({"1", "true", "t", "yes", "y", "on"})
_FALSE = frozenset({"0", "false", "f", "no", "n", "off"})


def too_long(most: int, actual: int) -> Reason:
    """A list with more than `most` items, in pydantic's words."""
    return Reason(
        "too_long",
        f"List should have at most {most} items after validation, not {actual}",
        {"field_type": "List", "max_length": most, "actual_length": actual},
    )


def check_bounds(number: float, least: float | None, most: float | None) -> None:
    """Refuse a number that is not between two others, in pydantic's words."""
    if least is not None and number < least:
        message = f"Input should be greater than or equal to {least}"
        raise ValidationError(Reason("greater_than_equal", message, {"ge": least}))
    if most is not None and number > most:
        message = f"Input should be less than or equal to {most}"
        raise ValidationError(Reason("less_than_equal", message, {"le": most}))


class WholeNumber(fields.Field[int]):
    """A whole number in a query, as pydantic reads one: ` +1_000.0 ` is a thousand."""

    def __init__(self, least: int, most: int | None = None, **options: Any) -> None:
        super().__init__(**options)
        self.least = least
        self.most = most
        self.shape = {"type": "integer", "minimum": least}
        if most is not None:
            self.shape["maximum"] = most

    def _deserialize(self, value: Any, *_: Any, **__: Any) -> int:
        match = _INTEGER.fullmatch(value)
        if not match:
            raise ValidationError(NOT_AN_INTEGER)
        sign, digits = match[1], _without_zeros(match[2]).replace("_", "")
        if len(digits) > MAX_DIGITS:
            raise ValidationError(TOO_LONG_AN_INTEGER)
        number = int(sign + digits)
        check_bounds(number, self.least, self.most)
        return number


class Number(fields.Field[float]):
    """A finite number in a query, as pydantic reads one."""

    def __init__(
        self, least: float | None = None, most: float | None = None, **options: Any
    ) -> None:
        super().__init__(**options)
        self.least = least
        self.most = most
        bounds = {"minimum": least, "maximum": most}
        given = {name: bound for name, bound in bounds.items() if bound is not None}
        self.shape = {"type": "number", **given}

    def _deserialize(self, value: Any, *_: Any, **__: Any) -> float:
        try:
            # Python reads the digits of every script.
            number = float(value) if value.strip().isascii() else None
        except ValueError:
            number = None
        if number is None:
            raise ValidationError(NOT_A_NUMBER)
        if not math.isfinite(number):
            raise ValidationError(NOT_FINITE)
        check_bounds(number, self.least, self.most)
        return number


class Flag(fields.Field[bool]):
    """A yes or no in a query, as pydantic reads one."""

    shape = {"type": "boolean"}

    def _deserialize(self, value: Any, *_: Any, **__: Any) -> bool:
        word = value.lower()
        if word not in _TRUE | _FALSE:
            raise ValidationError(NOT_A_BOOLEAN)
        return word in _TRUE


class TextList(fields.Field[list[str]]):
    """All values of a repeated parameter of a query, at most `most`."""

    default_error_messages = {"required": MISSING}

    def __init__(self, most: int, **options: Any) -> None:
        super().__init__(**options)
        self.most = most
        self.shape = {
            "type": "array",
            "items": {"type": "string"},
            "minItems": 1,
            "maxItems": most,
        }

    def _deserialize(self, value: Any, *_: Any, **__: Any) -> list[str]:
        if len(value) > self.most:
            raise ValidationError(too_long(self.most, len(value)))
        return list(value)


class WordList(TextList):
    """Some of a few words, repeated or separated by commas; each once, as they were first given."""

    def __init__(self, choices: Sequence[str], **options: Any) -> None:
        super().__init__(most=len(choices), **options)
        self.choices = choices
        self.refusal = one_of(choices)
        self.shape["items"] = {"type": "string", "enum": list(choices)}

    def _deserialize(self, value: Any, *_: Any, **__: Any) -> list[str]:
        words = list(dict.fromkeys(word for given in value for word in given.split(",")))
        if any(word not in self.choices for word in words):
            raise ValidationError(self.refusal)
        return words


def _without_zeros(digits: str) -> str:
    """`digits` without the zeros before its first group's last digit.

    In the pattern, they would take time in the square of their number where it does not match.
    """
    rest = digits.lstrip("0")
    return rest if rest[:1].isdigit() else f"0{rest}"
