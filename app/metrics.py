"""Count requests and scores for Prometheus, over all worker processes.

Each worker writes its counts to files that all workers read (prometheus_client's multiprocess
mode). A file belongs to a worker's slot rather than its process: a new worker continues the counts
of the last one in its slot. So counts never fall, and restarts leave no additional files.
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
"""prometheus_client's variable with the directory of the counts."""

FILE_BYTES = {"counter": 128 * 1024, "histogram": 512 * 1024, "gauge_livesum": 4 * 1024}
"""The size of each file, which is more than all routes, methods and statuses need."""

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
            "http_requests", "Requests by route, method and status.", _BY_ROUTE
        )
        self._request_seconds = self._histogram(
            "http_request_duration_seconds",
            "Time from the headers of a request to the start of its response.",
            SECONDS,
            _BY_ROUTE[:2],
        )
        self.created = self._counter("scores_created", "Scores stored.")
        self.deleted = self._counter("scores_deleted", "Scores deleted.")
        self.documents_created = self._counter(
            "documents_created", "Predictions and evaluation runs stored.", ("kind",)
        )
        self.documents_deleted = self._counter(
            "documents_deleted", "Predictions and evaluation runs deleted.", ("kind",)
        )
        for kind in ("predictions", "evaluation_runs"):  # So that both are there from the start.
            self.documents_created.labels(kind)
            self.documents_deleted.labels(kind)
        self.replayed = self._counter(
            "scores_replayed",
            "Scores in repeated calls that were already stored.",
        )
        self.count_commit: Callable[[int], None] = self._histogram(
            "commit_batch_scores",
            "Scores of separate requests that were written in one commit.",
            SIZES,
        ).observe
        self._store_seconds = self._histogram(
            "store_duration_seconds",
            "Duration of calls to the store, including the wait for a commit.",
            SECONDS,
            ("call",),
        )
        self.waiting = Gauge(
            "scoreline_write_queue_depth",
            "Writes that are waiting for their commit or being committed.",
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
        """Count one request; `route` is the rule that matched, such as `/v1/keys/<key_id>`."""
        known = self._known.get((route, method, status))
        if known is None:
            known = self._counter_of(route, method, status)
        known(seconds)

    def _counter_of(self, route: str | None, method: str, status: int) -> Callable[[float], None]:
        """Return a function that counts such a request, and cache it.

        Looking up counters by their labels is the slowest part of counting.
        """
        template = re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", route) if route else UNKNOWN
        name = method if method in METHODS else OTHER
        increment = self._requests.labels(template, name, str(status)).inc
        observe = self._request_seconds.labels(template, name).observe

        def count_request(seconds: float) -> None:
            increment()
            observe(seconds)

        if name == method:
            self._known[route, method, status] = count_request
        return count_request

    def timing(self, call: str) -> Callable[[float], None]:
        """Return a function that records the duration of one kind of call to the store."""
        return self._store_seconds.labels(call).observe

    def text(self) -> bytes:
        """Return the metrics of all workers in Prometheus' text format."""
        directory = os.environ.get(DIRECTORY)
        if directory is None:
            return generate_latest(self._registry)
        registry = CollectorRegistry()
        registry.register(self._build_info)
        MultiProcessCollector(registry, directory)
        return generate_latest(registry)


class _BuildInfo:
    """A gauge that is always 1 and has the running versions as labels; it needs no file."""

    def __init__(self, store: str) -> None:
        self._labels = {
            "version": version("scoreline"),
            "python": platform.python_version(),
            "store": store,
        }

    def collect(self) -> Iterator[GaugeMetricFamily]:
        family = GaugeMetricFamily(
            "scoreline_build_info", "The running versions; always 1.", labels=list(self._labels)
        )
        family.add_metric(list(self._labels.values()), 1)
        yield family


# Called by gunicorn's configuration, which creates and replaces workers.


def open_directory() -> None:
    """Create a private directory for the counts; called in the master before workers start.

    It is in memory if possible, because counting must not wait for a busy disk.
    """
    memory = "/dev/shm"  # noqa: S108 - mkdtemp creates a unique name with mode 0700.
    parent = memory if os.access(memory, os.W_OK) else None
    os.environ[DIRECTORY] = tempfile.mkdtemp(prefix="scoreline-metrics-", dir=parent)


def free_slot(taken: Collection[int]) -> int:
    """Return the lowest slot that no running worker has."""
    return next(slot for slot in count() if slot not in taken)


def count_as(slot: int) -> None:
    """Use the files of a slot for the counts of this process; called in a new worker."""
    try:
        for kind, size in FILE_BYTES.items():
            _reserve(Path(os.environ[DIRECTORY], f"{kind}_{slot}.db"), size)
    except OSError as error:
        log.warning("no space for the counts of a worker, which /metrics leaves out: %s", error)
    else:
        values.ValueClass = values.MultiProcessValue(lambda: slot)


def _reserve(path: Path, size: int) -> None:
    """Allocate a file's space now; later, a full disk would kill the process that maps it."""
    if path.exists():
        return  # An earlier worker in this slot created it.
    new = path.with_suffix(".new")
    with new.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, size)
    new.rename(path)  # Renamed when complete, because readers fail on an empty file.


def forget(slot: int) -> None:
    """Remove the gauges of a dead worker but keep its counts; called in the master."""
    mark_process_dead(slot)


def remove_directory() -> None:
    """Remove the directory of the counts; called in the master when it exits."""
    shutil.rmtree(os.environ[DIRECTORY], ignore_errors=True)
