"""Remove what deletions have hidden: within a call, and in the background."""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Iterable

from app.errors import ScorelineError
from app.ids import new_id
from app.services.call_deletions import delete_calls
from app.stores.base import Store
from app.stores.checks import CLOCK_SECONDS
from app.stores.deletions import Deletion

log = logging.getLogger("scoreline.deletions")

PAGE = 1_000
"""How many documents are removed in one transaction."""

CALL_SECONDS = CLOCK_SECONDS
"""How long a call removes what it has hidden, before it leaves the rest to the background. After
this time, new ids are higher than the hidden ones on every machine."""

PAUSE_SECONDS = 0.5
"""How long to wait while another process removes the same."""

POLL_SECONDS = 10.0
"""How often a process looks for deletions that another one has left unfinished."""

STEP_SECONDS = 1.0
"""How long the background works before it looks whether the process stops."""

STOP_SECONDS = 2.0
"""How long a stop waits for the background."""

TOGETHER = 100
"""How many deletions are read at a time."""


def clear(store: Store, deletion: Deletion, deadline: float, worker: str) -> Deletion:
    """Remove what a deletion covers, at most until `deadline`; return it as it is then.

    `worker` is a name that no other thread uses. Between two transactions, others may write for as
    long as the last one took.
    """
    if deletion.is_pending and not _clear_calls(store, deletion, deadline):
        return deletion
    while deletion.is_pending and (began := time.monotonic()) < deadline:
        found = store.continue_deletion(deletion, worker, PAGE)
        deletion = found or deletion
        if deletion.is_pending:
            time.sleep(time.monotonic() - began if found else PAUSE_SECONDS)
    return deletion


def _clear_calls(store: Store, deletion: Deletion, deadline: float) -> bool:
    """Remove the calls of a run that were there; return False if some are left at `deadline`."""
    deleted = delete_calls(
        store,
        deletion.entity,
        deletion.project,
        [deletion.evaluation_run_id],
        before=deletion.deletion_id,
        deadline=deadline,
    )
    return deleted is not None


def finish_deletions(
    store: Store, entity: str, project: str, run_ids: Iterable[str | None]
) -> bool:
    """Remove what pending deletions of these runs cover, for at most CALL_SECONDS.

    Returns whether nothing of that is left. For imports, whose ids may be lower than those that a
    deletion covers, and for calls that are sent again.
    """
    named, after, is_pending = set(run_ids), "", False
    deadline, worker = time.monotonic() + CALL_SECONDS, new_id()
    while page := store.list_deletions(entity, project, pending=True, after=after, limit=TOGETHER):
        for deletion in page:
            if deletion.evaluation_run_id in named:
                is_pending |= clear(store, deletion, deadline, worker).is_pending
        after = page[-1].deletion_id
    return not is_pending


def finish_all(store: Store) -> None:
    """Remove what pending deletions of all projects cover."""
    worker = new_id()
    while pending := store.list_deletions(pending=True, limit=TOGETHER):
        for deletion in pending:
            clear(store, deletion, math.inf, worker)


class Clearing:
    """Continues pending deletions in the background, on one thread of each process.

    A deletion that a killed process has left is continued by another one within POLL_SECONDS.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._worker = new_id()
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Continue pending deletions now, and from now on; call it after a fork."""
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="clearing", daemon=True)
                self._thread.start()
        self._wake.set()

    def stop(self) -> None:
        """End the thread after its current transaction."""
        self._stopping.set()
        self._wake.set()
        if self._thread:
            self._thread.join(STOP_SECONDS)

    def _run(self) -> None:
        is_failing = False
        while not self._stopping.is_set():
            self._wake.clear()
            try:
                self._clear_all()
                is_failing = False
            except ScorelineError as error:
                if not is_failing:  # Once, until it works again.
                    log.warning("pending deletions, if any, are continued later: %s", error)
                is_failing = True
            self._wake.wait(POLL_SECONDS)

    def _clear_all(self) -> None:
        for each in self._store.list_deletions(pending=True, limit=TOGETHER):
            left = each
            while left.is_pending and not self._stopping.is_set():
                deadline = time.monotonic() + STEP_SECONDS
                left = clear(self._store, left, deadline, self._worker)
