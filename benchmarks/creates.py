"""Measure durable single creates over 1, 8 and 32 connections."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from benchmarks import raw, servers, wrk
from benchmarks.documents import BODIES, SCORES, write_bodies
from benchmarks.rounds import Measure, Plan, alternate, progress
from benchmarks.table import Row
from tests import mongodb

CONNECTIONS = (1, 8, 32)
EMBEDDED, MONGODB = "Scoreline", "Scoreline on MongoDB"
BARE, REFERENCE, RAW = "bare Flask", "FastAPI", "raw sqlite3"
BARE_OURS = "bare Flask, our worker"


def measure(plan: Plan, directory: Path, mongodb_uri: str) -> list[Row]:
    """Compare Scoreline on each store with a bare view, FastAPI and raw inserts."""
    rows = []
    for connections in CONNECTIONS:
        what = f"single creates, {connections} connection{'s' if connections > 1 else ''}"
        place = directory / f"creates-{connections}"
        place.mkdir()
        with _sides(plan, place, mongodb_uri, connections) as sides:
            measured = alternate(what, sides, plan.rounds)
        rows += [
            Row(what, side, against, "/s", measured[side], measured[against])
            for side in (EMBEDDED, MONGODB)
            for against in (BARE, BARE_OURS, REFERENCE, RAW)
            if side in measured
        ]
    return rows


@contextmanager
def _sides(
    plan: Plan, place: Path, mongodb_uri: str, connections: int
) -> Iterator[dict[str, Measure]]:
    """Start every side on an empty store, and warm it up."""
    bodies = write_bodies(place / "bodies.jsonl")
    with ExitStack() as stack:
        enter = stack.enter_context
        sides = {
            name: Side(enter(server), bodies, connections, plan.seconds)
            for name, server in (
                (BARE, servers.bare(place)),
                (BARE_OURS, servers.bare(place, servers.OUR_WORKER)),
                (EMBEDDED, servers.scoreline(place)),
                (REFERENCE, servers.reference(place)),
            )
        }
        if mongodb_uri:
            uri = mongodb.with_database(mongodb_uri, f"scoreline_bench_{connections}")
            if os.environ.get(
                "SCORELINE_TEST_MONGODB"
            ):  # Other servers are deleted with their data.
                stack.callback(mongodb.drop_database, uri)
            server = enter(servers.scoreline(place, uri))
            sides[MONGODB] = Side(server, bodies, connections, plan.mongodb_seconds)
        progress(f"warming up for {connections} connections")
        for side in sides.values():
            side.warm_up()
        yield {**sides, RAW: _raw(stack, plan, place)}
        for side in sides.values():
            side.check()


class Side:
    """A service under load, and the number of scores that it has acknowledged."""

    def __init__(
        self, server: servers.Server, bodies: Path, connections: int, seconds: int
    ) -> None:
        self._server, self._bodies = server, bodies
        self._connections, self._seconds = connections, seconds
        self._acknowledged = 0

    def __call__(self) -> float:
        """Measure requests per second."""
        return self._load(self._seconds)

    def warm_up(self) -> None:
        """Send requests for a second without measuring."""
        self._load(1)

    def _load(self, seconds: int) -> float:
        url = f"{self._server.url}{SCORES}"
        load = wrk.load(url, "POST", self._bodies, self._connections, seconds)
        self._acknowledged += load.requests
        return load.rate

    def check(self) -> None:
        """Check that the database contains all acknowledged scores."""
        if self._server.database:
            stored = raw.count(self._server.database)
            assert stored >= self._acknowledged, (self._server, stored, self._acknowledged)


def _raw(stack: ExitStack, plan: Plan, place: Path) -> Callable[[], float]:
    """Return a measurement of raw inserts of the documents that Scoreline stored in the warm-up."""
    documents = raw.rows(place / "scoreline.db", BODIES)
    connection = stack.enter_context(raw.like(place / "raw.db", place / "scoreline.db"))
    return lambda: raw.single_inserts(connection, documents, plan.seconds)
