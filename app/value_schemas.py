"""JSON Schemas for values: bounded in size and cost, and complete without other documents."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote

from app import jsontext

MAX_SCHEMA_CHARACTERS = 16_384
MAX_SCHEMA_PARTS = 1_000
"""How many parts a schema may have, with a part that is referred to counted each time."""

MAX_DEPTH = 50
CHARACTERS_OF_A_PART = 20
"""How many characters cost as much as one part of a value."""

MAX_COST = 500_000
"""How many parts of a value times parts of a schema may be checked; it takes 0.3 s at most."""

MAX_PATTERN_BYTES = 1 << 18
"""The greatest size of a compiled pattern."""

MAX_FAULT_CHARACTERS = 200

_SCHEMAS_BY_NAME = (
    *("properties", "patternProperties"),
    *("dependencies", "dependentSchemas", "dependentRequired"),
)
_DATA = ("const", "enum", "default", "examples")
_DEFINITIONS = ("$defs", "definitions")
"""Maps whose schemas cost nothing until a reference names them."""

_REFUSED = {
    "$dynamicRef": "use $ref",
    "$recursiveRef": "use $ref",
    "unevaluatedProperties": "use additionalProperties",
    "unevaluatedItems": "use items",
}
"""Keywords whose cost cannot be bounded, and what to use in their place."""


_USE = "use #/$defs/NAME"


class InvalidSchema(ValueError):
    """The schema cannot be used; the message says why."""


class ValueSchema:
    """A compiled JSON Schema: draft 2020-12, or the one that `$schema` names.

    Patterns are those of Rust's regex, whose time is linear. `format` is not checked.
    """

    def __init__(self, schema: Mapping[str, Any]) -> None:
        """Compile a schema. Raises InvalidSchema."""
        from jsonschema_rs import ReferencingError, RegexOptions, ValidationError, validator_for

        if not jsontext.is_finite(schema):
            raise InvalidSchema("a schema has only finite numbers")
        if len(jsontext.write(schema)) > MAX_SCHEMA_CHARACTERS:
            raise InvalidSchema(f"a schema has at most {MAX_SCHEMA_CHARACTERS:,} characters")
        self._parts = _Parts(schema).count
        try:
            self._validator = validator_for(
                dict(schema),
                validate_formats=False,
                pattern_options=RegexOptions(size_limit=MAX_PATTERN_BYTES),
                offline=True,
            )
        except ValidationError as error:
            place = "".join(f"/{step}" for step in error.instance_path)
            raise InvalidSchema(_cut(f"{error.message} at #{place}")) from None
        except (ReferencingError, ValueError) as error:
            raise InvalidSchema(_cut(str(error))) from None

    def fault(self, value: Any) -> str | None:
        """Return in what way a value is against the schema, or None if it is not.

        A value that is too large, too deep or no Unicode cannot be checked, which is a fault too.
        """
        text = jsontext.write(value)
        parts = _count(text) + len(text) // CHARACTERS_OF_A_PART
        if parts * self._parts > MAX_COST:
            return "it is too large to be checked"
        try:
            if self._validator.is_valid(value):
                return None
            self._validator.validate(value)
        except UnicodeEncodeError:
            return "it has a lone surrogate, so it cannot be checked"
        except ValueError as error:
            return _fault(error)
        return None


def _fault(error: ValueError) -> str:
    from jsonschema_rs import ValidationError

    if not isinstance(error, ValidationError):
        return "it is nested too deeply to be checked"
    place = "".join(f"/{step}" for step in error.instance_path)
    return f"{_cut(error.message)} at {_cut(place)}" if place else _cut(error.message)


def _count(text: str) -> int:
    """Return about how many parts a JSON text has, and at least as many as it has."""
    return 1 + text.count(",") + text.count("[") + text.count("{")


def _cut(text: str) -> str:
    is_long = len(text) > MAX_FAULT_CHARACTERS
    return f"{text[: MAX_FAULT_CHARACTERS - 1]}…" if is_long else text


class _Parts:
    """Counts the parts of a schema, which bound the cost of checking a value against it.

    Each part is checked at most once for each part of a value, because references are counted as
    what they refer to, and a schema that refers to itself is refused.
    """

    def __init__(self, root: Mapping[str, Any]) -> None:
        self.count = 0
        self._root = root
        self._add_schema(root, ())

    def _add_schema(self, schema: Any, open_references: tuple[str, ...], depth: int = 0) -> None:
        """Count a schema, or a list of schemas, with all that is in it."""
        self._add(depth)
        if isinstance(schema, list):
            for each in schema:
                self._add_schema(each, open_references, depth + 1)
        elif isinstance(schema, Mapping):
            self._check_keywords(schema)
            for keyword, part in schema.items():
                self._add_keyword(keyword, part, open_references, depth)

    def _check_keywords(self, schema: Mapping[str, Any]) -> None:
        if refused := _REFUSED.keys() & schema.keys():
            name = min(refused)
            raise InvalidSchema(f"{name} is not supported: {_REFUSED[name]}")
        if schema is not self._root and {"$id", "id"} & schema.keys():
            raise InvalidSchema("only a whole schema may have an $id")

    def _add_keyword(
        self, keyword: str, part: Any, open_references: tuple[str, ...], depth: int
    ) -> None:
        if keyword == "$ref":
            self._add_reference(part, open_references, depth)
        elif keyword in _SCHEMAS_BY_NAME and isinstance(part, Mapping):
            for each in part.values():
                self._add_schema(each, open_references, depth + 1)
        elif keyword in _DATA:
            self._add(depth, _count(jsontext.write(part)))
        elif keyword not in _DEFINITIONS:
            self._add_schema(part, open_references, depth + 1)

    def _add_reference(self, reference: Any, open_references: tuple[str, ...], depth: int) -> None:
        """Count what a reference refers to."""
        if not isinstance(reference, str) or not reference.startswith("#"):
            raise InvalidSchema(f"the $ref {_cut(repr(reference))} is not of this schema: {_USE}")
        if reference in open_references or reference == "#":
            raise InvalidSchema(f"{_cut(reference)} refers to itself")
        target = self._find(reference)
        self._add_schema(target, (*open_references, reference), depth + 1)

    def _find(self, reference: str) -> Any:
        """Return what a JSON pointer names."""
        found: Any = self._root
        for step in reference.removeprefix("#/").split("/"):
            name = unquote(step).replace("~1", "/").replace("~0", "~")
            if not isinstance(found, Mapping) or name not in found:
                raise InvalidSchema(f"{_cut(reference)} is not in the schema: {_USE}")
            found = found[name]
        return found

    def _add(self, depth: int, number: int = 1) -> None:
        self.count += number
        if self.count > MAX_SCHEMA_PARTS:
            raise InvalidSchema(
                f"a schema has at most {MAX_SCHEMA_PARTS:,} parts, with references counted as "
                "what they refer to"
            )
        if depth > MAX_DEPTH:
            raise InvalidSchema(f"a schema is nested at most {MAX_DEPTH} deep")
