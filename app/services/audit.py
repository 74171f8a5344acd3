"""The audit log: who changed which API key or deleted which scores, and when."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from app.errors import StoreUnavailable
from app.logs import AUDIT, fields
from app.stores.model import ApiKey

log = logging.getLogger(AUDIT)


@contextmanager
def audited(action: str, caller: ApiKey, *targets: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Log one line for each target after the block has succeeded, and none if it was refused.

    The block may add fields for every line to the dict that it gets. If the store does not answer,
    the lines are logged with the outcome "unknown", because the action may have been done.
    """
    results: dict[str, Any] = {}
    try:
        yield results
    except StoreUnavailable:
        _log(action, "unknown", caller, targets, results)
        raise
    _log(action, "done", caller, targets, results)


def _log(
    action: str,
    outcome: str,
    caller: ApiKey,
    targets: tuple[Mapping[str, Any], ...],
    results: Mapping[str, Any],
) -> None:
    who = {"by_key_id": caller.key_id, "by_owner": caller.owner}
    for target in targets:
        log.info("audit", extra=fields(action=action, outcome=outcome, **who, **target, **results))
