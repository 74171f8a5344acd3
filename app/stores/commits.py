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
"""How long an item waits for its commit to begin; after that it is certainly not stored."""

COMMIT_SECONDS = 60.0
"""How long an item waits for a commit that has begun; after that its fate is unknown."""

MOST_WAITING = 1_000
"""How many items may wait for a commit in one process."""

OnCommit = Callable[[int], None]
"""A callback that gets the number of items of each commit."""


def ignore_commit(_items: int) -> None:
    """Do nothing: the callback of a store that is not measured."""


class _Ticket(Generic[Item, Result]):
    """The item of one thread, and the lock that is released when that thread may go on.

    The thread goes on because its item is done, or because it leads: it makes the next commit.
    """

    __slots__ = ("item", "leads", "may_go_on", "outcome")

    def __init__(self, item: Item) -> None:
        self.item = item
        self.leads = False
        self.outcome: Result | ScorelineError
        self.may_go_on = threading.Lock()
        self.may_go_on.acquire()


class GroupCommit(Generic[Item, Result]):
    """Commit together what has queued up while the commit before was under way.

    It has no thread of its own. A caller that finds no commit under way makes one of everything
    that waits, and then hands the lead to the first caller that has queued up meanwhile. So a lone
    caller never waits. The queue is bounded in length and in time.
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
        """Return what the commit says of `item` when it is durable.

        Raises what the commit raised, and StoreBusy, with nothing stored, when too many items wait
        or this one waits too long.
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
        """Queue up; return whether there is no commit to wait for."""
        now = time.monotonic()
        if self._busy_since is None:
            self._busy_since, ticket.leads = now, True
        elif now - self._busy_since > QUEUE_SECONDS:
            raise StoreBusy("the commit before does not end")
        elif len(self._waiting) >= MOST_WAITING:
            raise StoreBusy(f"{MOST_WAITING} scores wait for a commit")
        self._waiting.append(ticket)
        return ticket.leads

    def _wait(self, ticket: _Ticket[Item, Result]) -> None:
        if ticket.may_go_on.acquire(timeout=QUEUE_SECONDS):
            return
        if self._withdraw(ticket):
            raise StoreBusy("a score waited too long for its commit")
        if not ticket.may_go_on.acquire(timeout=COMMIT_SECONDS):
            raise StoreUnavailable("a commit does not end: the score may be stored or not")

    def _withdraw(self, ticket: _Ticket[Item, Result]) -> bool:
        """Take an item out of the queue; False when its commit has begun, or it leads the next."""
        with self._lock:
            if ticket.leads or ticket not in self._waiting:
                return False
            self._waiting.remove(ticket)
            return True

    def _commit(self) -> None:
        """Commit everything that waits, then let its callers and the next commit go on."""
        with self._lock:
            batch, self._waiting = self._waiting, []
        outcomes: Sequence[Result | ScorelineError]
        outcomes = [StoreUnavailable("the commit was broken off")] * len(batch)
        try:
            self._on_commit(len(batch))
            outcomes = self._write([ticket.item for ticket in batch])
        except ScorelineError as error:
            outcomes = [error] * len(batch)
        finally:
            # Also after an unforeseen error: no caller may wait for ever.
            self._hand_on()
            for ticket, outcome in zip(batch, outcomes, strict=True):
                ticket.outcome = outcome
                ticket.may_go_on.release()

    def _hand_on(self) -> None:
        with self._lock:
            if not self._waiting:
                self._busy_since = None
                return
            self._busy_since = time.monotonic()
            following = self._waiting[0]
            following.leads = True
            following.may_go_on.release()
