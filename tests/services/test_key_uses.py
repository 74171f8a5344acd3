"""When keys were last used: noted without asking the store, written seldom, never in the way."""

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
from app.services.keys import KeyUses

SECONDS = 30.0


class FakeStore:
    """Takes uses, and says so; `away` lets it answer nothing, `gate` lets it wait."""

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
    """The writing thread's pauses: a test is told of each that begins, and ends it."""

    def __init__(self) -> None:
        self.begun: queue.Queue[float] = queue.Queue()
        self._ended: queue.Queue[None] = queue.Queue()

    def sleep(self, seconds: float) -> None:
        self.begun.put(seconds)
        self._ended.get()

    def wait(self) -> None:
        """Return when the thread pauses, as long as it promises."""
        assert self.begun.get(timeout=SECONDS) == 60.0

    def end(self) -> None:
        self._ended.put(None)


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> Pauses:
    made = Pauses()
    monkeypatch.setattr("app.services.keys.time", SimpleNamespace(sleep=made.sleep))
    return made


def test_uses_are_written_at_once_and_then_not_before_a_minute_is_over(
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


def test_a_use_waits_for_no_store(store: FakeStore, uses: KeyUses, pauses: Pauses) -> None:
    store.gate.clear()
    uses.note("a")
    store.asked.get(timeout=SECONDS)  # The thread is in the store, and stays there.
    for _ in range(100):
        uses.note("b")
    store.gate.set()
    assert list(store.written.get(timeout=SECONDS)) == ["a"]


def test_a_store_that_is_away_is_told_when_it_is_back(
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


def test_an_end_in_order_writes_what_is_noted(
    store: FakeStore, uses: KeyUses, pauses: Pauses, monkeypatch: pytest.MonkeyPatch
) -> None:
    at_exit: list[Any] = []
    fake = SimpleNamespace(register=at_exit.append)
    monkeypatch.setattr("app.services.keys.atexit", fake)
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
    uses.write()  # What an end in order calls: the parent's uses are not the child's.
    assert store.written.empty()
    uses.note("child")
    answers.put(list(store.written.get(timeout=SECONDS)))


def test_a_child_of_a_fork_writes_its_own_uses_only(
    store: FakeStore, uses: KeyUses, pauses: Pauses
) -> None:
    uses.note("parent")
    store.written.get(timeout=SECONDS)
    pauses.wait()
    uses.note("parent again")
    fork = multiprocessing.get_context("fork")
    answers = fork.SimpleQueue()
    with uses._lock:  # Held while it forks, as a thread of the parent might.
        child = fork.Process(target=_note_in_a_child, args=(uses, answers), daemon=True)
        child.start()
    child.join(SECONDS)
    assert child.exitcode == 0
    assert answers.get() == ["child"]
