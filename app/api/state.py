"""The store and the other objects that `create_app` creates once per process for the views."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import cast

from flask import current_app

from app.analysis.prices import Prices
from app.metrics import Metrics
from app.services.clearing import Clearing
from app.services.enforced_schemas import EnforcedSchemas
from app.services.health import Readiness
from app.services.key_ring import KeyRing, KeyUses
from app.services.limits import Buckets, ConcurrencyLimit, Limit
from app.stores.base import Store


@dataclass(frozen=True)
class State:
    """The objects that views pass to the services."""

    store: Store
    keys: KeyRing
    key_uses: KeyUses
    readiness: Readiness
    metrics: Metrics
    calls: Limit | None
    """The limit of calls per key, or None for no limit."""
    failures: Buckets
    """The limit of failed authentications per address."""
    clearing: Clearing
    """Continues deletions in the background."""
    schemas: EnforcedSchemas
    """The schemas for values that projects enforce."""
    long_requests: ConcurrencyLimit
    """The limit of concurrent long requests, such as lists, exports, batches and comparisons."""
    default_entity: str
    """The entity of Weave programs that name none, if the key's scope names none either."""
    sdk_body_bytes: int
    """The largest body of the routes of Weave's SDK."""
    prices: Prices
    """What tokens cost, by the file of the user."""
    stopping: threading.Event = field(default_factory=threading.Event)
    """Set when this process begins to stop, which ends long polls."""

    def close(self) -> None:
        """Stop the work in the background, write when keys were last used, and close the store."""
        self.clearing.stop()
        self.key_uses.write()
        self.store.close()


def state() -> State:
    """Return the state of the application that serves this request."""
    return cast("State", current_app.extensions["scoreline"])
