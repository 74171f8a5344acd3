"""Keep what is sent again while its evaluation run is being deleted, after what is deleted."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar

from app.errors import BeingDeleted
from app.ids import new_id
from app.services.clearing import finish_deletions
from app.stores.base import Store
from app.stores.weave import Call
from app.weave.contents import Place

Kept = TypeVar("Kept")

ATTEMPTS = 3
"""How often to store the same if deletions begin meanwhile."""

MAX_LEVELS = 100
"""How far above a call its evaluation run is looked for."""


def keep_beside_deletions(
    store: Store, place: Place, call_ids: Iterable[str], keep: Callable[[], Kept]
) -> Kept:
    """Return what `keep` returns, which stores calls with these ids or parents or their feedback.

    A pending deletion of their run would remove them as well, so it is completed before. Raises
    BeingDeleted if that takes too long.
    """
    ids = set(call_ids)
    for _ in range(ATTEMPTS):
        began = new_id()
        if store.list_deletions(place.entity, place.project, pending=True, limit=1):
            runs = _with_calls_above(store, place, ids)
            if not finish_deletions(store, place.entity, place.project, runs):
                raise BeingDeleted("The evaluation run is being deleted, try again later")
        kept = keep()
        if not store.list_deletions(place.entity, place.project, after=began, limit=1):
            break
    return kept


def _with_calls_above(store: Store, place: Place, call_ids: Iterable[str]) -> set[str]:
    """Return the ids of calls and of all above them."""
    known = left = set(call_ids)
    for _ in range(MAX_LEVELS):
        found = store.find_documents(Call, place.entity, place.project, sorted(left))
        left = {each.parent_id for each in found if each.parent_id} - known
        if not left:
            break
        known |= left
    return known
