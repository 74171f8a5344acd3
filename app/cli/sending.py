"""Send the lines of a file in batches, count the results, and report rejected lines."""

from __future__ import annotations

import hashlib
import json
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, BinaryIO

import click

from app.cli.base import ServiceError, note, write_json
from app.cli.client import error_text, not_scoreline
from app.cli.files import InputFile, Line, read_line

Outgoing = tuple[str, bytes]
"""The position of a line in the file, for messages, and the bytes to send."""

MAX_ERRORS = 100
"""How many rejected lines of a batch the service returns errors for."""

TOO_MANY_ERRORS = "too_many_errors"
KEY_REUSED = "idempotency_key_reused"
MAX_NAMES = 20


@dataclass
class Progress:
    """How much of a file was sent to `target`, in bytes and lines, and the results by count.

    A command that resumes continues the counts: they and the exit code cover the whole file.
    """

    target: str
    offset: int = 0
    lines: int = 0
    created: int = 0
    present: int = 0
    rejected: int = 0
    digest: str = ""


@dataclass
class Journal:
    """The progress of sending a file, stored next to it in FILE.progress until all of it is sent.

    `seen` is called with each line that an interrupted command already sent. A pipe has no
    journal, and neither has a file that is read whole (`is_kept` is false). A journal that cannot
    be written is reported once.
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
            note(
                f"resuming after line {progress.lines}; "
                "the counts at the end include the earlier runs"
            )

    def _recover(self) -> Progress | None:
        """Return the progress that an interrupted command left, if file and target are the same."""
        try:
            progress = Progress(**json.loads(self._path.read_text("utf-8")))
            if progress.target != self.target or not 0 < progress.offset <= (self.file.size or 0):
                return None
            digest = hashlib.sha256()
            with self.file.path.open("rb") as opened:
                for chunk in _chunks(opened, progress.offset):
                    digest.update(chunk)
                if digest.hexdigest() != progress.digest:
                    return None
                opened.seek(0)
                for number in range(1, progress.lines + 1):
                    self.seen(read_line(opened.readline(), number))
        except (OSError, ValueError, TypeError):
            return None  # Not a journal: send the file from its beginning.
        self._hash = digest
        return progress

    def sent(self, raw: list[bytes]) -> None:
        """Record that these lines were sent; the caller has already counted their results."""
        for line in raw:
            self._hash.update(line)
            self.progress.offset += len(line)
        self.progress.lines += len(raw)
        self.progress.digest = self._hash.hexdigest()
        if not self._writes:
            return
        # Replace the file atomically, so that an interruption leaves a complete one.
        new = self._path.with_name(f"{self._path.name}.new")
        try:
            new.write_text(json.dumps(asdict(self.progress)), "utf-8")
            new.replace(self._path)
        except OSError as error:
            self._writes = False
            note(f"{self._path} cannot be written: {error.strerror}; continuing without it")

    def finish(self) -> None:
        """Remove the journal, because the whole file was sent."""
        if not self._writes:
            return
        for name in (self._path, self._path.with_name(f"{self._path.name}.new")):
            try:
                name.unlink(missing_ok=True)
            except OSError as error:
                note(f"{name} cannot be removed: {error.strerror}")

    @property
    def after_interruption(self) -> str:
        """What running the same command again does, for the message on Ctrl-C."""
        if self._writes:
            return "run the same command to resume"
        return "run the same command to start over; nothing is stored twice"


def _chunks(opened: BinaryIO, length: int) -> Iterator[bytes]:
    """Yield the first `length` bytes of a file in chunks."""
    while length > 0 and (chunk := opened.read(min(length, 1 << 20))):
        length -= len(chunk)
        yield chunk


class LineKeys:
    """Idempotency keys for a file's lines, made from their content and its earlier occurrences.

    White space and the order of fields do not matter. Adding or removing other lines changes no
    key.
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


def send(
    call: Callable[[Sequence[bytes]], dict[str, Any]],
    present_field: str,
    lines: Sequence[Outgoing],
    progress: Progress,
) -> None:
    """Send lines with `call`, count the results in `progress`, and report rejected lines.

    `present_field` of a response has how many scores already existed. A batch that the service
    refuses as too large is sent again in halves.
    """
    if not lines:
        return
    try:
        response = call([line for _, line in lines])
    except ServiceError as error:
        if error.status != 413:
            raise
        if len(lines) == 1:
            reject(f"{lines[0][0]}: {error}", progress)
            return
        middle = len(lines) // 2
        for half in (lines[:middle], lines[middle:]):
            send(call, present_field, half, progress)
        return
    # Send again the lines whose errors were left out, few enough to get all their errors.
    again = _count(response, present_field, lines, progress)
    for start in range(0, len(again), MAX_ERRORS):
        send(call, present_field, again[start : start + MAX_ERRORS], progress)


def _count(
    response: dict[str, Any],
    present_field: str,
    lines: Sequence[Outgoing],
    progress: Progress,
) -> list[Outgoing]:
    """Count the results of lines; return the rejected lines whose errors were left out."""
    results = response["results"]
    if not isinstance(results, list) or len(results) != len(lines):
        raise not_scoreline(200)
    rejected = [
        (line, result["detail"])
        for line, result in zip(lines, results, strict=True)
        if "detail" in result
    ]
    present = int(response[present_field])
    progress.present += present
    progress.created += len(lines) - len(rejected) - present
    unexplained = []
    for line, errors in rejected:
        position, sent = line
        if errors[0].get("type") == TOO_MANY_ERRORS and len(lines) > 1:
            unexplained.append(line)
        elif errors[0].get("type") == KEY_REUSED and sent.startswith(b'{"idempotency_key":"add-'):
            # The key is made from the content, so only its formatting as JSON differs.
            progress.present += 1
        else:
            text = error_text([{**each, "loc": each["loc"][2:]} for each in errors])
            reject(f"{position}: {text}", progress)
    return unexplained


def reject(message: str, progress: Progress) -> None:
    """Report a rejected line and count it."""
    progress.rejected += 1
    note(message)


def report(progress: Progress, ignored: set[str], *, as_json: bool) -> None:
    """Print the counts of a file, and exit with code 1 if a line was rejected."""
    if ignored:
        names = sorted(ignored)
        more = f" and {len(names) - MAX_NAMES} more" if len(names) > MAX_NAMES else ""
        note(f"ignored: {', '.join(names[:MAX_NAMES])}{more}")
    if as_json:
        write_json(
            {
                "num_created": progress.created,
                "num_replayed": progress.present,
                "num_failed": progress.rejected,
            }
        )
    else:
        click.echo(
            f"new {progress.created}, already there {progress.present}, "
            f"refused {progress.rejected}",
            err=True,
        )
    if progress.rejected:
        sys.exit(1)
