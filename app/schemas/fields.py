"""The base of every schema, and fields and validators that refuse in FastAPI's words."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Self

from marshmallow import EXCLUDE, RAISE, Schema, ValidationError, fields, validate

from app import jsontext


class Reason(str):
    """An error message that also carries pydantic's error type, and its ctx where it has one.

    marshmallow knows messages only.
    """

    type: str
    ctx: dict[str, Any] | None
    __slots__ = ("ctx", "type")

    def __new__(cls, type_: str, message: str, ctx: dict[str, Any] | None = None) -> Self:
        """Make a message of the error type `type_`."""
        reason = super().__new__(cls, message)
        reason.type = type_
        reason.ctx = ctx
        return reason

    def format(self, *_: object, **__: object) -> Self:
        """Return the reason itself: marshmallow formats each message before it raises it."""
        return self


MISSING = Reason("missing", "Field required")
UNKNOWN = Reason("extra_forbidden", "Extra inputs are not permitted")
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
        render_module = jsontext


class Query(Shape):
    """A schema of a query's parameters, which cannot be null; an unknown one is refused."""

    class Meta(Shape.Meta):
        """marshmallow's options."""

        unknown = RAISE

    error_messages = {"unknown": UNKNOWN}
    takes_last = False
    """Whether the last of a repeated parameter counts, as in FastAPI; else it is refused."""

    def on_bind_field(self, _name: str, field_obj: fields.Field[Any]) -> None:
        """Take the null away that marshmallow allows where None is the default."""
        field_obj.allow_none = False


class WeaveQuery(Query):
    """A query of Weave's contract, in which FastAPI ignores unknown parameters."""

    class Meta(Query.Meta):
        """marshmallow's options."""

        unknown = EXCLUDE

    takes_last = True


def one_of(choices: Sequence[str]) -> Reason:
    """Return pydantic's error for a text that is none of at least two words."""
    *others, last = (f"'{choice}'" for choice in choices)
    expected = f"{', '.join(others)} or {last}"
    return Reason("literal_error", f"Input should be {expected}", {"expected": expected})


def check_unicode(text: str) -> None:
    """Refuse a text with a lone surrogate, which UTF-8 cannot carry."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValidationError(NOT_UNICODE) from None


class FullMatch(validate.Regexp):
    """Refuse a text that a pattern does not match from its beginning to its end."""

    def __init__(self, pattern: str) -> None:
        message = f"String should match pattern '{pattern}'"
        reason = Reason("string_pattern_mismatch", message, {"pattern": pattern})
        super().__init__(pattern, error=reason)

    def __call__(self, value: Any) -> Any:
        """Return `value`. Raises ValidationError."""
        if not self.regex.fullmatch(value):
            raise ValidationError(self.error)
        return value


class Text(fields.String):
    """A string as it is: nothing is coerced, an empty one is allowed, a lone surrogate is not."""

    default_error_messages = {"required": MISSING, "null": NOT_A_STRING, "invalid": NOT_A_STRING}

    def __init__(self, *validators: Callable[[str], Any], **options: Any) -> None:
        super().__init__(validate=[check_unicode, *validators], **options)


class Pattern(Text):
    """A string that matches a regular expression."""

    def __init__(self, pattern: str, **options: Any) -> None:
        super().__init__(FullMatch(pattern), **options)


class Choice(Text):
    """One of some words."""

    def __init__(self, choices: Sequence[str], **options: Any) -> None:
        refusal = one_of(choices)
        super().__init__(validate.OneOf(choices, error=refusal), **options)
        self.error_messages |= {"null": refusal, "invalid": refusal}


class Anything(fields.Raw):
    """Any JSON value, null included."""

    default_error_messages = {"required": MISSING}
