"""Properties of parsing any bytes as JSON, checked by fuzz_json.py and test_reading.py."""

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
"""The corpus: forms of JSON, and inputs that once failed."""

ESCAPED = re.compile(r"\\(u(d[89a-f][0-9a-f]{2})|.)", re.DOTALL)
"""A backslash in a key of a leaf's path, and what it escapes."""

KINDS: dict[str, list[type]] = {
    "null": [type(None)],
    "boolean": [bool],
    "text": [str],
    "number": [int, float],
}


def check(data: bytes) -> None:
    """Check that `data` is parsed as by FastAPI or rejected, and written again without loss."""
    not_finite: list[str] = []
    try:
        python = json.loads(data, parse_constant=not_finite.append)
        json.loads(data, parse_float=lambda text: _finite(text, not_finite))
    except json.JSONDecodeError as error:
        # The depth at which Python fails depends on the call stack.
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
    """Parse a number; append it to the list if it is beyond a double."""
    if math.isinf(float(text)):
        not_finite.append(text)
    return float(text)


def _check_refused(data: bytes, type_: str | None, *details: Any) -> None:
    """Check that `data` is not JSON, for the reason `type_` or without a location."""
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
        f"{path}{text}".encode()  # It must not contain lone surrogates.
        assert type(_at(value, path)) in KINDS[leaf["kind"]]


def _at(value: Any, path: str) -> Any:
    """Return the part of `value` that a leaf's path names."""
    if not path:
        return value
    for position, key in re.findall(r"\[([0-9]+)\]|((?:[^.\[\\]|\\.)+)", path, re.DOTALL):
        if position:
            value = value[int(position)]
        else:
            value = value["" if key == r"\e" else ESCAPED.sub(_unescaped, key)]
    return value


def _unescaped(match: re.Match[str]) -> str:
    """Return the character that is escaped: a lone surrogate by its code, others as they are."""
    return chr(int(match[2], 16)) if match[2] else match[1]


def _exact(value: Any) -> str:
    """Return a text that distinguishes 1, 1.0 and true, and keeps the order of keys."""
    return json.dumps(value)


def _depth(value: Any) -> int:
    """Return the depth of nested lists and objects."""
    deepest, level = 0, [value]
    while level := [part for part in level if isinstance(part, dict | list)]:
        deepest += 1
        level = [child for part in level for _, child in jsontext.children(part)]
    return deepest
