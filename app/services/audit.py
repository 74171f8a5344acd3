"""The audit log: who changed which API key or deleted which scores, and when."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from app.errors import StoreUnavailable
from app.logs import AUDIT, fields
from app.stores.base import ApiKey

log = logging.getLogger(AUDIT)


@contextmanager
def audited(action: str, by: ApiKey, *whats: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Log a line for each of `whats` once the block has done it; nothing when it was refused.

    What the block puts into the dict stands in every line. The outcome is unknown where the store
    did not answer: it may be done all the same.
    """
    added: dict[str, Any] = {}
    outcome = "unknown"
    try:
        yield added
        outcome = "done"
    except StoreUnavailable:
        _log(action, outcome, by, whats, added)
        raise
    _log(action, outcome, by, whats, added)


def _log(
    action: str,
    outcome: str,
    by: ApiKey,
    whats: tuple[Mapping[str, Any], ...],
    added: Mapping[str, Any],
) -> None:
    who = {"by_key_id": by.key_id, "by_owner": by.owner}
    for what in whats:
        log.info("audit", extra=fields(action=action, outcome=outcome, **who, **what, **added))
