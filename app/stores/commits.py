"""Group commit: threads that write at the same time share one transaction and one fsync."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from app.errors import ScorelineError

Item = TypeVar("Item")
Outcome = ScorelineError | None
"""What became of one item: None when it is durable, else why it is not."""


class _Ticket(Generic[Item]):
    """One thread's item on its way into the store."""

    __slots__ = ("done", "item", "outcome")

    def __init__(self, item: Item) -> None:
        self.item = item
        self.done = False
        self.outcome: Outcome = None


class GroupCommit(Generic[Item]):
    """Commits together what has queued up while the commit before was under way.

    There is no thread of its own: whoever finds no commit under way commits everything that waits,
    so a lone caller waits for nobody, and the queue is never longer than there are callers.
    """

    def __init__(self, write: Callable[[Sequence[Item]], Sequence[Outcome]]) -> None:
        self._write = write
        self._turn = threading.Condition()
        self._busy = False
        self._waiting: list[_Ticket[Item]] = []

    def submit(self, item: Item) -> None:
        """Return when `item` is durable; raise its own error, never a neighbour's."""
        ticket = _Ticket(item)
        with self._turn:
            self._waiting.append(ticket)
            while self._busy and not ticket.done:
                self._turn.wait()
            batch = [] if ticket.done else self._take_turn()
        if batch:
            self._commit(batch)
        if ticket.outcome:
            raise ticket.outcome

    def _take_turn(self) -> list[_Ticket[Item]]:
        self._busy = True
        batch, self._waiting = self._waiting, []
        return batch

    def _commit(self, batch: list[_Ticket[Item]]) -> None:
        outcomes: Sequence[Outcome] = [ScorelineError("the commit was broken off")] * len(batch)
        try:
            outcomes = self._write([ticket.item for ticket in batch])
        except ScorelineError as error:
            outcomes = [error] * len(batch)
        finally:
            # Also after an error that nobody foresaw: a caller must never wait for ever.
            with self._turn:
                self._busy = False
                for ticket, outcome in zip(batch, outcomes, strict=True):
                    ticket.outcome, ticket.done = outcome, True
                self._turn.notify_all()
