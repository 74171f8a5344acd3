"""Measure batches, compared with raw executemany of the same documents and with single creates."""

from __future__ import annotations

import sqlite3
import time
from functools import partial
from pathlib import Path

from benchmarks import raw, servers
from benchmarks.client import Client
from benchmarks.creates import EMBEDDED, RAW, Side
from benchmarks.documents import batch, write_bodies
from benchmarks.rounds import Measure, Plan, alternate
from benchmarks.table import Row

SIZES = (100, 1_000, 10_000)
SINGLES = {"single creates, 1 connection": 1, "single creates, 32 connections": 32}


def measure(plan: Plan, directory: Path) -> list[Row]:
    """Measure scores per second of one client that sends batches, or one process that inserts."""
    place = directory / "batches"
    place.mkdir()
    rows = []
    with servers.scoreline(place) as server:
        with Client(server.port) as client:
            client.post_batch(batch(max(SIZES)))
        database = place / "scoreline.db"
        documents = raw.rows(database, max(SIZES))
        singles = _singles(server, place, plan)
        with raw.like(place / "raw.db", database) as connection:
            for size in SIZES:
                sides: dict[str, Measure] = {
                    EMBEDDED: partial(_batches, server.port, size, plan.batch_scores),
                    RAW: partial(_raw, connection, documents[:size], plan.batch_scores),
                    **singles,
                }
                what = f"batches of {size:,}"
                measured = alternate(what, sides, plan.rounds)
                rows += [
                    Row(what, EMBEDDED, against, "/s", measured[EMBEDDED], measured[against])
                    for against in sides
                    if against != EMBEDDED
                ]
    return rows


def _singles(server: servers.Server, place: Path, plan: Plan) -> dict[str, Measure]:
    bodies = write_bodies(place / "bodies.jsonl")
    return {
        name: Side(server, bodies, connections, plan.seconds)
        for name, connections in SINGLES.items()
    }


def _batches(port: int, size: int, scores: int) -> float:
    body = batch(size)
    with Client(port) as client:
        began = time.perf_counter()
        for _ in range(scores // size):
            client.post_batch(body)
        return scores / (time.perf_counter() - began)


def _raw(connection: sqlite3.Connection, documents: list[raw.Row], scores: int) -> float:
    parts = [raw.renewed(documents) for _ in range(scores // len(documents))]
    return scores / raw.batches(connection, parts)
