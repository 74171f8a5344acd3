"""What holds for any bytes that are read as JSON; fuzz_json.py and test_reading.py try it."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import Any

from app import jsontext
from app.errors import Invalid, Unreadable
from app.leaves import MAX_CHARACTERS, MAX_LEAVES, leaves

CORPUS = Path(__file__).parent / "corpus"
"""Texts that were worth keeping: shapes of JSON, and what was found."""

KINDS: dict[str, list[type]] = {
    "null": [type(None)],
    "boolean": [bool],
    "text": [str],
    "number": [int, float],
}


def check(data: bytes) -> None:
    """Read `data` as FastAPI does, or refuse it; what was read is written and read without loss."""
    not_finite: list[str] = []
    try:
        python = json.loads(data, parse_constant=not_finite.append)
        json.loads(data, parse_float=lambda text: _finite(text, not_finite))
    except json.JSONDecodeError as error:
        # How deep Python reads before it meets the error depends on the call stack.
        if error.doc.count("[") + error.doc.count("{") <= jsontext.MAX_DEPTH:
            _check_refused(data, "json_invalid", error.pos, error.msg)
        return
    except (ValueError, RecursionError):
        _check_refused(data, None)
        return
    if _depth(python) > jsontext.MAX_DEPTH:
        _check_refused(data, None)
    elif not_finite:
        _check_refused(data, "finite_number")
    else:
        value = jsontext.read(data)
        assert _exact(value) == _exact(python)
        _check_written(value)
        _check_leaves(value)


def _finite(text: str, not_finite: list[str]) -> float:
    """The number that `text` is; one beyond a double goes into the list."""
    if math.isinf(float(text)):
        not_finite.append(text)
    return float(text)


def _check_refused(data: bytes, type_: str | None, *details: Any) -> None:
    """`data` is no JSON: for the reason `type_`, or for none that has a place."""
    try:
        jsontext.read(data)
    except Invalid as error:
        (found,) = error.errors
        assert found["type"] == type_
        if details:
            assert (found["loc"][1], found["ctx"]["error"]) == details
    except Unreadable:
        assert type_ is None
    else:
        raise AssertionError(f"{data[:100]!r} was read")


def _check_written(value: Any) -> None:
    text = jsontext.write(value)
    assert _exact(jsontext.read(text.encode())) == _exact(value)
    assert jsontext.write(jsontext.read(text.encode())) == text


def _check_leaves(value: Any) -> None:
    found = leaves(value)
    assert len(found) <= MAX_LEAVES
    for leaf in found:
        path, text = leaf["path"], leaf.get("text", "")
        assert max(len(path), len(text)) <= MAX_CHARACTERS
        f"{path}{text}".encode()  # No lone surrogate is left.
        if "?" not in path:  # What stands for one.
            assert type(_at(value, path)) in KINDS[leaf["kind"]]


def _at(value: Any, path: str) -> Any:
    """Return the part of `value` that a leaf's path names."""
    if not path:
        return value
    for position, key in re.findall(r"\[([0-9]+)\]|((?:[^.\[\\]|\\.)+)", path, re.DOTALL):
        if position:
            value = value[int(position)]
        else:
            value = value["" if key == r"\e" else re.sub(r"\\(.)", r"\1", key, flags=re.DOTALL)]
    return value


def _exact(value: Any) -> str:
    """Return a text that tells 1, 1.0 and true apart, and keeps the order of keys."""
    return json.dumps(value)


def _depth(value: Any) -> int:
    """Return how many lists and objects stand in one another."""
    deepest, level = 0, [value]
    while level := [part for part in level if isinstance(part, dict | list)]:
        deepest += 1
        level = [child for part in level for _, child in jsontext.children(part)]
    return deepest
