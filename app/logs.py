"""Log lines: JSON objects, one a line, each with the id of the request that it belongs to."""

from __future__ import annotations

import json
import logging
import logging.config
import os
import time
from contextvars import ContextVar
from functools import lru_cache
from typing import Any

request_id: ContextVar[str | None] = ContextVar("request_id", default=None)

AUDIT = "scoreline.audit"
"""The logger of who changed what: it is written whatever level the others have."""

STDOUT, STDERR = 1, 2
_encode = json.JSONEncoder().encode
_OWN_FIELDS = "scoreline_fields"


class LineHandler(logging.Handler):
    """Writes each line to a file in one system call, for which threads need no lock."""

    def __init__(self, file: int) -> None:
        super().__init__()
        self._file = file

    def createLock(self) -> None:  # noqa: N802 - logging's name.
        """None is needed."""
        self.lock = None

    def emit(self, record: logging.LogRecord) -> None:
        """Write one record."""
        try:
            os.write(self._file, f"{self.format(record)}\n".encode())
        except OSError:
            self.handleError(record)


class JsonFormatter(logging.Formatter):
    """Formats a log record as one JSON object on one line."""

    def format(self, record: logging.LogRecord) -> str:
        """Time, level, logger, message and request id first, then the line's own fields."""
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
    """Fields of one log line, as the `extra` argument of a logger's method."""
    return {_OWN_FIELDS: values}


def configure_logging(level: str, file: int = STDOUT) -> None:
    """Set up every logger of a process; `level` is the least that is logged.

    `file` is STDOUT for a process that serves, STDERR for a command. What no line shows is not
    looked up for each (the logging HOWTO, section "Optimization").
    """
    logging._srcfile = None  # noqa: SLF001 - the HOWTO's own words.
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    logging.config.dictConfig(_logging_config(level, file))


def _logging_config(level: str, file: int) -> dict[str, Any]:
    """In `logging.config`'s shape."""
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
            # gunicorn hands its loggers handlers of its own unless they are named here.
            # Its debug lines hold what clients sent, keys too.
            "gunicorn.error": {
                "level": "INFO" if level == "debug" else level.upper(),
                "handlers": [],
                "propagate": True,
            },
            "gunicorn.access": {"level": "ERROR", "handlers": [], "propagate": True},
        },
    }
