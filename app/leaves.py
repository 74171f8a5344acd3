"""Leaves: the scalars inside a value, each named by its path, for questions about values."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any

from app import jsontext

MAX_LEAVES = 100
MAX_CHARACTERS = 256
"""The longest path and the longest text of a leaf; the value itself is kept whole elsewhere."""


def leaves(value: Any) -> list[dict[str, Any]]:
    r"""The first MAX_LEAVES scalars of `value`, in its own order.

    A leaf is {path, kind, number} for kind `number` and `boolean` (0.0 or 1.0), {path, kind, text}
    for `text`, {path, kind} for `null`. Its path joins keys and list positions with dots, and is
    "" for a bare scalar; a dot inside a key is written `\.`. An integer beyond a double has a
    text instead of a number. A leaf whose path is too long is left out, a long text is cut.
    """
    found = islice(scalars(value, MAX_LEAVES), MAX_LEAVES)
    return [{"path": path, **_scalar(part)} for path, part in found]


def scalars(value: Any, most: int | None = None) -> Iterator[tuple[str, Any]]:
    """The scalars of `value` by their paths, in its own order; a path that is too long has none.

    With `most` it looks at no more parts of a list or an object than so many.
    """
    stack: list[tuple[str, Any]] = [("", value)]
    while stack:
        path, part = stack.pop()
        if len(path) > MAX_CHARACTERS:
            continue
        if isinstance(part, dict | list):
            prefix = f"{path}." if part is not value else ""
            parts = list(islice(jsontext.children(part), most))
            for name, child in reversed(parts):
                stack.append((prefix + _step(name), child))
        else:
            yield storable(path), part


def _step(name: str | int) -> str:
    step = str(name)
    if "." in step or "\\" in step:
        return step.replace("\\", "\\\\").replace(".", "\\.")
    return step


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
