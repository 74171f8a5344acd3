"""What `create_app` made for the views: the parts of this process's service."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

from flask import current_app

from app.metrics import Metrics
from app.services.health import Readiness
from app.services.key_uses import KeyUses
from app.services.keys import KeyRing
from app.services.limits import Buckets, Limit
from app.stores.base import Store


@dataclass(frozen=True)
class State:
    """The parts of a running service that a view hands to the services."""

    store: Store
    keys: KeyRing
    key_uses: KeyUses
    readiness: Readiness
    metrics: Metrics
    calls: Limit | None
    """Calls a key; None where they are not limited."""
    failures: Buckets
    """Failures to authenticate an address."""

    def close(self) -> None:
        """Write what is only noted in memory, and close the store."""
        self.key_uses.write()
        self.store.close()


def state() -> State:
    """The state of the application that serves this request."""
    return cast("State", current_app.extensions["scoreline"])
