"""Read files of JSON lines, and record how much of a file was sent."""

from __future__ import annotations

import io
import json
import os
import re
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from app.cli.base import fail

HEAD_BYTES = 1 << 20
"""How much of a file is read to detect its format."""

BATCH_BYTES = 4 << 20
"""About how many bytes of a file are sent in one request."""

COMPRESSED = {
    b"\x1f\x8b": ("gzip", "gunzip -c"),
    b"BZh": ("bzip2", "bunzip2 -c"),
    b"\xfd7zXZ": ("xz", "xz -dc"),
    b"\x28\xb5\x2f\xfd": ("zstd", "zstd -dc"),
    b"PK\x03\x04": ("zip", "unzip -p"),
}
UTF_32 = (b"\xff\xfe\x00\x00", b"\x00\x00\xfe\xff")
UTF_16 = (b"\xff\xfe", b"\xfe\xff")
BOM = b"\xef\xbb\xbf"

FIRST_LINES = 100
"""How many lines or rows tell whether a file is of the expected kind."""

SHOWN_FIELDS = 5

ROW_FIELDS = ("prediction_id", "trace_id")
"""Fields of an object that is one row, although it may have a list."""

_ARRAY = re.compile(r'\[\s*[\[{"\]0-9-]')
"""The beginning of a JSON array, but not of a link in Markdown."""

_PLAIN_MESSAGES = {
    "Extra data": "unexpected text after the JSON value",
    "Invalid control character at": "a string is not closed or contains a control character",
    "Unterminated string starting at": "a string is not closed",
}
"""Plainer words for some messages of `json`."""

_WORD = re.compile(r'[^\s,:"\[\]{}]{1,40}')
"""The part of a text that is not JSON that a message quotes."""


@dataclass(frozen=True)
class Line:
    """One line of a file: its number from 1, its bytes, and its JSON object or the error in it."""

    number: int
    raw: bytes
    content: Any = None
    error: str | None = None

    @property
    def is_blank(self) -> bool:
        """Whether the line is empty or only white space."""
        return self.error is None and not self.text

    @property
    def text(self) -> bytes:
        """The line as it is sent, without a byte order mark and surrounding white space."""
        return self.raw.removeprefix(BOM).strip()

    @property
    def position(self) -> str:
        """The line's position for messages, such as `line 3`."""
        return f"line {self.number}"


def read_line(raw: bytes, number: int) -> Line:
    """Parse one line. Columns in its error count characters from 1."""
    try:
        text = raw.removeprefix(BOM if number == 1 else b"").decode()
    except UnicodeDecodeError as error:
        column = len(raw[: error.start].decode()) + 1
        return Line(number, raw, error=f"column {column}: not UTF-8")
    if not text.strip():
        return Line(number, raw)
    return Line(number, raw, *_read_object(text))


def syntax_error(error: json.JSONDecodeError) -> str:
    """Return what is wrong at the position of an error of `json`."""
    if error.msg != "Expecting value":
        return _PLAIN_MESSAGES.get(error.msg, error.msg)
    word = _WORD.match(error.doc, error.pos)
    return f"{word[0]!r} is not a JSON value" if word else "a value is missing"


def _read_object(text: str) -> tuple[dict[str, Any] | None, str | None]:
    """Return the JSON object in `text`, or the error in it."""
    try:
        content = json.loads(text)
    except json.JSONDecodeError as error:
        return None, f"column {error.pos + 1}: not JSON: {syntax_error(error)}"
    except RecursionError:
        return None, "column 1: nested too deeply to be read"
    except ValueError:
        return None, "column 1: a number has too many digits to be read"
    if not isinstance(content, dict):
        return None, "column 1: JSON, but not an object"
    return content, None


class InputFile:
    """An open file, pipe or, as `-`, standard input.

    `size` is in bytes, and None for a pipe. A file that cannot be read or is not text in UTF-8
    ends the command.
    """

    def __init__(self, name: str) -> None:
        self.name = "standard input" if name == "-" else name
        self.path = Path(name)
        try:
            if self.path.is_dir():
                fail(f"{name} is a directory, not a file", 2)
            raw = io.FileIO(0 if name == "-" else name, closefd=name != "-")
            self.opened = io.BufferedReader(raw, HEAD_BYTES)
            self.head = self.opened.peek(HEAD_BYTES)
            self.is_regular = name != "-" and self.path.is_file()
        except (OSError, ValueError) as error:
            fail(f"{self.name} cannot be read: {getattr(error, 'strerror', None) or error}", 2)
        self.size = os.fstat(self.opened.fileno()).st_size if self.is_regular else None
        self._reject(_binary(self.head))

    def __enter__(self) -> Self:
        """Return the open file."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close it."""
        self.opened.close()

    def reject_other_lines(self, *names: str) -> None:
        """Exit if the file is not one JSON object per line, each with one of the fields `names`.

        Only its first lines are checked. Some of them may be wrong, which is reported line by line.
        """
        self._reject(_other_lines(self.head.removeprefix(BOM).decode(errors="replace"), names))

    def _reject(self, problem: str | None) -> None:
        if problem:
            file = "FILE" if str(self.path) == "-" else shlex.quote(str(self.path))
            fail(f"{self.name} is {problem.replace(' FILE ', f' {file} ')}", 2)

    def lines(self, number: int = 0) -> Iterator[Line]:
        """Yield the remaining lines; the first one gets the number after `number`."""
        for raw in self.opened:
            number += 1
            yield read_line(raw, number)


