"""Leaves: the scalars inside a value, each named by its path, for analysis and export."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import islice
from json import JSONDecoder
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


def scalars(value: Any, most: int) -> Iterator[tuple[str, Any]]:
    """Yield the scalars of `value` by their paths, in its own order, but none with a long path.

    It looks at no more than `most` parts of each list and object.
    """
    if not isinstance(value, dict | list):
        yield "", value
        return
    levels: list[tuple[str | None, Iterator[tuple[str | int, Any]]]]
    levels = [(None, islice(jsontext.children(value), most))]
    while levels:
        parent, parts = levels[-1]
        for step, part in parts:
            path = _path(parent, step)
            if len(path) > MAX_CHARACTERS:
                continue
            if isinstance(part, dict | list):
                levels.append((path, islice(jsontext.children(part), most)))
                break
            yield storable(path), part
        else:
            levels.pop()


def scalars_of(value_json: str) -> Iterator[tuple[str, Any]]:
    """Yield all scalars of a value by their paths, from its text as `jsontext.write` writes it.

    The text is walked and its lists and objects are never made: 8 MB of `[]` would be 240 MB of
    them.
    """
    parents: list[str | None] = []
    steps: list[str | int] = []
    step: str | int
    at = 0
    while True:
        opening = value_json[at]
        if opening in "[{" and value_json[at + 1] not in "]}":
            parents.append(_path_of(parents, steps))
            if opening == "[":
                step, at = 0, at + 1
            else:
                step, at = _key_at(value_json, at + 1)
            steps.append(step)
            continue
        if opening in "[{":
            at += 2
        else:
            value, at = _decode(value_json, at)
            path = _path_of(parents, steps) or ""
            if len(path) <= MAX_CHARACTERS:
                yield storable(path), value
        at = _next_part(value_json, at, parents, steps)
        if not steps:
            return


_decode = JSONDecoder().raw_decode


def _next_part(value_json: str, at: int, parents: list[str | None], steps: list[str | int]) -> int:
    """Go from the end of a part to the beginning of the next; there are no steps at the end."""
    while steps:
        separator, at = value_json[at], at + 1
        if separator == ",":
            step = steps[-1]
            if isinstance(step, int):
                steps[-1] = step + 1
            else:
                steps[-1], at = _key_at(value_json, at)
            break
        parents.pop()
        steps.pop()
    return at


def _key_at(value_json: str, at: int) -> tuple[str, int]:
    """Return the key that stands in the text, and where its value begins."""
    key, end = _decode(value_json, at)
    return key, end + 1


def _path_of(parents: list[str | None], steps: list[str | int]) -> str | None:
    """Return the path of the current part; one that is too long already grows no more."""
    if not steps:
        return None
    parent = parents[-1]
    too_long = parent is not None and len(parent) > MAX_CHARACTERS
    return parent if too_long else _path(parent, steps[-1])


def _path(parent: str | None, step: str | int) -> str:
    """Return the path of a part of `parent`, which is None for the value itself."""
    if isinstance(step, int):
        return f"{parent or ''}[{step}]"
    return _key(step) if parent is None else f"{parent}.{_key(step)}"


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
