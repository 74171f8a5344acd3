"""`/metrics`: exact counts, summed over worker processes that start, stop and are killed."""

from __future__ import annotations

import fcntl
import os
import re
import secrets
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.api.test_auth import create as create_key
from tests.processes import ROOT, Service, running

SCORE = {"prediction_id": "p", "scorer": "s", "value": 1}
PATH = "/v2/a/b/scores"
ROUTE = "/v2/{entity}/{project}/scores"
REQUESTS = "scoreline_http_requests_total"


@pytest.fixture(params=["sqlite", "mongodb"])
def own_service(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Service]:
    """Run a service of two workers for one test, on each engine in turn."""
    store = "" if request.param == "sqlite" else request.getfixturevalue("mongodb_uri")
    with running(tmp_path, store) as service:
        yield service


class Counts:
    """One response of `/metrics`, parsed as Prometheus parses it."""

    def __init__(self, service: Service, key: str | None = "") -> None:
        answer = service.send("GET", "/metrics", key=key)
        assert answer.status == 200
        assert answer.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
        self.families = list(text_string_to_metric_families(answer.body.decode()))
        self.samples = {
            (sample.name, frozenset(sample.labels.items())): sample.value
            for family in self.families
            for sample in family.samples
        }

    def of(self, name: str, **labels: str) -> float:
        """Return the value of one series, or 0 if it is missing."""
        return self.samples.get((name, frozenset(labels.items())), 0)

    def requests(self, method: str, status: int, route: str = ROUTE) -> float:
        return self.of(REQUESTS, route=route, method=method, status=str(status))

    def labels(self, name: str) -> set[str]:
        """Return all values of the label `name`."""
        return {value for _, labels in self.samples for key, value in labels if key == name}


def wait_for(wanted: Callable[[], bool]) -> None:
    """Wait until `wanted` returns True."""
    for _ in range(600):
        if wanted():
            return
        threading.Event().wait(0.05)
    raise AssertionError("it never came to pass")


def state(task: Path) -> str:
    """Return the kernel's state of a thread: R, S, D, T (stopped)."""
    return (task / "stat").read_text().rpartition(") ")[2][0]


@contextmanager
def stopped(process: int) -> Iterator[None]:
    """Stop a process during a block."""
    os.kill(process, signal.SIGSTOP)
    try:
        # A thread that is still running would accept a connection and never respond.
        wait_for(
            lambda: all(state(task) == "T" for task in Path(f"/proc/{process}/task").iterdir())
        )
        yield
    finally:
        os.kill(process, signal.SIGCONT)


def counted_in(process: int) -> str | None:
    """Wait for the directory in which a process counts, and return it."""
    maps = Path(f"/proc/{process}/maps").read_text()
    found = re.search(r"/\S*/scoreline-metrics-\w+(?=/counter)", maps)
    return found.group() if found else None


def in_each_worker(service: Service, send: Callable[[], object]) -> None:
    """Send the same requests to each of the two workers, while the other is stopped."""
    wait_for(lambda: len([each for each in service.workers() if counted_in(each)]) == 2)
    one, other = service.workers()
    for still in (one, other):
        with stopped(still):
            send()


def test_counts_are_the_sum_over_all_workers(own_service: Service) -> None:
    score_ids: list[str] = []
    batch = {"scores": [SCORE] * 5}

    def send() -> None:
        score_ids.extend(own_service.post(PATH, SCORE).json["score_id"] for _ in range(10))
        score_ids.extend(own_service.post(f"{PATH}/batch", batch).json["score_ids"])

    in_each_worker(own_service, send)
    gone = "&".join(f"score_ids={score_id}" for score_id in [*score_ids[:7], "never-there"])
    assert own_service.send("DELETE", f"{PATH}?{gone}").json == {"num_deleted": 7}
    counts = Counts(own_service)
    assert counts.of("scoreline_scores_created_total") == len(score_ids) == 30
    assert counts.of("scoreline_scores_deleted_total") == 7
    assert counts.requests("POST", 200) == 20
    assert counts.requests("POST", 200, f"{ROUTE}/batch") == 2
    assert counts.requests("DELETE", 200) == 1
    seconds = "scoreline_http_request_duration_seconds"
    assert counts.of(f"{seconds}_count", route=ROUTE, method="POST") == 20
    assert 0 < counts.of(f"{seconds}_sum", route=ROUTE, method="POST") < 600
    store = "scoreline_store_duration_seconds"
    assert counts.of(f"{store}_count", call="add_score") == 20
    assert counts.of(f"{store}_count", call="add_missing") == 2
    assert counts.of(f"{store}_count", call="delete_scores") == 1
    assert counts.of("scoreline_commit_batch_scores_sum") == 20
    assert counts.of("scoreline_write_queue_depth") == 0


