"""Count what a program scores, and write it to a file when the process ends."""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import json
import sys
from pathlib import Path
from typing import Any

from tests.interop.loopback import loopback_only

_life = contextlib.ExitStack()
_scores: list[dict[str, Any]] = []
_runs: dict[str, int] = {}
_calls: list[Any] = []
_lines: list[str] = []
_reading = asyncio.Lock()


def begin() -> None:
    """Refuse connections beyond loopback, and write the report at the exit.

    Call it before `weave` is imported: what was registered first is called last.
    """
    tried = _life.enter_context(loopback_only())

    def report() -> None:
        found = {"scores": _scores, "runs": _runs, "tried": tried}
        Path(sys.argv[1]).write_text(json.dumps(found))

    atexit.register(report)


def count_run(run_id: str, predictions: int) -> None:
    """Count an evaluation run and its predictions."""
    _runs[run_id] = predictions


def count(
    call_id: str | None, scorer: str, value: Any, error: str = "", annotator: str = ""
) -> Any:
    """Count a score of the prediction with a call, and return its value.

    `call_id` is the id of the call of predict_and_score, or outside of runs of the call itself.
    """
    _scores.append(
        {
            "call": call_id,
            "scorer": scorer,
            "value": value,
            "error": error,
            "annotator": annotator,
        }
    )
    return value


def kept(call: Any = None) -> list[Any]:
    """Keep a call, and return all that are kept.

    A list in the program itself would be stored as part of the code of the functions that use it.
    """
    if call:
        _calls.append(call)
    return _calls


async def line(number: int) -> None:
    """Wait until so many lines have arrived on standard input."""
    while len(_lines) < number:
        async with _reading:
            if len(_lines) < number:
                _lines.append(await asyncio.to_thread(sys.stdin.readline))
