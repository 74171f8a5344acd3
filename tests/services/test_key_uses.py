"""The last use of keys is recorded in memory, and written to the store at most once a minute."""

from __future__ import annotations

import logging
import multiprocessing
import queue
import threading
from collections.abc import Mapping
from datetime import datetime
from types import SimpleNamespace
from typing import Any

import pytest

from app.errors import StoreUnavailable
from app.services.key_ring import KeyUses

SECONDS = 30.0


class FakeStore:
    """Records uses; it fails while `away` is set, and waits while `gate` is cleared."""

    def __init__(self) -> None:
        self.written: queue.Queue[dict[str, datetime]] = queue.Queue()
        self.asked: queue.Queue[None] = queue.Queue()
        self.gate = threading.Event()
        self.gate.set()
        self.away = False

    def note_key_uses(self, uses: Mapping[str, datetime]) -> None:
        self.asked.put(None)
        self.gate.wait(SECONDS)
        if self.away:
            raise StoreUnavailable("gone")
        self.written.put(dict(uses))


@pytest.fixture
def store() -> FakeStore:
    return FakeStore()


@pytest.fixture
def uses(store: FakeStore) -> KeyUses:
    return KeyUses(store)  # type: ignore[arg-type]


class Pauses:
    """Replaces `sleep` of the writing thread: a test waits for each pause to begin, and ends it."""

    def __init__(self) -> None:
        self.begun: queue.Queue[float] = queue.Queue()
        self._ended: queue.Queue[None] = queue.Queue()

    def sleep(self, seconds: float) -> None:
        self.begun.put(seconds)
        self._ended.get()

    def wait(self) -> None:
        """Return when the thread pauses, and check for how long."""
        assert self.begun.get(timeout=SECONDS) == 60.0

    def end(self) -> None:
        self._ended.put(None)


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> Pauses:
    made = Pauses()
    monkeypatch.setattr("app.services.key_ring.time", SimpleNamespace(sleep=made.sleep))
    return made


def test_uses_are_written_immediately_and_then_once_a_minute(
    store: FakeStore, uses: KeyUses, pauses: Pauses
) -> None:
    uses.note("a")
    assert list(store.written.get(timeout=SECONDS)) == ["a"]
    pauses.wait()
    for key_id in ("a", "b", "a"):
        uses.note(key_id)
    assert store.written.empty()
    pauses.end()
    assert sorted(store.written.get(timeout=SECONDS)) == ["a", "b"]
    pauses.wait()


def test_noting_a_use_does_not_wait_for_the_store(
    store: FakeStore, uses: KeyUses, pauses: Pauses
) -> None:
    store.gate.clear()
    uses.note("a")
    store.asked.get(timeout=SECONDS)  # The thread is blocked in the store.
    for _ in range(100):
        uses.note("b")
    store.gate.set()
    assert list(store.written.get(timeout=SECONDS)) == ["a"]


def test_uses_are_kept_until_the_store_answers_again(
    store: FakeStore,
    uses: KeyUses,
    pauses: Pauses,
    caplog: pytest.LogCaptureFixture,
) -> None:
    store.away = True
    uses.note("a")
    for _ in range(3):
        pauses.wait()
        pauses.end()
    pauses.wait()
    uses.note("b")
    store.away = False
    pauses.end()
    assert sorted(store.written.get(timeout=SECONDS)) == ["a", "b"]
    warnings = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert "is not written yet: gone" in warnings[0].getMessage()


def test_a_clean_exit_writes_the_noted_uses(
    store: FakeStore, uses: KeyUses, pauses: Pauses, monkeypatch: pytest.MonkeyPatch
) -> None:
    at_exit: list[Any] = []
    fake = SimpleNamespace(register=at_exit.append)
    monkeypatch.setattr("app.services.key_ring.atexit", fake)
    uses.note("a")
    store.written.get(timeout=SECONDS)
    pauses.wait()
    uses.note("b")
    (write,) = at_exit
    write()
    assert list(store.written.get_nowait()) == ["b"]
    write()
    assert store.written.empty()


def _note_in_a_child(uses: KeyUses, answers: Any) -> None:
    store: Any = uses._store
    uses.write()  # As at exit: the child must not write its parent's uses.
    assert store.written.empty()
    uses.note("child")
    answers.put(list(store.written.get(timeout=SECONDS)))


def test_a_forked_child_writes_only_its_own_uses(
    store: FakeStore, uses: KeyUses, pauses: Pauses
) -> None:
    uses.note("parent")
    store.written.get(timeout=SECONDS)
    pauses.wait()
    uses.note("parent again")
    fork = multiprocessing.get_context("fork")
    answers = fork.SimpleQueue()
    with uses._lock:  # Another thread of the parent may hold it during a fork.
        child = fork.Process(target=_note_in_a_child, args=(uses, answers), daemon=True)
        child.start()
    child.join(SECONDS)
    assert child.exitcode == 0
    assert answers.get() == ["child"]
