"""Write logs as JSON lines, each with the id of its request, without delaying requests."""

from __future__ import annotations

import json
import logging
import logging.config
import os
import select
import sys
import threading
import time
from collections import Counter
from contextvars import ContextVar
from functools import lru_cache
from queue import SimpleQueue
from typing import Any

request_id: ContextVar[str | None] = ContextVar("request_id", default=None)

AUDIT = "scoreline.audit"
"""The logger of changes and who made them, whose lines are written at every log level."""

STDOUT, STDERR = 1, 2
_encode = json.JSONEncoder().encode
_OWN_FIELDS = "scoreline_fields"

MAX_LINES = 10_000
"""How many lines of a process may be queued; audit lines may use twice as many."""

WAIT_SECONDS = 1.0
"""How long to wait until an audit line, or at exit every line, is written."""

PAUSE_SECONDS = 0.005
"""How long to collect lines before writing, so that the thread seldom interrupts requests."""

Line = tuple[bytes, threading.Event | None]


class LineHandler(logging.Handler):
    """Write lines on a thread of its own, so that a stalled reader of the log blocks no request.

    When the queue is full, lines are dropped and counted, and the count is logged once lines can be
    written again. The thread starts with the first line of a process, because it would not survive
    a fork.
    """

    def __init__(self, file: int) -> None:
        super().__init__()
        self._file = file
        self._reset()

    def _reset(self) -> None:
        self._process = os.getpid()
        self._thread: threading.Thread | None = None
        self._lines: SimpleQueue[Line | None] = SimpleQueue()
        self._dropped: Counter[bool] = Counter()  # By whether a line is an audit line.
        self._busy_since: float | None = None
        self._lock = threading.Lock()

    def createLock(self) -> None:  # noqa: N802 - logging's name.
        """Create no lock, because the queue needs none."""
        self.lock = None

    def emit(self, record: logging.LogRecord) -> None:
        """Queue a record; wait briefly until an audit line is written."""
        self.write(self.format(record), is_audit=record.name == AUDIT)

    def write(self, text: str, *, is_audit: bool = False) -> None:
        """Queue a line; wait briefly until an audit line is written."""
        if self._process != os.getpid():
            self._reset()
        if self._thread is None:
            self._start()
        if self._lines.qsize() >= MAX_LINES * (1 + is_audit):
            self._count_dropped(Counter([is_audit]))
            return
        written = threading.Event() if is_audit else None
        self._lines.put((f"{text}\n".encode(), written))
        if written:
            self._wait(written)

    def flush(self) -> None:
        """Wait briefly until all lines are written."""
        if self._thread and self._process == os.getpid():
            written = threading.Event()
            self._lines.put((b"", written))
            self._wait(written)

    def close(self) -> None:
        """End the thread after it has written the queued lines."""
        if self._thread and self._process == os.getpid():
            self._lines.put(None)
        super().close()

    def _wait(self, written: threading.Event) -> None:
        """Wait until a line is written, unless the reader of the log has already stalled."""
        since = self._busy_since
        if since is None or time.monotonic() - since < WAIT_SECONDS:
            written.wait(WAIT_SECONDS)

    def _start(self) -> None:
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(target=self._keep_writing, name="log", daemon=True)
                self._thread.start()

    def _count_dropped(self, dropped: Counter[bool]) -> None:
        with self._lock:
            self._dropped += dropped

    def _keep_writing(self) -> None:
        while line := self._lines.get():
            lines, size = [line], len(line[0])
            # Writes of up to this size to a pipe are atomic, so lines of processes do not mix.
            while size < select.PIPE_BUF and not self._lines.empty():
                following = self._lines.get()
                if following is None:
                    self._lines.put(None)
                    break
                if size + len(following[0]) > select.PIPE_BUF:
                    self._write_all(lines)
                    lines, size = [], 0
                lines.append(following)
                size += len(following[0])
            self._write_all(lines)
            time.sleep(PAUSE_SECONDS)

    def _write_all(self, lines: list[Line]) -> None:
        """Write lines at once, and notify the threads that wait for them."""
        try:
            self._write_bytes(b"".join(data for data, _ in lines))
        except OSError:  # The reader has closed the pipe, or the disk is full.
            self._count_dropped(Counter(written is not None for data, written in lines if data))
        else:
            self._report_dropped()
        for _, written in lines:
            if written:
                written.set()

    def _write_bytes(self, data: bytes) -> None:
        self._busy_since = time.monotonic()
        try:
            while data:
                try:
                    data = data[os.write(self._file, data) :]
                except BlockingIOError:
                    select.select([], [self._file], [])
        finally:
            self._busy_since = None

    def _report_dropped(self) -> None:
        if not self._dropped:
            return
        with self._lock:
            dropped, self._dropped = self._dropped, Counter()
        count = f"{dropped.total()} log lines were dropped, {dropped[True]} of them audit lines"
        attributes = {"name": "scoreline.logs", "levelno": logging.ERROR, "levelname": "ERROR"}
        message = f"{count}: they were not read in time"
        record = logging.makeLogRecord({**attributes, "msg": message})
        self._lines.put((f"{self.format(record)}\n".encode(), None))


def print_message(text: str) -> None:
    """Print text to stderr, unless that would block because its reader has stalled."""
    if sys.stderr and select.select([], [sys.stderr], [], 0)[1]:
        sys.stderr.write(f"{text}\n")
        sys.stderr.flush()


class JsonFormatter(logging.Formatter):
    """Format a log record as a JSON object on one line."""

    def format(self, record: logging.LogRecord) -> str:
        """Return time, level, logger, message and request id, then the record's own fields."""
        line: dict[str, Any] = {
            "time": f"{_second(int(record.created))}.{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            "request_id": request_id.get(),
        }
        line |= getattr(record, _OWN_FIELDS, {})
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return _encode(line)


@lru_cache(maxsize=2)
def _second(seconds: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))


def fields(**values: Any) -> dict[str, Any]:
    """Return the `extra` argument that adds fields to a log line."""
    return {_OWN_FIELDS: values}


def configure_logging(level: str, file: int = STDOUT) -> None:
    """Configure the loggers of a process; `level` is the lowest level that is logged.

    `file` is STDOUT for a service and STDERR for a command. Turns off what no line shows, such as
    the caller's file name (logging HOWTO, section "Optimization").
    """
    logging._srcfile = None  # noqa: SLF001 - as the HOWTO recommends.
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    logging.config.dictConfig(_logging_config(level, file))


def _logging_config(level: str, file: int) -> dict[str, Any]:
    """Return the configuration for `logging.config.dictConfig`."""
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"json": {"()": JsonFormatter}},
        "handlers": {
            "lines": {
                "()": LineHandler,
                "file": file,
                "formatter": "json",
            }
        },
        "root": {"level": "WARNING", "handlers": ["lines"]},
        "loggers": {
            "scoreline": {"level": level.upper()},
            AUDIT: {"level": "INFO"},
            # gunicorn's loggers would keep their own handlers unless they are listed here.
            # Its debug lines contain what clients sent, including keys.
            "gunicorn.error": {
                "level": "INFO" if level == "debug" else level.upper(),
                "handlers": [],
                "propagate": True,
            },
            "gunicorn.access": {"level": "ERROR", "handlers": [], "propagate": True},
        },
    }
