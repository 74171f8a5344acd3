"""Leaves: the scalars inside a value, each named by its path, for analysis and export."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator
from difflib import get_close_matches
from itertools import islice
from json import JSONDecoder
from typing import Any, NoReturn

from app import jsontext
from app.errors import InvalidParameter

MAX_LEAVES = 100
MAX_CHARACTERS = 256
"""The greatest length of a path and of a text; `value_json` keeps the complete value."""


def leaves(value: Any) -> list[dict[str, Any]]:
    r"""Return the first MAX_LEAVES scalars of `value`, in its order.

    A leaf is {path, kind, number} for the kinds `number` and `boolean` (0.0 or 1.0), {path, kind,
    text} for `text`, and {path, kind} for `null`. The path of a bare scalar is "". Otherwise keys
    are joined by dots, with positions in brackets: `a[0].b`. In a key, `[`, `.` and a backslash are
    escaped with a backslash, an empty key is `\e`, and a lone surrogate is such as `\ud800`. An
    integer too large for a double has a text instead of a number. A leaf with a path that is too
    long is left out; a long text is truncated.
    """
    found = islice(scalars(value, MAX_LEAVES), MAX_LEAVES)
    return [{"path": path, **_scalar(part)} for path, part in found]


def scalars(value: Any, most: int) -> Iterator[tuple[str, Any]]:
    """Yield the path and value of each scalar in `value`, in its order, except for long paths.

    Only the first `most` items of each list and object are read.
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
            yield path, part
        else:
            levels.pop()


def scalars_of(value_json: str) -> Iterator[tuple[str, Any]]:
    """Yield the path and value of each scalar in a value, given as text by `jsontext.write`.

    The text is scanned without building lists and objects: 8 MB of `[]` would take 240 MB.
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
                yield path, value
        at = _next_part(value_json, at, parents, steps)
        if not steps:
            return


_decode = JSONDecoder().raw_decode


def _next_part(value_json: str, at: int, parents: list[str | None], steps: list[str | int]) -> int:
    """Move from the end of a part to the start of the next; `steps` is empty after the last."""
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
    """Return the key at a position of the text, and the position of its value."""
    key, end = _decode(value_json, at)
    return key, end + 1


def _path_of(parents: list[str | None], steps: list[str | int]) -> str | None:
    """Return the path of the current part; a path that is already too long does not grow."""
    if not steps:
        return None
    parent = parents[-1]
    too_long = parent is not None and len(parent) > MAX_CHARACTERS
    return parent if too_long else _path(parent, steps[-1])


def _path(parent: str | None, step: str | int) -> str:
    """Return the path of an item of `parent`, which is None for the whole value."""
    if isinstance(step, int):
        return f"{parent or ''}[{step}]"
    return _key(step) if parent is None else f"{parent}.{_key(step)}"


def _key(name: str) -> str:
    """Return a key escaped for a path, so that different scalars have different paths."""
    if not name:
        return r"\e"
    if "." in name or "[" in name or "\\" in name:
        name = name.replace("\\", r"\\").replace(".", r"\.").replace("[", r"\[")
    return name if name.isascii() else _SURROGATE.sub(_escape, name)


_SURROGATE = re.compile("[\ud800-\udfff]")


def _escape(match: re.Match[str]) -> str:
    return rf"\u{ord(match[0]):x}"


def steps_of(path: str) -> list[str | int]:
    """Return the keys and positions that a path names; of a text that is none, of a similar one."""
    return [
        int(part[1:-1]) if part.startswith("[") else _unescaped(part)
        for part in _PART.findall(path)
    ]


def part_at(value: Any, steps: Iterable[str | int]) -> Any:
    """Return the part of a value at the end of some keys and positions, None without one."""
    for step in steps:
        if isinstance(value, dict) and isinstance(step, str):
            value = value.get(step)
        elif isinstance(value, list) and isinstance(step, int) and step < len(value):
            value = value[step]
        else:
            return None
    return value


def _unescaped(part: str) -> str:
    if part == r"\e":
        return ""
    return _ESCAPED.sub(lambda match: _character(match[0][1:]), part)


def _character(escaped: str) -> str:
    return chr(int(escaped[1:], 16)) if len(escaped) > 1 else escaped


def old_name(path: str) -> str:
    """Return the name of a leaf in releases up to 0.1.0, which wrote positions like keys."""
    return ".".join(map(_old_part, _PART.findall(path)))


def may_be_old_name(name: str) -> bool:
    """Return whether `name` could be the old name of a leaf that has another name now."""
    return name == "" or bool(re.search(r"[.\[\\?]|^[0-9]+$", name))


def refuse_old_name(parameter: str, name: str, present: Iterable[str]) -> None:
    """Raise InvalidParameter if `name` is what releases up to 0.1.0 called a leaf in `present`."""
    new = sorted({path for path in present if old_name(path) == name != path})
    if new:
        names = " or ".join(f"'{path}'" for path in new)
        raise InvalidParameter(parameter, name, f"the leaf '{name}' is now named {names}")


def refuse_unknown_name(
    parameter: str, name: str, present: Collection[str], given: str | None = None
) -> NoReturn:
    """Raise InvalidParameter for a leaf that is not `present`, with up to 3 that are.

    They are similar, if there are similar ones. `given` is the whole parameter, by default `name`.
    """
    refuse_old_name(parameter, name, present)
    message = f"none of the scores has the leaf '{name}'{similar_names(name, present)}"
    raise InvalidParameter(parameter, name if given is None else given, message)


def similar_names(name: str, present: Collection[str]) -> str:
    """Return how a message goes on about names that are `present`, empty if there are none."""
    names = sorted(present)
    shown = [_quoted(each) for each in get_close_matches(name, names, cutoff=0.5) or names[:3]]
    return f"; there is {' and '.join(shown)}" if shown else ""


def _quoted(name: str) -> str:
    return f"'{name}'" if name else "'' (the whole value)"


_PART = re.compile(r"\[[0-9]+\]|(?:\\.|[^.\[\\])+")


def _old_part(part: str) -> str:
    if part.startswith("["):
        return part[1:-1]
    if part == r"\e":
        return ""
    return _ESCAPED.sub(lambda match: {"[": "[", "u": "?"}.get(match[0][1], match[0]), part)


_ESCAPED = re.compile(r"\\(?:u[0-9a-f]{4}|.)")


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
    """Return `text` without lone surrogates, which stores can keep only inside JSON text."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode()
