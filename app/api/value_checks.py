"""Refuse scores whose values are against a schema that their project enforces."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from app.api.batches import SCORE, Batch, Element, with_few_errors
from app.api.inputs import Loc, validation_error
from app.api.limits import client_check
from app.api.state import state
from app.errors import Invalid
from app.schemas.fields import Reason


def check_value(
    entity: str, project: str, body: dict[str, Any], is_replay: Callable[[], bool]
) -> None:
    """Check the value in the body of a score, unless an earlier call stored it. Raises Invalid."""
    error = _error(entity, project, ("body",), body)
    if error and not is_replay():
        raise Invalid([error])


def with_checked_values(
    entity: str,
    project: str,
    batch: Batch,
    find_replays: Callable[[list[dict[str, Any]]], list[bool]],
) -> Batch:
    """Return a batch, in which the scores whose values are refused are invalid.

    Scores that an earlier call stored, as `find_replays` says, stay valid.
    """
    check_client = client_check()

    def checked(element: Element) -> Element:
        if element.body is None or element.kind is not SCORE:
            return element
        check_client()
        error = _error(entity, project, element.loc, element.body)
        return replace(element, body=None, errors=[error], num_errors=1) if error else element

    found = [checked(element) for element in batch]
    if any(new is not old for new, old in zip(found, batch, strict=True)):
        replays = iter(find_replays(batch.bodies))
        found = [
            old if old.body is not None and next(replays) else new
            for new, old in zip(found, batch, strict=True)
        ]
    return Batch(with_few_errors(iter(found)))


def _error(entity: str, project: str, loc: Loc, body: dict[str, Any]) -> dict[str, Any] | None:
    fault = state().schemas.fault(entity, project, body["scorer"], body["value"])
    if fault is None:
        return None
    reason = Reason("value_error", f"Value error, {fault}", {"error": {}})
    return validation_error(reason, (*loc, "value"), body["value"])
