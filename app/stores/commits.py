"""Group commit: threads that write at the same time share one transaction and one fsync."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from app.errors import ScorelineError, StoreUnavailable

Item = TypeVar("Item")
Outcome = ScorelineError | None
"""What became of one item: None when it is durable, else why it is not."""


class _Ticket(Generic[Item]):
    """One thread's item on its way into the store; its lock is released when the thread may go on.

    The thread goes on because its item is done, or because it is to make the next commit.
    """

    __slots__ = ("done", "item", "may_go_on", "outcome")

    def __init__(self, item: Item) -> None:
        self.item = item
        self.done = False
        self.outcome: Outcome = None
        self.may_go_on = threading.Lock()
        self.may_go_on.acquire()


class GroupCommit(Generic[Item]):
    """Commits together what has queued up while the commit before was under way.

    There is no thread of its own: whoever finds no commit under way makes one, of everything that
    waits, and hands on to the first that has queued up meanwhile. So a lone caller waits for
    nobody, and the queue is never longer than there are callers.
    """

    def __init__(self, write: Callable[[Sequence[Item]], Sequence[Outcome]]) -> None:
        self._write = write
        self._lock = threading.Lock()
        self._busy = False
        self._waiting: list[_Ticket[Item]] = []

    def submit(self, item: Item) -> None:
        """Return when `item` is durable; raise its own error, never a neighbour's."""
        ticket = _Ticket(item)
        with self._lock:
            self._waiting.append(ticket)
            waits, self._busy = self._busy, True
        if waits:
            ticket.may_go_on.acquire()
        if not ticket.done:
            self._commit()
        if ticket.outcome:
            raise ticket.outcome

    def _commit(self) -> None:
        """Commit everything that waits, then let its callers and the next commit go on."""
        with self._lock:
            batch, self._waiting = self._waiting, []
        outcomes: Sequence[Outcome] = [StoreUnavailable("the commit was broken off")] * len(batch)
        try:
            outcomes = self._write([ticket.item for ticket in batch])
        except ScorelineError as error:
            outcomes = [error] * len(batch)
        finally:
            # Also after an error that nobody foresaw: a caller must never wait for ever.
            self._hand_on()
            for ticket, outcome in zip(batch, outcomes, strict=True):
                ticket.outcome, ticket.done = outcome, True
                ticket.may_go_on.release()

    def _hand_on(self) -> None:
        with self._lock:
            following = self._waiting[0] if self._waiting else None
            self._busy = following is not None
        if following:
            following.may_go_on.release()