def test_replayed_scores_are_counted_apart_from_created_ones(own_service: Service) -> None:
    key = {"Idempotency-Key": "once"}
    batch = {"scores": [{**SCORE, "idempotency_key": name} for name in ("1", "2", "3")]}
    mixed = {"scores": [*batch["scores"], {**SCORE, "idempotency_key": "4"}]}
    in_each_worker(own_service, lambda: own_service.post(PATH, SCORE, headers=key))
    in_each_worker(own_service, lambda: own_service.post(f"{PATH}/batch", batch))
    assert own_service.post(f"{PATH}/batch", mixed).json["num_created"] == 4
    other = {"scores": [{**SCORE, "value": 2, "idempotency_key": "4"}, batch["scores"][0]]}
    assert own_service.post(f"{PATH}/batch", other).status == 422
    partial = own_service.post(f"{PATH}/batch?partial=true", other)
    assert (partial.status, partial.json["num_failed"]) == (200, 1)
    counts = Counts(own_service)
    assert counts.of("scoreline_scores_created_total") == 1 + 3 + 1
    assert counts.of("scoreline_scores_replayed_total") == 1 + 3 + 3 + 1


def test_refused_requests_are_counted_by_their_route(own_service: Service) -> None:
    _, lonely = create_key(own_service, "create", "a/b")

    def send() -> None:
        own_service.post(PATH, SCORE, key=None)
        own_service.post(PATH, SCORE, key="sl_wrong")
        own_service.post("/v2/a/other/scores", SCORE, key=lonely)
        own_service.post(PATH, {})
        own_service.send("GET", f"{PATH}/nothing")
        own_service.send("GET", PATH, key=lonely)

    in_each_worker(own_service, send)
    counts = Counts(own_service)
    assert counts.requests("POST", 401) == 4
    assert counts.requests("POST", 403) == 2
    assert counts.requests("POST", 422) == 2
    assert counts.requests("GET", 403) == 2
    assert counts.requests("GET", 404, f"{ROUTE}/{{score_id}}") == 2
    assert counts.of("scoreline_scores_created_total") == 0


def test_clients_cannot_create_new_series(own_service: Service) -> None:
    def send() -> None:
        for _ in range(3):
            odd = secrets.token_hex(8)
            for path in (f"/{odd}", f"/v2/{odd}/x/scores", f"/v2/a/b/scores/{odd}", f"//{odd}"):
                own_service.send("GET", path)
                own_service.send(f"M{odd}".upper(), path)

    send()
    before = set(Counts(own_service).samples)
    in_each_worker(own_service, send)
    counts = Counts(own_service)
    new = set(counts.samples) - before
    assert {dict(labels)["route"] for _, labels in new} <= {"/metrics"}
    known = {"/metrics", ROUTE, f"{ROUTE}/{{score_id}}", "unknown"}
    assert counts.labels("route") == known
    assert counts.labels("method") == {"GET", "other"}
    assert counts.requests("GET", 404, "unknown") == 3 * 3 * 2


def test_counts_never_fall_when_workers_are_killed_or_replaced(own_service: Service) -> None:
    def known() -> bool:
        counts = Counts(own_service)
        created = counts.of("scoreline_scores_created_total")
        return created == counts.requests("POST", 200) == sent

    sent = 0
    for end in (signal.SIGKILL, signal.SIGHUP, signal.SIGKILL, signal.SIGHUP):
        for _ in range(10):
            assert own_service.post(PATH, SCORE).status == 200
        sent += 10
        assert known()
        before = set(own_service.workers())
        if end == signal.SIGKILL:
            victim = before.pop()
            os.kill(victim, signal.SIGKILL)
            before = {victim}
        else:
            os.kill(own_service.process.pid, signal.SIGHUP)
        while before & set(own_service.workers()) or len(own_service.workers()) < 2:
            assert known()
        assert known()
    # A worker continues in the files of the one it replaces: there are no more, and none grows.
    sizes = {file.name: file.stat().st_size for file in directory_of(own_service).iterdir()}
    assert set(sizes.values()) == {128 * 1024, 512 * 1024, 4 * 1024}
    assert len(sizes) <= 3 * 4  # While workers are replaced, old and new ones live together.


def directory_of(service: Service) -> Path:
    """Return the directory in which the workers of a service count."""
    found = counted_in(service.workers()[0])
    assert found
    return Path(found)


def test_the_directory_of_the_counts_is_private_and_is_removed_at_the_end(tmp_path: Path) -> None:
    with running(tmp_path, WEB_CONCURRENCY="1") as service:
        service.send("GET", "/health/live", key=None)
        place = directory_of(service)
        assert place.stat().st_mode & 0o777 == 0o700
    assert not place.exists()


