"""Log lines are JSON, one a line, with the request's id."""

from __future__ import annotations

import json
import logging
import sys
from typing import Any

from app.logs import JsonFormatter, fields, request_id


def line(message: str, exc_info: Any = None, **own: Any) -> dict[str, Any]:
    record = logging.getLogger("x").makeRecord(
        "scoreline.x", logging.INFO, "file", 1, message, (), exc_info, None, fields(**own)
    )
    text = JsonFormatter().format(record)
    assert "\n" not in text
    return dict(json.loads(text))


def test_a_line_has_time_level_logger_message_and_request_id() -> None:
    token = request_id.set("r-1")
    found = line("two\nlines", status=200)
    request_id.reset(token)
    assert found.pop("time").endswith("Z")
    assert found == {
        "level": "info",
        "logger": "scoreline.x",
        "message": "two\nlines",
        "request_id": "r-1",
        "status": 200,
    }


def test_an_exception_is_logged_whole_on_one_line() -> None:
    try:
        raise RuntimeError("broken")
    except RuntimeError:
        found = line("failed", exc_info=sys.exc_info())
    assert "RuntimeError: broken" in found["exception"]
