"""What is counted for Prometheus in this process, and `/metrics` over all worker processes.

Each worker counts in files that all of them read (prometheus_client's multiprocess mode). A file
belongs to a worker's slot, not to its process: a new worker goes on where a dead one of the same
slot stopped, so that counts never fall, and a hundred restarts leave no hundred files.
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
"""prometheus_client's own variable: where the worker processes count."""

FILE_BYTES = {"counter": 128 * 1024, "histogram": 512 * 1024, "gauge_livesum": 4 * 1024}
"""What a worker's counts need, and more: routes, methods and statuses are few."""

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_BY_ROUTE = ("route", "method", "status")
UNKNOWN = "unknown"
OTHER = "other"


class Metrics:
    """The counts of one application."""

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
        """What counts such a request; kept, because to find it by its labels costs the most."""
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
        """What takes the seconds of one of the store's calls."""
        return self._store_seconds.labels(call).observe

    def text(self) -> bytes:
        """Everything counted, by all workers of this service, in Prometheus' text format."""
        directory = os.environ.get(DIRECTORY)
        if directory is None:
            return generate_latest(self._registry)
        together = CollectorRegistry()
        together.register(self._build_info)
        MultiProcessCollector(together, directory)
        return generate_latest(together)


class _BuildInfo:
    """What runs, as labels of a gauge that is always 1; no file is needed to sum it."""

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
    """In the master, before any worker: a fresh directory for the counts, for nobody else.

    In memory where that can be: a count must not wait for a disk that is busy.
    """
    memory = "/dev/shm"  # noqa: S108 - mkdtemp makes a name of its own, mode 0700.
    place = memory if os.access(memory, os.W_OK) else None
    os.environ[DIRECTORY] = tempfile.mkdtemp(prefix="scoreline-metrics-", dir=place)


def free_slot(taken: Collection[int]) -> int:
    """The lowest slot that no living worker has."""
    return next(slot for slot in count() if slot not in taken)


def count_as(slot: int) -> None:
    """In a new worker: count in the files of its slot."""
    try:
        for kind, size in FILE_BYTES.items():
            _reserve(Path(os.environ[DIRECTORY], f"{kind}_{slot}.db"), size)
    except OSError as error:
        log.warning("/metrics leaves out a worker that has no space to count: %s", error)
    else:
        values.ValueClass = values.MultiProcessValue(lambda: slot)


def _reserve(path: Path, size: int) -> None:
    """Take a file's space now: a mapped file that finds none later kills its process."""
    if path.exists():
        return  # The worker that had this slot before has counted in it.
    begun = path.with_suffix(".new")
    with begun.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, size)
    begun.rename(path)  # A file that is read while it is empty is none.


def forget(slot: int) -> None:
    """In the master, after a worker's death: what it had in hand is gone, what it did counts."""
    mark_process_dead(slot)


def remove_directory() -> None:
    """In the master, at its end."""
    shutil.rmtree(os.environ[DIRECTORY], ignore_errors=True)