def test_the_queue_counts_waiting_writes_and_is_empty_when_their_worker_is_dead(
    tmp_path: Path,
) -> None:
    with running(tmp_path) as service, ThreadPoolExecutor(6) as pool:
        service.post(PATH, SCORE)

        def depth() -> float:
            return Counts(service).of("scoreline_write_queue_depth")

        def write() -> int:
            try:
                return service.post(PATH, SCORE).status
            except OSError:
                return 0

        with (tmp_path / "scoreline.db.lock").open("ab") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            waiting = [pool.submit(write) for _ in range(3)]
            wait_for(lambda: depth() == 3)
        assert [each.result(30) for each in waiting] == [200] * 3
        assert depth() == 0
        with (tmp_path / "scoreline.db.lock").open("ab") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            waiting = [pool.submit(write) for _ in range(3)]
            wait_for(lambda: depth() == 3)
            before = set(service.workers())
            for worker in before:
                os.kill(worker, signal.SIGKILL)
            assert [each.result(30) for each in waiting] == [0] * 3
            wait_for(lambda: not before & set(service.workers()))
            assert depth() == 0


def test_the_sizes_of_commits_are_counted(tmp_path: Path) -> None:
    with running(tmp_path, WEB_CONCURRENCY="1") as service, ThreadPoolExecutor(6) as pool:
        with (tmp_path / "scoreline.db.lock").open("ab") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            waiting = [pool.submit(service.post, PATH, SCORE) for _ in range(6)]
            wait_for(lambda: Counts(service).of("scoreline_write_queue_depth") == 6)
        assert {each.result(30).status for each in waiting} == {200}
        counts = Counts(service)
    commits = "scoreline_commit_batch_scores"
    assert counts.of(f"{commits}_sum") == 6
    assert counts.of(f"{commits}_count") < 6
    assert counts.of(f"{commits}_bucket", le="1.0") < counts.of(f"{commits}_bucket", le="8.0")


@pytest.mark.parametrize(
    ("role", "scope", "status"),
    [
        ("read", "*", 200),
        ("write", "*", 200),
        ("admin", "*", 200),
        ("create", "*", 403),
        ("read", "a/*", 403),
        ("admin", "a/b", 403),
    ],
)
def test_metrics_need_a_key_that_may_read_everywhere(
    service: Service, role: str, scope: str, status: int
) -> None:
    _, key = create_key(service, role, scope)
    assert service.send("GET", "/metrics", key=key).status == status
    assert service.send("GET", "/metrics", key=None).status == 401


def test_a_setting_makes_metrics_public_with_and_without_the_prefix(tmp_path: Path) -> None:
    settings = {"SCORELINE_METRICS_PUBLIC": "on", "SCORELINE_URL_PREFIX": "/traces"}
    with running(tmp_path, **settings) as service:
        for path in ("/metrics", "/traces/metrics"):
            assert service.send("GET", path, key=None).status == 200
        assert "/traces/metrics" in Counts(service, key=None).labels("route")


def documented() -> dict[str, tuple[str, set[str]]]:
    """Return the type and the labels of each metric in the documentation."""
    text = (ROOT / "docs" / "operations.md").read_text()
    rows = re.findall(r"^\| `(scoreline_\w+)` \| (\w+) \| (.*?) ?\| (.*) \|$", text, re.MULTILINE)
    return {name: (kind, set(re.findall(r"`(\w+)`", labels))) for name, kind, labels, _ in rows}


def test_the_documented_names_are_the_served_ones_and_follow_prometheus(
    own_service: Service,
) -> None:
    own_service.post(PATH, SCORE)
    served: dict[str, tuple[str, set[str]]] = {}
    for family in Counts(own_service).families:
        name = f"{family.name}_total" if family.type == "counter" else family.name
        labels = {label for sample in family.samples for label in sample.labels} - {"le"}
        served[name] = (family.type, labels)
        assert family.documentation
        assert "second" not in name or name.endswith("_seconds")
    assert served == documented()


def test_build_info_names_version_and_engine(any_service: Service) -> None:
    (info,) = (
        dict(labels)
        for name, labels in Counts(any_service).samples
        if name == "scoreline_build_info"
    )
    version = any_service.send("GET", "/version").json["version"]
    assert (info["version"], info["store"] in ("sqlite", "mongodb")) == (version, True)


def test_a_worker_that_has_no_space_to_count_still_serves(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    from prometheus_client import values

    from app import metrics

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setenv(metrics.DIRECTORY, str(tmp_path))
    monkeypatch.setattr(os, "posix_fallocate", full)
    before = values.ValueClass
    metrics.count_as(0)
    assert values.ValueClass is before
    assert "which /metrics leaves out" in caplog.text
