"""Read and write JSON without loss.

Reading is Python's `json.loads(bytes)`, as in FastAPI, except that it refuses NaN and Infinity,
numbers too large for a double (1e400), and nesting deeper than MAX_DEPTH.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from json.encoder import c_make_encoder, encode_basestring  # type: ignore[attr-defined]
from typing import Any, NoReturn

from app.errors import Invalid, Unreadable

MAX_DEPTH = 940
"""The greatest depth of nested lists and objects.

The limit of `json` itself depends on the Python version and the call stack: in Python 3.11 it is
about 1,000 less the stack. A fixed limit below it gives the same result everywhere.
"""

MAX_DIGITS = 4_300
"""How many digits of an integer Python reads."""

Path = tuple[str | int, ...]


class NotFinite(Invalid):
    """The JSON at `loc` has NaN, Infinity or a number too large for a double.

    `value` is the value that Python reads.
    """

    def __init__(self, value: Any, loc: Path = ("body",)) -> None:
        path, number = _first_not_finite(value)
        error = {
            "type": "finite_number",
            "loc": (*loc, *path),
            "msg": "Input should be a finite number",
            "input": number,
        }
        super().__init__([error])
        self.value = value


class _NotFinite(ValueError):
    """The text has a number that is not finite."""


def _refuse_constant(token: str) -> NoReturn:
    raise _NotFinite(token)


def _finite(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise _NotFinite(text)
    return number


def _finite_or_none(text: str) -> float | None:
    number = float(text)
    return number if math.isfinite(number) else None


def _short_or_none(text: str) -> int | None:
    return int(text) if len(text) <= MAX_DIGITS else None


_decoder = json.JSONDecoder(parse_float=_finite, parse_constant=_refuse_constant)
_lenient = json.JSONDecoder(
    parse_float=_finite_or_none, parse_int=_short_or_none, parse_constant=lambda _name: None
)


def _refuse(value: object) -> NoReturn:
    raise TypeError(f"{type(value).__name__} is not JSON")


# JSONEncoder.encode makes such an encoder in each call, which takes longer than most texts.
_encode = c_make_encoder(
    markers=None,
    default=_refuse,
    encoder=encode_basestring,
    indent=None,
    key_separator=":",
    item_separator=",",
    sort_keys=False,
    skipkeys=False,
    allow_nan=False,
)
_SURROGATE = re.compile("[\ud800-\udfff]")
_ESCAPES = re.compile(
    rb"(?:\\[^u])+|\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"
    rb"|\\u([dD][89a-fA-F][0-9a-fA-F]{2})"
)
"""Escapes that stand together, pairs of surrogates, and lone ones as the group."""

REPLACEMENT = "\ufffd"
"""The character in place of a lone surrogate, which UTF-8 cannot encode."""


def read(data: bytes) -> Any:
    """Read JSON from bytes in UTF-8, UTF-16 or UTF-32.

    Raises Invalid (`json_invalid`), NotFinite (`finite_number`), and Unreadable for a bad encoding,
    an integer of more than 4,300 digits, or nesting deeper than MAX_DEPTH.
    """
    try:
        text = data.decode(json.detect_encoding(data), "surrogatepass")
        value, finite = _decode(text)
    except json.JSONDecodeError as error:
        raise Invalid([_syntax_error(error)]) from None
    except (ValueError, RecursionError):
        raise Unreadable("There was an error parsing the body") from None
    if _is_too_deep(text, value):
        raise Unreadable("There was an error parsing the body")
    if not finite:
        raise NotFinite(value)
    return value


def read_leniently(text: str) -> Any:
    """Read a text that is known to be JSON.

    NaN, and a number that is too large for a double or has more than 4,300 digits, is None; so is
    everything if it is nested deeper than MAX_DEPTH.
    """
    try:
        value = _lenient.decode(text)
    except RecursionError:
        return None
    return None if _is_too_deep(text, value) else value


def _is_too_deep(text: str, value: Any) -> bool:
    return text.count("[") + text.count("{") > MAX_DEPTH and _deeper_than(value, MAX_DEPTH)


def _decode(text: str) -> tuple[Any, bool]:
    """Return the value of `text`, and whether every number in it is finite."""
    try:
        return _decoder.decode(text), True
    except _NotFinite:
        # Read it again without the check, because a syntax error further on takes precedence.
        return json.loads(text), False


def write(value: Any) -> str:
    """Return `value` as compact JSON, with lone surrogates escaped.

    Raises ValueError for NaN and Infinity.
    """
    text = "".join(_encode(value, 0))
    if text.isascii():
        return text
    return _SURROGATE.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


def without_surrogates(text: str) -> str:
    """Return a text with REPLACEMENT in place of each lone surrogate, so that it can be a name."""
    return text if text.isascii() else _SURROGATE.sub(REPLACEMENT, text)


def without_escaped_surrogates(data: bytes) -> bytes:
    """Return JSON of the same length, with REPLACEMENT in place of each lone surrogate's escape."""
    return _ESCAPES.sub(lambda match: b"\\ufffd" if match[1] else match[0], data)


dumps = write
"""The name under which marshmallow looks for `write`."""


def is_finite(value: Any) -> bool:
    """Return whether `value` contains neither NaN nor Infinity."""
    try:
        _encode(value, 0)
    except ValueError:
        return False
    return True


def _syntax_error(error: json.JSONDecodeError) -> dict[str, Any]:
    """Return FastAPI's error for a syntax error; the last part of its loc is a character offset."""
    return {
        "type": "json_invalid",
        "loc": ("body", error.pos),
        "msg": "JSON decode error",
        "input": {},
        "ctx": {"error": error.msg},
    }


def _first_not_finite(value: Any) -> tuple[Path, str]:
    """Return the path and name of the first NaN or Infinity.

    The path is empty when a duplicate key has replaced the number.
    """
    if _is_not_finite(value):
        return (), _name(value)
    path: list[str | int] = []
    levels = [children(value)]
    while levels:
        for name, child in levels[-1]:
            if _is_not_finite(child):
                return (*path, name), _name(child)
            if _is_nested(child):
                path.append(name)
                levels.append(children(child))
                break
        else:
            levels.pop()
            del path[-1:]
    return (), "a number that is not finite"


def _is_not_finite(value: Any) -> bool:
    return isinstance(value, float) and not math.isfinite(value)


def _name(number: float) -> str:
    if math.isnan(number):
        return "NaN"
    return "Infinity" if number > 0 else "-Infinity"


def children(value: Any) -> Iterator[tuple[str | int, Any]]:
    """Iterate over the items of an object, or the numbered items of a list; a scalar has none."""
    if isinstance(value, dict):
        return iter(value.items())
    return enumerate(value if isinstance(value, list) else ())


def _deeper_than(value: Any, limit: int) -> bool:
    level = [value] if _is_nested(value) else []
    for _ in range(limit):
        level = [
            child
            for part in level
            for child in (part.values() if type(part) is dict else part)
            if type(child) is dict or type(child) is list
        ]
        if not level:
            return False
    return True


def _is_nested(value: Any) -> bool:
    return isinstance(value, dict | list)
