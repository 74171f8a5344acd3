"""Files of JSON lines: opened, recognised, read line by line, and how far they were sent."""

from __future__ import annotations

import hashlib
import io
import json
import os
import shlex
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Self

from app.cli.output import fail, note

HEAD_BYTES = 1 << 20
"""How much of a file is looked at to recognise it."""

BATCH_BYTES = 4 << 20
"""About how many bytes of a file are sent at once."""

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

_PLAIN = {
    "Extra data": "there is more after the end of the object",
    "Expecting value": "a value is missing",
    "Invalid control character at": "a string holds a control character, or does not end here",
    "Unterminated string starting at": "a string does not end",
}
"""What json says of an error, where it can be said more plainly."""


@dataclass(frozen=True)
class Line:
    """One line of a file: its number from 1, its bytes, and its JSON or what is wrong with it."""

    number: int
    raw: bytes
    content: Any = None
    error: str | None = None

    @property
    def is_blank(self) -> bool:
        """Whether nothing stands in the line."""
        return self.error is None and not self.text

    @property
    def text(self) -> bytes:
        """The line as it is sent: without the space around it, and a byte order mark."""
        return self.raw.removeprefix(BOM).strip()

    @property
    def place(self) -> str:
        """Where the line is, as messages name it."""
        return f"line {self.number}"


def read_line(raw: bytes, number: int) -> Line:
    """Read one line; columns in its error count characters from 1."""
    try:
        text = raw.removeprefix(BOM if number == 1 else b"").decode()
    except UnicodeDecodeError as error:
        column = len(raw[: error.start].decode()) + 1
        return Line(number, raw, error=f"column {column}: not UTF-8")
    if not text.strip():
        return Line(number, raw)
    return Line(number, raw, *_read_object(text))


def _read_object(text: str) -> tuple[dict[str, Any] | None, str | None]:
    """Return the JSON object in a text, or what is wrong with it."""
    try:
        content = json.loads(text)
    except json.JSONDecodeError as error:
        what = _PLAIN.get(error.msg, error.msg)
        return None, f"column {error.pos + 1}: not JSON: {what}"
    except RecursionError:
        return None, "column 1: nested too deeply to be read"
    except ValueError:
        return None, "column 1: a number has too many digits to be read"
    if not isinstance(content, dict):
        return None, "column 1: JSON, but not an object"
    return content, None


class InputFile:
    """A file, a pipe or, as `-`, standard input, open to be read.

    `size` is None where it is not known before the end, as of a pipe.
    """

    def __init__(self, name: str) -> None:
        self.name = "standard input" if name == "-" else name
        self.path = Path(name)
        try:
            if self.path.is_dir():
                fail(f"{name} is a folder, not a file", 2)
            raw = io.FileIO(0 if name == "-" else name, closefd=name != "-")
            self.opened = io.BufferedReader(raw, HEAD_BYTES)
            self.head = self.opened.peek(HEAD_BYTES)
            self.is_regular = name != "-" and self.path.is_file()
        except (OSError, ValueError) as error:
            fail(f"{self.name} cannot be read: {getattr(error, 'strerror', None) or error}", 2)
        self.size = os.fstat(self.opened.fileno()).st_size if self.is_regular else None
        self._refuse(_binary(self.head))

    def __enter__(self) -> Self:
        """Hand over the open file."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close it."""
        self.opened.close()

    def refuse_other_json(self) -> None:
        """End the command where the file holds JSON, but not one object a line."""
        self._refuse(_other_json(self.head.removeprefix(BOM)))

    def _refuse(self, problem: str | None) -> None:
        if problem:
            file = "FILE" if str(self.path) == "-" else shlex.quote(str(self.path))
            fail(f"{self.name} is {problem.replace(' FILE ', f' {file} ')}", 2)

    def lines(self, number: int = 0) -> Iterator[Line]:
        """Yield the lines that follow, the first of which has the number after `number`."""
        for raw in self.opened:
            number += 1
            yield read_line(raw, number)


def _binary(head: bytes) -> str | None:
    """Say what a file is that is not text in UTF-8, and what makes it that."""
    for magic, (name, command) in COMPRESSED.items():
        if head.startswith(magic):
            return f"compressed with {name}: `{command} FILE > NEW`, or pipe that into `--file -`"
    if head.startswith(b"PAR1"):
        return "Parquet, not text: export it as JSON lines"
    if encoding := _encoding(head):
        return f"{encoding}, not UTF-8: `iconv -f {encoding} -t UTF-8 FILE > NEW`"
    return "binary, not text" if b"\0" in head[:4096] else None


def _encoding(head: bytes) -> str | None:
    """Return the encoding of text that is not UTF-8, by its mark or by its zero bytes."""
    for marks, name in ((UTF_32, "UTF-32"), (UTF_16, "UTF-16")):
        if head.startswith(marks):
            return name
    for zeros, name in ((0, "UTF-16BE"), (1, "UTF-16LE")):
        if len(head) > 1 and not any(head[zeros:64:2]) and any(head[1 - zeros : 64 : 2]):
            return name
    return None


