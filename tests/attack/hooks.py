"""Teach schemathesis to write and read JSON lines."""

from __future__ import annotations

import json
from typing import Any

import schemathesis

LINES = "application/jsonl"


@schemathesis.serializer(LINES)
def write_lines(_context: Any, value: Any) -> bytes:
    """Write a list as one line per element, and anything else as a single line."""
    lines = value if isinstance(value, list) else [value]
    return b"\n".join(json.dumps(line).encode() for line in lines)


@schemathesis.deserializer(LINES)
def read_lines(_context: Any, response: Any) -> list[Any]:
    """Read lines as a list, as the OpenAPI document describes them."""
    return [json.loads(line) for line in response.content.splitlines()]
