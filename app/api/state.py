"""What `create_app` made for the views: the store and the key ring of this process."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

from flask import current_app

from app.services.keys import KeyRing
from app.stores.base import Store


@dataclass(frozen=True)
class State:
    """The parts of a running service that a view hands to the services."""

    store: Store
    keys: KeyRing


def state() -> State:
    """The state of the application that serves this request."""
    return cast("State", current_app.extensions["scoreline"])
