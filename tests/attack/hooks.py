"""What schemathesis needs to write and read lines of JSON, which it does not know."""

from __future__ import annotations

import json
from typing import Any

import schemathesis

LINES = "application/jsonl"


@schemathesis.serializer(LINES)
def write_lines(_context: Any, value: Any) -> bytes:
    """A text a line; what is no list, which schemathesis tries too, is one line."""
    lines = value if isinstance(value, list) else [value]
    return b"\n".join(json.dumps(line).encode() for line in lines)


@schemathesis.deserializer(LINES)
def read_lines(_context: Any, response: Any) -> list[Any]:
    """The lines as a list, which the document describes as an array."""
    return [json.loads(line) for line in response.content.splitlines()]
