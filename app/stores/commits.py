"""Group commit: threads that write at the same time share one transaction and one fsync."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from app.errors import ScorelineError, StoreBusy, StoreUnavailable

Item = TypeVar("Item")
Result = TypeVar("Result")

QUEUE_SECONDS = 5.0
"""How long an item waits for its commit to begin. After that, it is not stored."""

COMMIT_SECONDS = 60.0
"""How long an item waits for a commit that has begun. After that, it may be stored or not."""

MAX_WAITING = 1_000
"""How many items may wait for a commit in one process."""

OnCommit = Callable[[int], None]
"""A callback that gets the number of items of each commit."""


def ignore_commit(_items: int) -> None:
    """Do nothing; the callback of a store that is not measured."""


class _Ticket(Generic[Item, Result]):
    """The item of one thread, and the lock that is released when that thread may continue.

    It continues when its item is committed, or when it leads, which means it makes the next commit.
    """

    __slots__ = ("item", "leads", "may_continue", "outcome")

    def __init__(self, item: Item) -> None:
        self.item = item
        self.leads = False
        self.outcome: Result | ScorelineError
        self.may_continue = threading.Lock()
        self.may_continue.acquire()


class GroupCommit(Generic[Item, Result]):
    """Commits together the items that queued up during the previous commit.

    There is no extra thread. A caller that finds no commit running commits all waiting items, and
    then hands the lead to the first caller that has queued up meanwhile. So a single caller never
    waits. The queue is bounded in length and time.
    """

    def __init__(
        self,
        write: Callable[[Sequence[Item]], Sequence[Result | ScorelineError]],
        on_commit: OnCommit = ignore_commit,
    ) -> None:
        self._write = write
        self._on_commit = on_commit
        self._lock = threading.Lock()
        self._busy_since: float | None = None
        self._waiting: list[_Ticket[Item, Result]] = []

    def submit(self, item: Item) -> Result:
        """Commit `item`, and return its result once it is durable.

        Raises what the commit raised, and StoreBusy, with nothing stored, if too many items wait or
        this one waits too long.
        """
        ticket: _Ticket[Item, Result] = _Ticket(item)
        with self._lock:
            is_first = self._join(ticket)
        if not is_first:
            self._wait(ticket)
        if ticket.leads:
            self._commit()
        if isinstance(ticket.outcome, ScorelineError):
            raise ticket.outcome
        return ticket.outcome

    def _join(self, ticket: _Ticket[Item, Result]) -> bool:
        """Add to the queue, and return whether no commit is running."""
        now = time.monotonic()
        if self._busy_since is None:
            self._busy_since, ticket.leads = now, True
        elif now - self._busy_since > QUEUE_SECONDS:
            raise StoreBusy("the previous commit does not end")
        elif len(self._waiting) >= MAX_WAITING:
            raise StoreBusy(f"{MAX_WAITING} scores wait for a commit")
        self._waiting.append(ticket)
        return ticket.leads

    def _wait(self, ticket: _Ticket[Item, Result]) -> None:
        if ticket.may_continue.acquire(timeout=QUEUE_SECONDS):
            return
        if self._withdraw(ticket):
            raise StoreBusy("a score waited too long for its commit")
        if not ticket.may_continue.acquire(timeout=COMMIT_SECONDS):
            raise StoreUnavailable("a commit does not end: the score may be stored or not")

    def _withdraw(self, ticket: _Ticket[Item, Result]) -> bool:
        """Remove an item from the queue; return False if its commit has begun or it leads."""
        with self._lock:
            if ticket.leads or ticket not in self._waiting:
                return False
            self._waiting.remove(ticket)
            return True

    def _commit(self) -> None:
        """Commit all waiting items, then let their callers and the next commit continue."""
        with self._lock:
            batch, self._waiting = self._waiting, []
        outcomes: Sequence[Result | ScorelineError]
        outcomes = [StoreUnavailable("the commit was interrupted")] * len(batch)
        try:
            self._on_commit(len(batch))
            outcomes = self._write([ticket.item for ticket in batch])
        except ScorelineError as error:
            outcomes = [error] * len(batch)
        finally:
            # Also after an unexpected error, so that no caller waits for ever.
            self._hand_over()
            for ticket, outcome in zip(batch, outcomes, strict=True):
                ticket.outcome = outcome
                ticket.may_continue.release()

    def _hand_over(self) -> None:
        with self._lock:
            if not self._waiting:
                self._busy_since = None
                return
            self._busy_since = time.monotonic()
            following = self._waiting[0]
            following.leads = True
            following.may_continue.release()
