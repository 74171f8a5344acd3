"""Log lines: JSON objects, one a line, each with the id of the request that it belongs to."""

from __future__ import annotations

import json
import logging
import time
from contextvars import ContextVar
from typing import Any

request_id: ContextVar[str | None] = ContextVar("request_id", default=None)

_OWN_FIELDS = "scoreline_fields"


class JsonFormatter(logging.Formatter):
    """Formats a log record as one JSON object on one line."""

    def format(self, record: logging.LogRecord) -> str:
        """Time, level, logger, message and request id first, then the line's own fields."""
        seconds = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        line: dict[str, Any] = {
            "time": f"{seconds}.{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            "request_id": request_id.get(),
        }
        line |= getattr(record, _OWN_FIELDS, {})
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line)


def fields(**values: Any) -> dict[str, Any]:
    """Fields of one log line, as the `extra` argument of a logger's method."""
    return {_OWN_FIELDS: values}


def logging_config(level: str) -> dict[str, Any]:
    """The configuration of every logger of a serving process, in `logging.config`'s shape."""
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"json": {"()": JsonFormatter}},
        "handlers": {
            "stdout": {
                "class": "logging.StreamHandler",
                "stream": "ext://sys.stdout",
                "formatter": "json",
            }
        },
        "root": {"level": "WARNING", "handlers": ["stdout"]},
        "loggers": {
            "scoreline": {"level": level.upper()},
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
