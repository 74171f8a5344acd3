"""How far a file was sent: kept beside it, so that an interrupted command goes on where it was."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import BinaryIO

_PIECE = 1 << 20
BATCH_BYTES = 4 * 1024 * 1024
"""About how many bytes of a file are sent at once."""


@dataclass
class Progress:
    """What is done of a file: where it went, how many bytes and lines of it, what those were."""

    target: str
    offset: int = 0
    lines: int = 0
    blank: int = 0
    refused: int = 0
    created: int = 0
    present: int = 0
    """Of an import: how many scores became new, and how many were there already."""

    digest: str = ""


class Journal:
    """The progress of sending `file` to `target`, in `file`.progress until it is done."""

    def __init__(self, file: Path, target: str) -> None:
        self._path = file.with_name(f"{file.name}.progress")
        self._file = file
        self._hash = hashlib.sha256()
        self.progress = self._recover(target) or Progress(target)

    def _recover(self, target: str) -> Progress | None:
        """The progress that an earlier command left, when it is of this file and this target."""
        try:
            progress = Progress(**json.loads(self._path.read_text("utf-8")))
        except (OSError, ValueError, TypeError):
            return None
        for piece in _pieces(self._file, progress.offset):
            self._hash.update(piece)
        if progress.target == target and progress.digest == self._hash.hexdigest():
            return progress
        self._hash = hashlib.sha256()
        return None

    def done(self, lines: list[bytes], refused: int) -> None:
        """Note that these lines, as they stand in the file, have been answered."""
        for line in lines:
            self._hash.update(line)
            self.progress.offset += len(line)
            self.progress.blank += not line.strip()
        self.progress.lines += len(lines)
        self.progress.refused += refused
        self.progress.digest = self._hash.hexdigest()
        # Replaced at once, so that it is whole whenever the command is interrupted.
        waiting = self._path.with_name(f"{self._path.name}.new")
        waiting.write_text(json.dumps(asdict(self.progress)), "utf-8")
        waiting.replace(self._path)

    def finish(self) -> None:
        """Forget: the file was sent to its end."""
        self._path.unlink(missing_ok=True)


def _pieces(file: Path, length: int) -> Iterator[bytes]:
    """The first `length` bytes of a file."""
    with file.open("rb") as opened:
        while length > 0 and (piece := opened.read(min(length, _PIECE))):
            length -= len(piece)
            yield piece


def next_lines(file: BinaryIO, most: int) -> list[bytes]:
    """Lines as they stand in the file, at most so many and about BATCH_BYTES."""
    lines: list[bytes] = []
    size = 0
    for line in islice(file, most):
        lines.append(line)
        size += len(line)
        if size >= BATCH_BYTES:
            break
    return lines
