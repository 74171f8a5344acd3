"""Prometheus metrics of this process, and the text of `/metrics` over all worker processes.

Each worker counts in files that all of them read (prometheus_client's multiprocess mode). A file
belongs to a worker's slot, not to its process: a new worker continues the counts of the last one in
its slot. So counts never fall, and a hundred restarts do not leave a hundred files.
"""

from __future__ import annotations

import logging
import os
import platform
import re
import shutil
import tempfile
from collections.abc import Callable, Collection, Iterator, Sequence
from importlib.metadata import version
from itertools import count
from pathlib import Path

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest, values
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead

log = logging.getLogger("scoreline.metrics")

CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4
DIRECTORY = "PROMETHEUS_MULTIPROC_DIR"
"""prometheus_client's variable: the directory that the worker processes count in."""

FILE_BYTES = {"counter": 128 * 1024, "histogram": 512 * 1024, "gauge_livesum": 4 * 1024}
"""The size of each file of counts: more than all routes, methods and statuses need."""

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_BY_ROUTE = ("route", "method", "status")
UNKNOWN = "unknown"
OTHER = "other"


class Metrics:
    """The metrics of one application."""

    def __init__(self, store: str) -> None:
        self._registry = CollectorRegistry()
        self._build_info = _BuildInfo(store)
        self._registry.register(self._build_info)
        self._known: dict[tuple[str | None, str, int], Callable[[float], None]] = {}
        self._requests = self._counter(
            "http_requests", "Requests answered, by route, method and status.", _BY_ROUTE
        )
        self._request_seconds = self._histogram(
            "http_request_duration_seconds",
            "Time from a request's head to the start of its answer.",
            SECONDS,
            _BY_ROUTE[:2],
        )
        self.created = self._counter("scores_created", "Scores stored.")
        self.deleted = self._counter("scores_deleted", "Scores deleted.")
        self.replayed = self._counter(
            "scores_replayed",
            "Scores that a repeated call was answered with again, and that were stored before.",
        )
        self.count_commit: Callable[[int], None] = self._histogram(
            "commit_batch_scores",
            "Scores of single calls that were written together in one commit.",
            SIZES,
        ).observe
        self._store_seconds = self._histogram(
            "store_duration_seconds",
            "Time that the store took for a call, waiting for its commit included.",
            SECONDS,
            ("call",),
        )
        self.waiting = Gauge(
            "scoreline_write_queue_depth",
            "Writes that wait for their commit now, the commit under way included.",
            multiprocess_mode="livesum",
            registry=self._registry,
        )

    def _counter(self, name: str, meaning: str, labels: Sequence[str] = ()) -> Counter:
        return Counter(f"scoreline_{name}", meaning, labels, registry=self._registry)

    def _histogram(
        self, name: str, meaning: str, bounds: Sequence[float], labels: Sequence[str] = ()
    ) -> Histogram:
        return Histogram(
            f"scoreline_{name}", meaning, labels, buckets=bounds, registry=self._registry
        )

    def count_request(self, route: str | None, method: str, status: int, seconds: float) -> None:
        """Count one request; `route` is the rule that matched, with `<name>` for what varies."""
        known = self._known.get((route, method, status))
        if known is None:
            known = self._counting(route, method, status)
        known(seconds)

    def _counting(self, route: str | None, method: str, status: int) -> Callable[[float], None]:
        """Return a function that counts such a request.

        It is kept, because looking counters up by their labels costs the most.
        """
        template = re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", route) if route else UNKNOWN
        name = method if method in METHODS else OTHER
        counted = self._requests.labels(template, name, str(status)).inc
        observed = self._request_seconds.labels(template, name).observe

        def known(seconds: float) -> None:
            counted()
            observed(seconds)

        if name == method:
            self._known[route, method, status] = known
        return known

    def timing(self, call: str) -> Callable[[float], None]:
        """Return a function that observes the seconds of one call of the store."""
        return self._store_seconds.labels(call).observe

    def text(self) -> bytes:
        """Return the metrics of all workers of this service, in Prometheus' text format."""
        directory = os.environ.get(DIRECTORY)
        if directory is None:
            return generate_latest(self._registry)
        together = CollectorRegistry()
        together.register(self._build_info)
        MultiProcessCollector(together, directory)
        return generate_latest(together)


class _BuildInfo:
    """The running versions, as labels of a gauge that is always 1; it needs no file."""

    def __init__(self, store: str) -> None:
        self._labels = {
            "version": version("scoreline"),
            "python": platform.python_version(),
            "store": store,
        }

    def collect(self) -> Iterator[GaugeMetricFamily]:
        family = GaugeMetricFamily(
            "scoreline_build_info", "What runs; always 1.", labels=list(self._labels)
        )
        family.add_metric(list(self._labels.values()), 1)
        yield family


# What gunicorn's configuration does around its workers.


def open_directory() -> None:
    """Make a private directory for the counts; called in the master, before any worker starts.

    It is in memory where possible, because a count must not wait for a busy disk.
    """
    memory = "/dev/shm"  # noqa: S108 - mkdtemp makes a name of its own, mode 0700.
    place = memory if os.access(memory, os.W_OK) else None
    os.environ[DIRECTORY] = tempfile.mkdtemp(prefix="scoreline-metrics-", dir=place)


def free_slot(taken: Collection[int]) -> int:
    """Return the lowest slot that no living worker has."""
    return next(slot for slot in count() if slot not in taken)


def count_as(slot: int) -> None:
    """Count in the files of a slot; called in a new worker."""
    try:
        for kind, size in FILE_BYTES.items():
            _reserve(Path(os.environ[DIRECTORY], f"{kind}_{slot}.db"), size)
    except OSError as error:
        log.warning("/metrics leaves out a worker that has no space to count: %s", error)
    else:
        values.ValueClass = values.MultiProcessValue(lambda: slot)


def _reserve(path: Path, size: int) -> None:
    """Allocate a file's space now: a mapped file without space would kill its process later."""
    if path.exists():
        return  # The worker that had this slot before has counted in it.
    begun = path.with_suffix(".new")
    with begun.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, size)
    begun.rename(path)  # A file that is read while it is empty is none.


def forget(slot: int) -> None:
    """Remove the gauges of a dead worker, and keep its counts; called in the master."""
    mark_process_dead(slot)


def remove_directory() -> None:
    """Remove the directory of the counts; called in the master, when it ends."""
    shutil.rmtree(os.environ[DIRECTORY], ignore_errors=True)
