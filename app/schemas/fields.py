"""Base schemas, and fields and validators whose errors are FastAPI's.

Each field takes its description in the OpenAPI document as its first argument.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Self

from marshmallow import EXCLUDE, RAISE, Schema, ValidationError, fields, validate

from app import jsontext
from app.datetimes import InvalidDatetime, names_zone, parse_datetime
from app.ids import utc_text


class Reason(str):
    """An error message with pydantic's error type and optional ctx, which marshmallow lacks."""

    type: str
    ctx: dict[str, Any] | None
    __slots__ = ("ctx", "type")

    def __new__(cls, type_: str, message: str, ctx: dict[str, Any] | None = None) -> Self:
        """Create a message with the error type `type_`."""
        reason = super().__new__(cls, message)
        reason.type = type_
        reason.ctx = ctx
        return reason

    def format(self, *_: object, **__: object) -> Self:
        """Return the reason itself, because marshmallow formats messages before raising them."""
        return self


MISSING = Reason("missing", "Field required")
UNKNOWN = Reason("extra_forbidden", "Extra inputs are not permitted")
NOT_A_LIST = Reason("list_type", "Input should be a valid list")
NOT_A_DICTIONARY = Reason("dict_type", "Input should be a valid dictionary")
NOT_AN_OBJECT = Reason(
    "model_attributes_type",
    "Input should be a valid dictionary or object to extract fields from",
)
NOT_A_STRING = Reason("string_type", "Input should be a valid string")
NOT_UNICODE = Reason(
    "string_unicode",
    "Input should be a valid string, unable to parse raw data as a unicode string",
)
NOT_A_DATETIME = Reason("datetime_type", "Input should be a valid datetime")
NO_ZONE = Reason("timezone_aware", "Input should have timezone info")
NOT_IN_THE_FUTURE = Reason("datetime_future", "Input should be in the future")
NOT_IN_THE_PAST = Reason("datetime_past", "Input should be in the past")

MAX_COUNT = 2**53 - 1
"""The largest integer that every JSON reader reads exactly (RFC 8259, section 6)."""

MAX_ID_CHARACTERS = 1_000

NOT_A_BOOLEAN = Reason("bool_type", "Input should be a valid boolean")
NOT_AN_INTEGER = Reason("int_type", "Input should be a valid integer")
NEGATIVE = Reason("greater_than_equal", "Input should be greater than or equal to 0", {"ge": 0})
TOO_MANY = Reason(
    "less_than_equal", f"Input should be less than or equal to {MAX_COUNT}", {"le": MAX_COUNT}
)
TOO_SHORT = Reason("string_too_short", "String should have at least 1 character", {"min_length": 1})
TOO_LONG = Reason(
    "string_too_long",
    f"String should have at most {MAX_ID_CHARACTERS} characters",
    {"max_length": MAX_ID_CHARACTERS},
)

CLOCKS_DIFFER = timedelta(minutes=1)
"""How far the clock of another machine may be ahead."""


class Shape(Schema):
    """A schema that ignores unknown keys, as FastAPI's models do."""

    class Meta:
        """marshmallow's options."""

        unknown = EXCLUDE
        render_module = jsontext

    error_messages = {"type": NOT_AN_OBJECT}


class Plain(Shape):
    """A response that is made of plain values already."""

    def dumps(self, obj: Any, *_: Any, **__: Any) -> str:
        """Return `obj` as JSON."""
        return jsontext.write(obj)


class Query(Shape):
    """A schema of query parameters, which rejects unknown ones."""

    class Meta(Shape.Meta):
        """marshmallow's options."""

        unknown = RAISE

    error_messages = {**Shape.error_messages, "unknown": UNKNOWN}
    takes_last = False
    """Whether the last value of a repeated parameter is used, as in FastAPI, or it is an error."""

    def on_bind_field(self, _name: str, field_obj: fields.Field[Any]) -> None:
        """Disallow null, which marshmallow allows for fields with the default None."""
        field_obj.allow_none = False


