"""Teach schemathesis to write and read JSON lines, and to call from many addresses."""

from __future__ import annotations

import json
from ipaddress import IPv4Address
from itertools import count
from typing import Any

import schemathesis

LINES = "application/jsonl"

_addresses = count(int(IPv4Address("10.0.0.0")))


@schemathesis.hook
def before_call(_context: Any, case: Any, _kwargs: Any) -> None:
    """Use a new address for every call, because failures of an address are limited."""
    case.headers["X-Forwarded-For"] = str(IPv4Address(next(_addresses)))


@schemathesis.serializer(LINES)
def write_lines(_context: Any, value: Any) -> bytes:
    """Write a list as one line per element, and anything else as a single line."""
    lines = value if isinstance(value, list) else [value]
    return b"\n".join(json.dumps(line).encode() for line in lines)


@schemathesis.deserializer(LINES)
def read_lines(_context: Any, response: Any) -> list[Any]:
    """Read lines as a list, as the OpenAPI document describes them."""
    return [json.loads(line) for line in response.content.splitlines()]
