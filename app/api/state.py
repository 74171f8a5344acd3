"""The parts of this process's service, which `create_app` makes for the views."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import cast

from flask import current_app

from app.metrics import Metrics
from app.services.health import Readiness
from app.services.key_uses import KeyUses
from app.services.keys import KeyRing
from app.services.limits import Buckets, ConcurrencyLimit, Limit
from app.stores.base import Store


@dataclass(frozen=True)
class State:
    """What a view hands to the services."""

    store: Store
    keys: KeyRing
    key_uses: KeyUses
    readiness: Readiness
    metrics: Metrics
    calls: Limit | None
    """Calls of each key; None where they are not limited."""
    failures: Buckets
    """Failures to authenticate of each address."""
    long_requests: ConcurrencyLimit
    """Lists, exports, batches, imports, analyses, long polls and large bodies under way."""
    stopping: threading.Event = field(default_factory=threading.Event)
    """Set when this process begins to stop: what waits for news ends."""

    def close(self) -> None:
        """Write what is only noted in memory, and close the store."""
        self.key_uses.write()
        self.store.close()


def state() -> State:
    """Return the state of the application that serves this request."""
    return cast("State", current_app.extensions["scoreline"])
