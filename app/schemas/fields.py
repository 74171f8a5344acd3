"""The base of every schema, and fields whose errors carry FastAPI's type and words."""

from __future__ import annotations

from typing import Any, Self

from marshmallow import EXCLUDE, Schema, ValidationError, fields


class Reason(str):
    """An error message that also carries pydantic's error type; marshmallow knows messages only."""

    type: str
    __slots__ = ("type",)

    def __new__(cls, type_: str, message: str) -> Self:
        """A message of the error type `type_`."""
        reason = super().__new__(cls, message)
        reason.type = type_
        return reason


MISSING = Reason("missing", "Field required")
NOT_A_STRING = Reason("string_type", "Input should be a valid string")
NOT_UNICODE = Reason(
    "string_unicode",
    "Input should be a valid string, unable to parse raw data as a unicode string",
)


class Shape(Schema):
    """A schema that ignores keys it does not list, as FastAPI's models do."""

    class Meta:
        """marshmallow's options."""

        unknown = EXCLUDE


class Text(fields.Field[str]):
    """A string as it is: nothing is coerced, an empty one is allowed, a lone surrogate is not."""

    default_error_messages = {"required": MISSING, "null": NOT_A_STRING}

    def _deserialize(self, value: Any, *_: Any, **__: Any) -> str:
        if not isinstance(value, str):
            raise ValidationError(NOT_A_STRING)
        if not value.isascii() and not _is_unicode(value):
            raise ValidationError(NOT_UNICODE)
        return value


class Anything(fields.Raw):
    """Any JSON value, null included."""

    default_error_messages = {"required": MISSING}


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