def _other_json(head: bytes) -> str | None:
    """Say what JSON a file is that is not one object a line, and what makes it that."""
    text = head.decode(errors="replace")
    first = text.lstrip()
    if first.startswith("["):
        return "a JSON array, not one object a line: `jq -c '.[]' FILE > NEW`"
    try:
        content, end = json.JSONDecoder().raw_decode(first)
    except (ValueError, RecursionError):
        return _no_line_is_json(text)
    if not isinstance(content, dict):
        return _no_line_is_json(text)
    lists = [name for name, value in content.items() if _is_rows(value)]
    if "prediction_id" not in content and len(lists) == 1:
        name = json.dumps(lists[0], ensure_ascii=False)
        return (
            f"one JSON object with a list, not one object a line: `jq -c '.[{name}][]' FILE > NEW`"
        )
    if "\n" in first[:end]:
        return "JSON over several lines, not one object a line: `jq -c . FILE > NEW`"
    return None


def _is_rows(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(row, dict) for row in value)


def _no_line_is_json(text: str) -> str | None:
    """Say so where none of the first lines is JSON; one such line is told by itself."""
    lines = [line for line in text.split("\n")[:100] if line.strip()]
    read = [read_line(line.encode(errors="replace"), 2) for line in lines]
    if len(lines) < 2 or any(isinstance(line.content, dict) for line in read):
        return None
    if not any("not JSON" in (line.error or "") for line in read):
        return None
    if lines[0].strip().startswith("{") and "\n" in text:
        return (
            "not one JSON object a line: if its JSON goes over several lines, `jq -c . FILE > NEW`"
        )
    return f"not JSON lines: line 1, {read[0].error}"


@dataclass
class Progress:
    """How far a file was sent to `target`: bytes and lines, and what became of them."""

    target: str
    offset: int = 0
    lines: int = 0
    created: int = 0
    present: int = 0
    refused: int = 0
    digest: str = ""


@dataclass
class Journal:
    """The progress of sending a file, kept beside it in FILE.progress until all is sent.

    `seen` is called with each line that an earlier command sent. A pipe has no journal, nor has a
    file that is read whole; where the journal cannot be written, that is said once.
    """

    file: InputFile
    target: str
    seen: Callable[[Line], object]
    is_kept: bool = True
    progress: Progress = field(init=False)

    def __post_init__(self) -> None:
        self._path = self.file.path.with_name(f"{self.file.path.name}.progress")
        self._writes = self.is_kept and self.file.is_regular
        self._hash = hashlib.sha256()
        self.progress = Progress(self.target)
        if self._writes and (progress := self._recover()):
            self.progress = progress
            self.file.opened.seek(progress.offset)
            note(f"going on after line {progress.lines}")

    def _recover(self) -> Progress | None:
        """Return the progress that an earlier command left of the same bytes and target."""
        try:
            progress = Progress(**json.loads(self._path.read_text("utf-8")))
            if progress.target != self.target or not 0 < progress.offset <= (self.file.size or 0):
                return None
            digest = hashlib.sha256()
            with self.file.path.open("rb") as opened:
                for piece in _pieces(opened, progress.offset):
                    digest.update(piece)
                if digest.hexdigest() != progress.digest:
                    return None
                opened.seek(0)
                for number in range(1, progress.lines + 1):
                    self.seen(read_line(opened.readline(), number))
        except (OSError, ValueError, TypeError):
            return None  # What is left is not a journal: the file is sent from its beginning.
        self._hash = digest
        return progress

    def sent(self, raw: list[bytes]) -> None:
        """Note that these lines have been answered; `progress` counts what became of them."""
        for line in raw:
            self._hash.update(line)
            self.progress.offset += len(line)
        self.progress.lines += len(raw)
        self.progress.digest = self._hash.hexdigest()
        if not self._writes:
            return
        # Replaced at once, so that it is whole whenever the command is interrupted.
        waiting = self._path.with_name(f"{self._path.name}.new")
        try:
            waiting.write_text(json.dumps(asdict(self.progress)), "utf-8")
            waiting.replace(self._path)
        except OSError as error:
            self._writes = False
            note(f"{self._path} cannot be written: {error.strerror}; going on without it")

    def finish(self) -> None:
        """Remove the journal: the file was sent to its end."""
        if not self._writes:
            return
        for name in (self._path, self._path.with_name(f"{self._path.name}.new")):
            try:
                name.unlink(missing_ok=True)
            except OSError as error:
                note(f"{name} cannot be removed: {error.strerror}")

    @property
    def after_interruption(self) -> str:
        """What the same command does after an interruption."""
        if self._writes:
            return "the same command goes on where it was"
        return "the same command starts again, and stores nothing twice"


def _pieces(opened: BinaryIO, length: int) -> Iterator[bytes]:
    """Yield the first `length` bytes of a file."""
    while length > 0 and (piece := opened.read(min(length, 1 << 20))):
        length -= len(piece)
        yield piece


class LineKeys:
    """Idempotency keys of a file's lines, made of their content and how often it came before.

    Space and the order of keys in the JSON do not matter, nor do lines in between: a line that is
    added or taken out elsewhere changes no key.
    """

    def __init__(self) -> None:
        self._times: Counter[bytes] = Counter()

    def key_of(self, content: dict[str, Any]) -> str:
        """Return the key of the next line with this content."""
        text = json.dumps(content, sort_keys=True, separators=(",", ":"))
        digest = hashlib.sha256(text.encode()).digest()[:20]
        times = self._times[digest]
        self._times[digest] += 1
        return "add-" + hashlib.sha256(b"%b %d" % (digest, times)).hexdigest()[:40]