def _binary(head: bytes) -> str | None:
    """Return the format of a file that is not UTF-8 text and how to convert it, otherwise None."""
    for magic, (name, command) in COMPRESSED.items():
        if head.startswith(magic):
            return f"compressed with {name}: `{command} FILE > NEW`, or pipe that into `--file -`"
    if head.startswith(b"PAR1"):
        return "Parquet, not text: export it as JSON lines"
    if encoding := _encoding(head):
        return f"{encoding}, not UTF-8: `iconv -f {encoding} -t UTF-8 FILE > NEW`"
    return "binary, not text" if b"\0" in head[:4096] else None


def _encoding(head: bytes) -> str | None:
    """Return UTF-16 or UTF-32 if a byte order mark or zero bytes show it, otherwise None."""
    for marks, name in ((UTF_32, "UTF-32"), (UTF_16, "UTF-16")):
        if head.startswith(marks):
            return name
    for zeros, name in ((0, "UTF-16BE"), (1, "UTF-16LE")):
        if len(head) > 1 and not any(head[zeros:64:2]) and any(head[1 - zeros : 64 : 2]):
            return name
    return None


def _other_lines(text: str, names: Sequence[str]) -> str | None:
    """Return what is wrong with a file that is not one JSON object per line, otherwise None."""
    first = text.lstrip()
    if _ARRAY.match(first):
        return "a JSON array, not one object per line: `jq -c '.[]' FILE > NEW`"
    try:
        content, end = json.JSONDecoder().raw_decode(first)
    except (ValueError, RecursionError) as error:
        return _most_are_wrong(text, names, first[: getattr(error, "pos", 0)])
    if not isinstance(content, dict):
        return _most_are_wrong(text, names)
    lists = [name for name, value in content.items() if _is_rows(value)]
    if len(lists) == 1 and not first[end:].strip() and content.keys().isdisjoint(ROW_FIELDS):
        name = json.dumps(lists[0], ensure_ascii=False)
        return (
            "one JSON object with a list, not one object per line: "
            f"`jq -c '.[{name}][]' FILE > NEW`"
        )
    if "\n" in first[:end]:
        return "JSON over several lines, not one object per line: `jq -c . FILE > NEW`"
    return _most_are_wrong(text, names)


def _is_rows(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(row, dict) for row in value)


def _most_are_wrong(text: str, names: Sequence[str], valid: str = "") -> str | None:
    """Return a message if nearly all of the first lines are wrong, otherwise None.

    `valid` is the part of the text that begins one JSON value. A single line is not enough: it is
    reported like any other line with an error.
    """
    lines = [(n, line) for n, line in enumerate(text.split("\n")[:FIRST_LINES], 1) if line.strip()]
    read = [read_line(line.encode(errors="replace"), n) for n, line in lines]
    wrong = [line for line in read if line.error or not _has_one(line.content, names)]
    if not is_foreign(len(wrong), len(read)):
        return None
    if wrong[0].error is None:
        return f"another kind of file: {wrong[0].position} has {_lacks(wrong[0].content, names)}"
    if "\n" in valid.strip():  # The value goes on in a second line.
        return (
            "not one JSON object per line: if its JSON goes over several lines, "
            "`jq -c . FILE > NEW`"
        )
    return f"not JSON lines: {wrong[0].position}, {wrong[0].error}"


def is_foreign(wrong: int, lines: int) -> bool:
    """Return whether so many of the first lines are wrong that the file is of another kind.

    A text about JSON lines may have an example of them.
    """
    return lines > 1 and lines - wrong <= lines // 20


def _has_one(content: dict[str, Any], names: Sequence[str]) -> bool:
    return not names or not content.keys().isdisjoint(names)


def _lacks(content: dict[str, Any], names: Sequence[str]) -> str:
    fields = ", ".join(list(content)[:SHOWN_FIELDS]) or "none"
    has_no_id = "score_id" in names and not content.keys().isdisjoint(("prediction_id", "scorer"))
    hint = "; `scoreline scores add` sends scores without ids" if has_no_id else ""
    return f"no field {' or '.join(names)}; it has {fields}{hint}"
