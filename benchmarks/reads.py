"""Measure reads of one score, of pages, and of all scores, in a small and a large store."""

from __future__ import annotations

import random
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from functools import partial
from pathlib import Path

from benchmarks import raw, servers, wrk
from benchmarks.client import Client
from benchmarks.creates import EMBEDDED, RAW
from benchmarks.documents import SCORES, SCORES_PER_RUN, batch, run
from benchmarks.rounds import Measure, Plan, alternate, progress
from benchmarks.table import Row

ONE = "time to read one score"
PAGE = "time to read a page of 100"
RUN = "time to read a page of 100 of a run"
BATCH = 10_000
PLACES = 1_000
"""How many different scores and pages the reads cycle through."""


def measure(plan: Plan, directory: Path) -> list[Row]:
    """Compare reads in a large and a small store, and measure the whole list and a summary."""
    places = {count: directory / f"reads-{count}" for count in (plan.small, plan.large)}
    for place in places.values():
        place.mkdir()
    rows = []
    with (
        servers.scoreline(places[plan.small]) as small,
        servers.scoreline(places[plan.large]) as large,
    ):
        both = {plan.small: small, plan.large: large}
        for count, server in both.items():
            _fill(server, count)
        files = {count: _write_paths(place) for count, place in places.items()}
        for what in (ONE, PAGE, RUN):
            lines = {count: files[count][what] for count in both}
            rows.append(_flatness(what, plan, both, lines))
        rows.append(_stream(plan, large))
        rows.append(_summary(plan, large))
    return rows


def _fill(server: servers.Server, count: int) -> None:
    progress(f"storing {count:,} scores")
    with Client(server.port) as client:
        for first in range(0, count, BATCH):
            client.post_batch(batch(min(BATCH, count - first), first))


def _write_paths(place: Path) -> dict[str, Path]:
    """Write files with the paths to read for each measurement, spread over the whole store."""
    with closing(sqlite3.connect(place / "scoreline.db")) as connection:
        ids = [row[0] for row in connection.execute("SELECT _id FROM scores ORDER BY _id")]
    chosen = random.Random(1)  # noqa: S311
    runs = [run(number) for number in range(len(ids) // SCORES_PER_RUN)]
    paths: dict[str, Callable[[], str]] = {
        ONE: lambda: f"{SCORES}/{chosen.choice(ids)}",
        PAGE: lambda: f"{SCORES}?limit=100&after={chosen.choice(ids[:-100])}",
        RUN: lambda: f"{SCORES}?limit=100&evaluation_run_id={chosen.choice(runs)}",
    }
    files = {}
    for number, (what, path) in enumerate(paths.items()):
        files[what] = place / f"{number}.paths"
        files[what].write_text("".join(f"{path()}\n" for _ in range(PLACES)))
    return files


def _flatness(
    what: str, plan: Plan, both: dict[int, servers.Server], lines: dict[int, Path]
) -> Row:
    """Compare the mean response time over one connection in the large and the small store."""

    def milliseconds(count: int) -> float:
        load = wrk.load(both[count].url, "GET", lines[count], 1, plan.seconds)
        return 1000 / load.rate

    names = {count: f"{count:,} stored" for count in both}
    sides: dict[str, Measure] = {names[count]: partial(milliseconds, count) for count in both}
    for measure_once in sides.values():
        measure_once()  # Warm up before the first round.
    measured = alternate(what, sides, plan.rounds)
    small, large = names[plan.small], names[plan.large]
    return Row(what, large, small, " ms", measured[large], measured[small])


def _stream(plan: Plan, server: servers.Server) -> Row:
    """Compare the whole list with a raw SELECT of the same rows."""

    def scores_per_second() -> float:
        began = time.perf_counter()
        with Client(server.port) as client:
            lines = client.count_lines(SCORES)
        assert lines == plan.large, lines
        return lines / (time.perf_counter() - began)

    assert server.database
    what = f"the list of {plan.large:,}, scores a second"
    sides: dict[str, Measure] = {
        EMBEDDED: scores_per_second,
        RAW: partial(raw.read_all, server.database),
    }
    measured = alternate(what, sides, plan.rounds)
    return Row(what, EMBEDDED, RAW, "/s", measured[EMBEDDED], measured[RAW])


def _summary(plan: Plan, server: servers.Server) -> Row:
    """Compare a summary of all scores with a SELECT of the columns that it reads."""

    def milliseconds() -> float:
        began = time.perf_counter()
        with Client(server.port) as client:
            client.get(f"{SCORES}/summary")
        return (time.perf_counter() - began) * 1000

    assert server.database
    what = f"time to summarise {plan.large:,}"
    sides: dict[str, Measure] = {
        EMBEDDED: milliseconds,
        RAW: partial(raw.read_leaves, server.database),
    }
    for measure_once in sides.values():
        measure_once()  # The first request in each worker imports numpy and SciPy.
    measured = alternate(what, sides, plan.rounds)
    return Row(what, EMBEDDED, RAW, " ms", measured[EMBEDDED], measured[RAW])
