"""Group commit: waiting items are committed together, and each caller gets its own result."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed

import pytest

from app.errors import Conflict, ScorelineError, StoreBusy, StoreUnavailable
from app.stores import commits as module
from app.stores.commits import GroupCommit


class Gate:
    """A writer whose commits wait until the gate is opened."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.opened = threading.Event()
        self.entered = threading.Event()

    def write(self, items: Sequence[int]) -> list[ScorelineError | None]:
        self.batches.append(list(items))
        self.entered.set()
        assert self.opened.wait(10)
        return [Conflict(str(item)) if item == 13 else None for item in items]


def test_items_queued_during_a_commit_are_the_next_commit() -> None:
    gate = Gate()
    commits = GroupCommit(gate.write)
    with ThreadPoolExecutor(8) as pool:
        first = pool.submit(commits.submit, 0)
        assert gate.entered.wait(10)
        others = [pool.submit(commits.submit, item) for item in range(1, 8)]
        while len(commits._waiting) < 7:
            threading.Event().wait(0.01)
        gate.opened.set()
        for future in (first, *others):
            future.result(10)
    assert gate.batches[0] == [0]
    assert sorted(gate.batches[1]) == list(range(1, 8))
    assert len(gate.batches) == 2


def test_a_single_caller_never_waits() -> None:
    gate = Gate()
    gate.opened.set()
    GroupCommit(gate.write).submit(1)
    assert gate.batches == [[1]]


def test_each_caller_gets_the_result_of_its_own_item() -> None:
    gate = Gate()
    gate.opened.set()
    commits = GroupCommit(gate.write)
    with ThreadPoolExecutor(8) as pool:
        futures = {item: pool.submit(commits.submit, item) for item in range(20)}
    for item, future in futures.items():
        if item == 13:
            with pytest.raises(Conflict, match="13"):
                future.result()
        else:
            future.result()


@pytest.mark.parametrize("error", [StoreUnavailable("away"), RuntimeError("a defect")])
def test_a_failed_commit_fails_all_its_items_and_not_the_next_commit(error: Exception) -> None:
    failing = True

    def write(items: Sequence[int]) -> list[ScorelineError | None]:
        if failing:
            raise error
        return [None] * len(items)

    commits = GroupCommit(write)
    with pytest.raises(type(error)):
        commits.submit(1)
    failing = False
    commits.submit(2)


def test_no_caller_waits_for_ever_after_an_unexpected_error() -> None:
    gate = Gate()

    def write(items: Sequence[int]) -> list[ScorelineError | None]:
        gate.write(items)
        raise RuntimeError("a defect")

    commits = GroupCommit(write)
    with ThreadPoolExecutor(4) as pool:
        first = pool.submit(commits.submit, 0)
        assert gate.entered.wait(10)
        others = [pool.submit(commits.submit, item) for item in range(1, 4)]
        while len(commits._waiting) < 3:
            threading.Event().wait(0.01)
        gate.opened.set()
        for future in (first, *others):
            assert isinstance(future.exception(10), RuntimeError | ScorelineError)


class SlowExit:
    """A lock that blocks its user once, just after the release, if `holds_up` is set."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.holds_up = False
        self.left = threading.Event()
        self.goes_on = threading.Event()

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(self, *_: object) -> None:
        held_up, self.holds_up = self.holds_up, False
        self._lock.release()
        if held_up:
            self.left.set()
            assert self.goes_on.wait(10)


def test_a_caller_that_leads_before_it_waits_makes_the_next_commit() -> None:
    gate = Gate()
    commits = GroupCommit(gate.write)
    lock = SlowExit()
    commits._lock = lock  # type: ignore[assignment]
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(commits.submit, 0)
        assert gate.entered.wait(10)
        lock.holds_up = True
        second = pool.submit(commits.submit, 1)
        assert lock.left.wait(10)
        gate.opened.set()
        first.result(10)
        lock.goes_on.set()
        second.result(10)
    assert gate.batches == [[0], [1]]


def test_an_item_that_waits_too_long_is_refused_and_never_written(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "QUEUE_SECONDS", 0.2)
    gate = Gate()
    commits = GroupCommit(gate.write)
    with ThreadPoolExecutor(4) as pool:
        first = pool.submit(commits.submit, 0)
        assert gate.entered.wait(10)
        waits = pool.submit(commits.submit, 1)
        assert isinstance(waits.exception(10), StoreBusy)
        late = pool.submit(commits.submit, 2)  # It is refused without a wait.
        assert isinstance(late.exception(10), StoreBusy)
        gate.opened.set()
        first.result(10)
    commits.submit(3)
    assert gate.batches == [[0], [3]]


def test_a_full_queue_refuses_immediately(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_WAITING", 2)
    gate = Gate()
    commits = GroupCommit(gate.write)
    with ThreadPoolExecutor(4) as pool:
        first = pool.submit(commits.submit, 0)
        assert gate.entered.wait(10)
        others = [pool.submit(commits.submit, item) for item in (1, 2)]
        while len(commits._waiting) < 2:
            threading.Event().wait(0.01)
        with pytest.raises(StoreBusy):
            commits.submit(3)
        gate.opened.set()
        for future in (first, *others):
            future.result(10)
    assert sorted(item for batch in gate.batches for item in batch) == [0, 1, 2]


def test_callers_do_not_wait_for_ever_for_a_commit_that_does_not_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "COMMIT_SECONDS", 0.2)
    first, second = Gate(), Gate()
    gates = iter([first, second])
    commits: GroupCommit[int, ScorelineError | None] = GroupCommit(
        lambda items: next(gates).write(items)
    )
    with ThreadPoolExecutor(4) as pool:
        begun = pool.submit(commits.submit, 0)
        assert first.entered.wait(10)
        others = [pool.submit(commits.submit, item) for item in (1, 2)]
        while len(commits._waiting) < 2:
            threading.Event().wait(0.01)
        monkeypatch.setattr(module, "QUEUE_SECONDS", 0.2)
        first.opened.set()
        begun.result(10)
        assert second.entered.wait(10)
        in_doubt = next(iter(as_completed(others, timeout=20)))
        assert type(in_doubt.exception()) is StoreUnavailable
        second.opened.set()
