"""Leaves: the scalars inside a value, each named by its path, for questions about values."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import islice
from typing import Any

from app import jsontext

MAX_LEAVES = 100
MAX_CHARACTERS = 256
"""The longest path and the longest text of a leaf; the value itself is kept whole elsewhere."""


def leaves(value: Any) -> list[dict[str, Any]]:
    r"""Return the first MAX_LEAVES scalars of `value`, in its own order.

    A leaf is {path, kind, number} for kind `number` and `boolean` (0.0 or 1.0), {path, kind, text}
    for `text`, {path, kind} for `null`. Its path is "" for a bare scalar. Keys are joined by dots,
    a position stands in brackets: `a[0].b`. In a key `[`, `.` and a backslash have a backslash
    before them, and an empty key is `\e`. An integer beyond a double has a text instead of a
    number. A leaf whose path is too long is left out, a long text is cut.
    """
    found = islice(scalars(value, MAX_LEAVES), MAX_LEAVES)
    return [{"path": path, **_scalar(part)} for path, part in found]


def scalars(value: Any, most: int | None = None) -> Iterator[tuple[str, Any]]:
    """Yield the scalars of `value` with their paths, in its own order, but for paths too long.

    With `most`, at most so many parts of a list or an object are looked at.
    """
    stack: list[tuple[str, Any]] = [("", value)]
    while stack:
        path, part = stack.pop()
        if len(path) > MAX_CHARACTERS:
            continue
        if isinstance(part, dict | list):
            parts = list(islice(jsontext.children(part), most))
            for name, child in reversed(parts):
                stack.append((_child_path(path, name, is_first=part is value), child))
        else:
            yield storable(path), part


def _child_path(path: str, name: str | int, *, is_first: bool) -> str:
    if isinstance(name, int):
        return f"{path}[{name}]"
    return _key(name) if is_first else f"{path}.{_key(name)}"


def _key(name: str) -> str:
    """Return a key as it stands in a path, so that no two keys or positions look the same."""
    if not name:
        return r"\e"
    if "." in name or "[" in name or "\\" in name:
        return name.replace("\\", r"\\").replace(".", r"\.").replace("[", r"\[")
    return name


def old_name(path: str) -> str:
    """Return the name that releases up to 0.1.0 gave a leaf: they wrote a position like a key."""
    return ".".join(map(_old_part, _PART.findall(path)))


_PART = re.compile(r"\[[0-9]+\]|(?:\\.|[^.\[\\])+")


def _old_part(part: str) -> str:
    if part.startswith("["):
        return part[1:-1]
    return "" if part == r"\e" else part.replace(r"\[", "[")


def _scalar(value: Any) -> dict[str, Any]:
    if value is None:
        return {"kind": "null"}
    if isinstance(value, bool):
        return {"kind": "boolean", "number": float(value)}
    if isinstance(value, str):
        text = value[:MAX_CHARACTERS]
        return {"kind": "text", "text": text if text.isascii() else storable(text)}
    try:
        return {"kind": "number", "number": float(value)}
    except OverflowError:
        return {"kind": "number", "text": str(value)[:MAX_CHARACTERS]}


def storable(text: str) -> str:
    """`text` without lone surrogates, which no store can keep outside JSON text."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode()
