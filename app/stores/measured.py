"""A store that is measured: what each call took, what waits, what was created and deleted."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from time import perf_counter
from types import SimpleNamespace
from typing import Any, cast

from app.metrics import Metrics
from app.stores.base import Store

VERBS = tuple(name for name in vars(Store) if not name.startswith("_"))
WRITES = ("add_score", "add_scores", "delete_scores", "add_key", "revoke_key")

Call = Callable[..., Any]


def measured(store: Store, metrics: Metrics) -> Store:
    """What does as `store` does, and tells `metrics` of it.

    Every verb of a store is measured, whichever engine keeps it.
    """
    calls = {verb: _timed(getattr(store, verb), metrics.timing(verb)) for verb in VERBS}
    for verb in WRITES:
        calls[verb] = _write(getattr(store, verb), metrics.timing(verb), metrics)
    created, deleted = metrics.created.inc, metrics.deleted.inc
    for verb, count in (
        ("add_score", lambda _given, _result: created()),
        ("add_scores", lambda given, _result: created(len(given[0]))),
        ("delete_scores", lambda _given, num_deleted: deleted(num_deleted)),
    ):
        calls[verb] = _counted(calls[verb], count)
    return cast("Store", SimpleNamespace(**calls))


def _timed(call: Call, took: Callable[[float], None]) -> Call:
    if inspect.isgeneratorfunction(call):
        return _timed_pieces(call, took)

    def timed(*given: Any) -> Any:
        began = perf_counter()
        try:
            return call(*given)
        finally:
            took(perf_counter() - began)

    return timed


def _timed_pieces(call: Call, took: Callable[[float], None]) -> Call:
    """What is read piece by piece: the store's own time, without that of who reads."""

    def timed(*given: Any) -> Iterator[Any]:
        pieces, seconds, end = call(*given), 0.0, object()
        try:
            while True:
                began = perf_counter()
                try:
                    piece = next(pieces, end)
                finally:
                    seconds += perf_counter() - began
                if piece is end:
                    return
                yield piece
        finally:
            took(seconds)

    return timed


def _write(call: Call, took: Callable[[float], None], metrics: Metrics) -> Call:
    """A call that waits for a commit."""
    enter, leave = metrics.waiting.inc, metrics.waiting.dec

    def write(*given: Any) -> Any:
        began = perf_counter()
        enter()
        try:
            return call(*given)
        finally:
            leave()
            took(perf_counter() - began)

    return write


def _counted(call: Call, count: Callable[[Any, Any], None]) -> Call:
    """A call of which, when it succeeds, `count` is told what was given and what came back."""

    def counted(*given: Any) -> Any:
        result = call(*given)
        count(given, result)
        return result

    return counted