class WeaveQuery(Query):
    """A query of Weave's contract, in which FastAPI ignores unknown parameters."""

    class Meta(Query.Meta):
        """marshmallow's options."""

        unknown = EXCLUDE

    takes_last = True


def one_of(choices: Sequence[str]) -> Reason:
    """Return pydantic's error for a string that is not one of the choices."""
    *others, last = (f"'{choice}'" for choice in choices)
    expected = f"{', '.join(others)} or {last}" if others else last
    return Reason("literal_error", f"Input should be {expected}", {"expected": expected})


def check_unicode(text: str) -> None:
    """Reject a string with a lone surrogate, which UTF-8 cannot encode. Raises ValidationError."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValidationError(NOT_UNICODE) from None


class FullMatch(validate.Regexp):
    """Reject a string that a pattern does not match completely."""

    def __init__(self, pattern: str) -> None:
        message = f"String should match pattern '{pattern}'"
        reason = Reason("string_pattern_mismatch", message, {"pattern": pattern})
        super().__init__(pattern, error=reason)

    def __call__(self, value: Any) -> Any:
        """Return `value`. Raises ValidationError."""
        if not self.regex.fullmatch(value):
            raise ValidationError(self.error)
        return value


class MaxCharacters(validate.Length):
    """Reject a string of more than `most` characters."""

    def __init__(self, most: int) -> None:
        message = f"String should have at most {most} characters"
        super().__init__(max=most, error=Reason("string_too_long", message, {"max_length": most}))


class Described(fields.Field[Any]):
    """A field that begins with its description."""

    def __init__(
        self, description: str = "", *, metadata: Mapping[str, Any] | None = None, **options: Any
    ) -> None:
        described = {"description": description} if description else {}
        super().__init__(metadata={**described, **(metadata or {})}, **options)


class Text(Described, fields.String):
    """A string, possibly empty. Nothing is coerced, and lone surrogates are rejected."""

    default_error_messages = {"required": MISSING, "null": NOT_A_STRING, "invalid": NOT_A_STRING}

    def __init__(
        self, description: str = "", *validators: Callable[[str], Any], **options: Any
    ) -> None:
        super().__init__(description, validate=[check_unicode, *validators], **options)


class Identifier(Text):
    """A string that can name something: not empty, and of at most MAX_ID_CHARACTERS."""

    shape: dict[str, Any] = {"type": "string", "minLength": 1, "maxLength": MAX_ID_CHARACTERS}

    def __init__(self, description: str = "", **options: Any) -> None:
        super().__init__(description, _check_length, **options)


def _check_length(text: str) -> None:
    if not text:
        raise ValidationError(TOO_SHORT)
    if len(text) > MAX_ID_CHARACTERS:
        raise ValidationError(TOO_LONG)


class Pattern(Text):
    """A string that matches a regular expression."""

    def __init__(self, description: str, pattern: str, **options: Any) -> None:
        super().__init__(description, FullMatch(pattern), **options)


class Choice(Text):
    """One of some words."""

    def __init__(self, description: str, choices: Sequence[str], **options: Any) -> None:
        error = one_of(choices)
        super().__init__(description, validate.OneOf(choices, error=error), **options)
        self.error_messages |= {"null": error, "invalid": error}


class Anything(Described, fields.Raw):
    """Any JSON value, null included."""

    default_error_messages = {"required": MISSING}


class JsonObject(Described, fields.Dict):
    """A JSON object."""

    default_error_messages = {
        "required": MISSING,
        "null": NOT_A_DICTIONARY,
        "invalid": NOT_A_DICTIONARY,
    }


class Boolean(Described, fields.Boolean):
    """A JSON boolean. Nothing is coerced."""

    default_error_messages = {"null": NOT_A_BOOLEAN, "invalid": NOT_A_BOOLEAN}

    def _deserialize(self, value: Any, *_: Any, **__: Any) -> bool:
        if not isinstance(value, bool):
            raise ValidationError(NOT_A_BOOLEAN)
        return value


class Count(Described):
    """A JSON integer from 0 to MAX_COUNT. Nothing is coerced."""

    shape: dict[str, Any] = {"type": "integer", "minimum": 0, "maximum": MAX_COUNT}
    default_error_messages = {"required": MISSING, "null": NOT_AN_INTEGER}

    def _deserialize(self, value: Any, *_: Any, **__: Any) -> int:
        if type(value) is not int:
            raise ValidationError(NOT_AN_INTEGER)
        if value < 0:
            raise ValidationError(NEGATIVE)
        if value > MAX_COUNT:
            raise ValidationError(TOO_MANY)
        return value


class Float(Described, fields.Float):
    """A number in a response."""


class List(Described, fields.List[Any]):
    """A JSON array."""

    default_error_messages = {"required": MISSING, "null": NOT_A_LIST, "invalid": NOT_A_LIST}

    def __init__(self, description: str, element: fields.Field[Any], **options: Any) -> None:
        super().__init__(description, cls_or_instance=element, **options)


class Datetime(Described):
    """A date, a datetime or a Unix timestamp as text; UTC if it names no zone."""

    shape: dict[str, Any] = {
        "anyOf": [
            {"type": "string", "format": "date-time"},
            {"type": "string", "format": "date"},
            {"type": "string", "pattern": r"^(-[0-9]{1,13}|[0-9]{1,14})(\.[0-9]*)?$"},
        ]
    }

    def _deserialize(self, value: Any, *_: Any, **__: Any) -> datetime:
        try:
            return parse_datetime(value)
        except InvalidDatetime as error:
            reason = Reason(error.type, error.message, {"error": error.cause})
            raise ValidationError(reason) from None


class ZonedDatetime(Datetime):
    """A datetime in a body that must name its zone or be a Unix timestamp."""

    shape = {"type": "string", "format": "date-time"}
    default_error_messages = {"required": MISSING, "null": NOT_A_DATETIME}

    def _deserialize(self, value: Any, *_: Any, **__: Any) -> datetime:
        if not isinstance(value, str):
            raise ValidationError(NOT_A_DATETIME)
        moment = super()._deserialize(value)
        if not names_zone(value):
            raise ValidationError(NO_ZONE)
        return moment


class Moment(ZonedDatetime):
    """A datetime in a body, in UTC."""

    def _deserialize(self, value: Any, *_: Any, **__: Any) -> datetime:
        try:
            return super()._deserialize(value).astimezone(UTC)
        except OverflowError:  # The first or the last day of all, in another zone.
            raise ValidationError(NOT_A_DATETIME) from None


class FutureDatetime(ZonedDatetime):
    """A datetime in the future."""

    def _deserialize(self, value: Any, *_: Any, **__: Any) -> datetime:
        moment = super()._deserialize(value)
        if moment <= datetime.now(UTC):
            raise ValidationError(NOT_IN_THE_FUTURE)
        return moment


class PastDatetime(ZonedDatetime):
    """A datetime in the past, or at most CLOCKS_DIFFER in the future."""

    def _deserialize(self, value: Any, *_: Any, **__: Any) -> datetime:
        moment = super()._deserialize(value)
        if moment > datetime.now(UTC) + CLOCKS_DIFFER:
            raise ValidationError(NOT_IN_THE_PAST)
        return moment


class UtcText(Text):
    """A datetime in a response, in UTC and ISO 8601 with milliseconds."""

    def __init__(self, description: str, **options: Any) -> None:
        super().__init__(description, metadata={"format": "date-time"}, **options)

    def _serialize(self, value: Any, *_: Any, **__: Any) -> str | None:
        return utc_text(value) if value else None


class Nested(fields.Nested):
    """An object in a body, which null is not."""

    default_error_messages = {"required": MISSING, "null": NOT_AN_OBJECT, "type": NOT_AN_OBJECT}
