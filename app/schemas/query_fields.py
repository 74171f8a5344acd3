"""Fields of query parameters, which parse text as pydantic does."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any

from marshmallow import ValidationError, fields, validate

from app.conditions import Condition, InvalidCondition, parse_condition
from app.schemas.fields import Described, List, Reason, Text, one_of

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
# Unicode's White_Space, which differs from the characters that str.strip() removes.
_BLANK = "[\t-\r \x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]*"
_INTEGER = re.compile(rf"{_BLANK}([+-]?)([0-9]+(?:_[0-9]+)*)(?:\.0+)?{_BLANK}")


def too_long(most: int, actual: int) -> Reason:
    """Return pydantic's error for a list of `actual` elements, more than `most`."""
    return Reason(
        "too_long",
        f"List should have at most {most} items after validation, not {actual}",
        {"field_type": "List", "max_length": most, "actual_length": actual},
    )


def bounds(least: float | None, most: float | None) -> list[validate.Range]:
    """Return validators for these bounds with pydantic's errors."""
    validators = []
    if least is not None:
        message = f"Input should be greater than or equal to {least}"
        reason = Reason("greater_than_equal", message, {"ge": least})
        validators.append(validate.Range(min=least, error=reason))
    if most is not None:
        message = f"Input should be less than or equal to {most}"
        reason = Reason("less_than_equal", message, {"le": most})
        validators.append(validate.Range(max=most, error=reason))
    return validators


class WholeNumber(Described, fields.Integer):
    """An integer, of JSON or parsed as pydantic does: ` +1_000.0 ` is a thousand."""

    default_error_messages = {"null": NOT_AN_INTEGER}

    def __init__(
        self, description: str, least: int, most: int | None = None, **options: Any
    ) -> None:
        super().__init__(description, validate=bounds(least, most), **options)

    def _deserialize(self, value: Any, *_: Any, **__: Any) -> int:
        if isinstance(value, int) and not isinstance(value, bool):
            return value
        match = _INTEGER.fullmatch(value) if isinstance(value, str) else None
        if not match:
            raise ValidationError(NOT_AN_INTEGER)
        sign, digits = match[1], _without_zeros(match[2]).replace("_", "")
        if len(digits) > MAX_DIGITS:
            raise ValidationError(TOO_LONG_AN_INTEGER)
        return int(sign + digits)


class Number(Described, fields.Float):
    """A finite number, of JSON or parsed as pydantic does."""

    default_error_messages = {"null": NOT_A_NUMBER}

    def __init__(
        self,
        description: str,
        least: float | None = None,
        most: float | None = None,
        **options: Any,
    ) -> None:
        super().__init__(description, validate=bounds(least, most), **options)

    def _deserialize(self, value: Any, *_: Any, **__: Any) -> float:
        number = _number(value)
        if number is None:
            raise ValidationError(NOT_A_NUMBER)
        if not math.isfinite(number):
            raise ValidationError(NOT_FINITE)
        return number


def _number(value: Any) -> float | None:
    """Return a number, or the one that a text states; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    try:
        # float() would also accept the digits of other scripts.
        return float(value) if not isinstance(value, str) or value.strip().isascii() else None
    except ValueError:
        return None
    except OverflowError:
        return math.inf


class Flag(Described, fields.Boolean):
    """A boolean, of JSON or in any case, parsed as pydantic does."""

    truthy = {True, "1", "true", "t", "yes", "y", "on"}
    falsy = {False, "0", "false", "f", "no", "n", "off"}
    default_error_messages = {"null": NOT_A_BOOLEAN, "invalid": NOT_A_BOOLEAN}

    def __init__(self, description: str, **options: Any) -> None:
        super().__init__(description, pre_load=_lower, **options)


def _lower(value: Any) -> Any:
    return value.lower() if isinstance(value, str) else value


class MaxLength(validate.Length):
    """Reject a list of more than `most` elements."""

    def __init__(self, most: int) -> None:
        super().__init__(min=1, max=most)

    def _format_error(self, value: Any, _message: str) -> str:
        return too_long(self.max or 0, len(value))


class TextList(List):
    """All values of a repeated parameter, at most `most`."""

    def __init__(
        self,
        description: str,
        most: int,
        *,
        element: fields.Field[Any] | None = None,
        **options: Any,
    ) -> None:
        super().__init__(description, element or Text(), validate=MaxLength(most), **options)


class ConditionText(fields.Field[Condition]):
    """A condition on a leaf, such as `accuracy.f1<0.5`."""

    shape: dict[str, Any] = {"type": "string"}

    def _deserialize(self, value: Any, *_: Any, **__: Any) -> Condition:
        try:
            return parse_condition(value)
        except InvalidCondition as error:
            reason = Reason("value_error", f"Value error, {error}", {"error": {}})
            raise ValidationError(reason) from None


class ChoiceList(TextList):
    """Several of a few words, repeated or separated by commas, without duplicates."""

    def __init__(self, description: str, choices: Sequence[str], **options: Any) -> None:
        super().__init__(
            description,
            most=len(choices),
            element=Text(metadata={"enum": list(choices)}),
            pre_load=self._split,
            **options,
        )
        self._choices = choices
        self._error = one_of(choices)

    def _split(self, value: list[str]) -> list[str]:
        words = list(dict.fromkeys(word for given in value for word in given.split(",")))
        if any(word not in self._choices for word in words):
            raise ValidationError(self._error)
        return words


def _without_zeros(digits: str) -> str:
    """Return `digits` without leading zeros, but with one zero before an underscore or the end.

    A pattern for them would take quadratic time on a text that does not match.
    """
    rest = digits.lstrip("0")
    return rest if rest[:1].isdigit() else f"0{rest}"
