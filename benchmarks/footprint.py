"""Measure the time until a service is ready, and the memory of a worker."""

from __future__ import annotations

import time
from pathlib import Path

from benchmarks import wrk
from benchmarks.client import Client
from benchmarks.creates import EMBEDDED
from benchmarks.documents import SCORES, batch, write_bodies
from benchmarks.machine import resident_megabytes
from benchmarks.rounds import Plan, progress
from benchmarks.servers import WORKERS
from benchmarks.table import Row
from tests.processes import Service, running

READY = "start until /health/ready is 200"
FRESH = "memory of a worker after the start"
LOADED = "memory of a worker after 32 connections"
BATCHED = "memory of a worker after batches of 10,000"
UNITS = {READY: " s", FRESH: " MiB", LOADED: " MiB", BATCHED: " MiB"}
BATCHES = 6


def measure(plan: Plan, directory: Path) -> list[Row]:
    """Measure the start with an empty store, and the memory of the largest worker."""
    measured: dict[str, list[float]] = {name: [] for name in UNITS}
    for number in range(plan.rounds):
        place = directory / f"footprint-{number}"
        place.mkdir()
        for name, value in _one(plan, place).items():
            measured[name].append(value)
        values = ", ".join(f"{name} {values[-1]:.3g}" for name, values in measured.items())
        progress(f"footprint, round {number + 1} of {plan.rounds}: {values}")
    return [Row(name, EMBEDDED, "", UNITS[name], values) for name, values in measured.items()]


def _one(plan: Plan, place: Path) -> dict[str, float]:
    values = {}
    bodies, large = write_bodies(place / "bodies.jsonl"), batch(10_000)
    began = time.perf_counter()
    with running(place, WEB_CONCURRENCY=str(WORKERS)) as service:
        with Client(service.port) as client:
            assert client.is_ready()
        values[READY] = time.perf_counter() - began
        values[FRESH] = _largest(service)
        wrk.load(f"{service.url}{SCORES}", "POST", bodies, 32, plan.seconds)
        values[LOADED] = _largest(service)
        for _ in range(BATCHES):  # On separate connections, so that all workers get some.
            with Client(service.port) as client:
                client.post_batch(large)
        values[BATCHED] = _largest(service)
    return values


def _largest(service: Service) -> float:
    return max(resident_megabytes(worker) for worker in service.workers())
