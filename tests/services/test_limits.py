"""Rate limits in one process, and shared by several through a store that may fail."""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from app.errors import StoreRefused
from app.services import limits
from app.services.limits import Buckets, SharedLimit, open_limit
from tests.processes import free_port, running, wait_until_listening


class Clock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.nanoseconds = 10**15

    def forward(self, seconds: float) -> None:
        self.nanoseconds += round(seconds * 10**9)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(time, "monotonic_ns", lambda: made.nanoseconds)
    monkeypatch.setattr(time, "monotonic", lambda: made.nanoseconds / 10**9)
    return made


# In this process


@pytest.mark.parametrize(("amount", "seconds"), [(1, 1), (3, 1), (7, 60), (999, 1), (1000, 1)])
def test_a_bucket_allows_exactly_its_amount(clock: Clock, amount: int, seconds: int) -> None:
    bucket = Buckets(amount, seconds)
    assert not any(bucket.take("a") for _ in range(amount))
    assert bucket.take("a") == pytest.approx(seconds / amount, rel=0.01)
    assert bucket.take("b") == 0.0


def test_a_bucket_refills_evenly(clock: Clock) -> None:
    bucket = Buckets(4, 2)
    assert [bucket.take("a") for _ in range(5)] == [0.0] * 4 + [0.5]
    clock.forward(0.4)
    assert bucket.take("a") == pytest.approx(0.1)
    clock.forward(0.1)
    assert [bucket.take("a") for _ in range(2)] == [0.0, 0.5]
    clock.forward(100)
    assert [bucket.take("a") > 0 for _ in range(5)] == [False] * 4 + [True]


def test_refused_calls_do_not_delay_the_next_allowed_one(clock: Clock) -> None:
    bucket = Buckets(1, 1)
    assert bucket.take("a") == 0.0
    for _ in range(9):
        clock.forward(0.1)
        assert bucket.take("a") > 0
    clock.forward(0.1)
    assert bucket.take("a") == 0.0


@pytest.fixture
def hasty_threads() -> Iterator[None]:
    """Switch between threads as often as possible."""
    usual = sys.getswitchinterval()
    sys.setswitchinterval(1e-7)
    yield
    sys.setswitchinterval(usual)


def test_concurrent_threads_do_not_exceed_the_limit(clock: Clock, hasty_threads: None) -> None:
    bucket = Buckets(10_000, 1)
    barrier = threading.Barrier(8)

    def take(_: int) -> int:
        barrier.wait()
        return sum(bucket.take("a") == 0.0 for _ in range(2_500))

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(take, range(8))) == 10_000


def test_buckets_of_many_names_are_bounded(clock: Clock) -> None:
    bucket = Buckets(1, 60)
    for number in range(3 * limits.MAX_NAMES):
        assert bucket.take(str(number)) == 0.0
        assert len(bucket._full_at) <= limits.MAX_NAMES


def test_without_a_rate_there_is_no_limit() -> None:
    assert open_limit(None, "redis://127.0.0.1") is None
    assert isinstance(open_limit((1, 1), ""), Buckets)


# Shared

Open = Callable[[str, int], SharedLimit]
HOUR = 3600


@pytest.fixture
def opened() -> Iterator[Open]:
    """Return a function that opens a shared hourly limit; its connections are closed at the end."""
    clients = []

    def open_shared(url: str, amount: int) -> SharedLimit:
        limit = SharedLimit(amount, HOUR, url)
        clients.append(limit._limiter.storage.storage)  # type: ignore[attr-defined]
        return limit

    yield open_shared
    for client in clients:
        client.close()


@contextmanager
def started(program: str, *arguments: str, port: int) -> Iterator[None]:
    """Run a server on loopback; skip the test if it is not installed."""
    path = shutil.which(program) or shutil.which(program, path="/usr/sbin:/usr/bin")
    if path is None:
        pytest.skip(f"{program} is not installed: a rate limit shared by it is not tested")
    process = subprocess.Popen([path, *arguments], stdout=subprocess.DEVNULL)
    try:
        wait_until_listening(port, process)
        yield
    finally:
        process.terminate()
        process.wait()


@pytest.fixture(scope="module")
def redis() -> Iterator[str]:
    port = free_port()
    arguments = ("--port", str(port), "--bind", "127.0.0.1", "--save", "")
    with started("redis-server", *arguments, port=port):
        yield f"redis://127.0.0.1:{port}/0"


@pytest.fixture(scope="module")
def memcached() -> Iterator[str]:
    port = free_port()
    arguments = ("-l", "127.0.0.1", "-p", str(port), "-u", "nobody")
    with started("memcached", *arguments, port=port):
        yield f"memcached://127.0.0.1:{port}"


@pytest.mark.parametrize("store", ["redis", "memcached"])
def test_limits_with_the_same_store_count_together(
    request: pytest.FixtureRequest, opened: Open, store: str
) -> None:
    url = request.getfixturevalue(store)
    one, other = opened(url, 5), opened(url, 5)
    taken = [limit.take("a") for limit in (one, other, one, other, one)]
    refused = [one.take("a"), other.take("a")]
    assert taken == [0.0] * 5
    assert all(0 < wait <= HOUR for wait in refused), refused
    assert (one.take("b"), one._away_until) == (0.0, 0.0)


@pytest.mark.parametrize("scheme", ["redis", "memcached"])
def test_each_process_counts_alone_while_the_store_does_not_answer(
    opened: Open, scheme: str, caplog: pytest.LogCaptureFixture
) -> None:
    limit = opened(f"{scheme}://127.0.0.1:{free_port()}", 2)
    assert [limit.take("a") > 0 for _ in range(4)] == [False, False, True, True]
    assert caplog.text.count("each worker counts alone") == 1


@pytest.mark.parametrize("scheme", ["redis", "memcached"])
def test_a_silent_store_counts_as_not_answering(opened: Open, scheme: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        limit = opened(f"{scheme}://127.0.0.1:{silent.getsockname()[1]}", 1)
        assert [limit.take("a") > 0 for _ in range(2)] == [False, True]
    assert limit._away_until > time.monotonic()


def test_a_store_that_answers_again_is_used_again(redis: str, opened: Open) -> None:
    limit = opened(redis, 1)
    limit._away_until = time.monotonic() + limits.AWAY_SECONDS
    assert [limit.take("back") > 0 for _ in range(2)] == [False, True]
    limit._away_until = time.monotonic()
    assert [limit.take("back") > 0 for _ in range(2)] == [False, True]


def test_worker_processes_that_share_a_store_count_together(redis: str, tmp_path: Path) -> None:
    settings = {"SCORELINE_RATE_LIMIT": "5/hour", "SCORELINE_RATE_LIMIT_STORE": redis}
    with running(tmp_path, **settings) as service:
        answers = [service.send("GET", "/v2/a/b/scores") for _ in range(20)]
        statuses = [answer.status for answer in answers]
    assert statuses == [200] * 5 + [429] * 15
    assert all(0 < int(answer.headers["Retry-After"]) <= HOUR for answer in answers[5:])


def test_a_store_whose_client_is_missing_is_refused_and_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "redis", None)
    with pytest.raises(StoreRefused) as refused:
        SharedLimit(1, 1, "redis://127.0.0.1")
    assert str(refused.value).startswith("SCORELINE_RATE_LIMIT_STORE cannot be used: ")
    assert str(refused.value).endswith("; run pip install 'scoreline[redis]'")
