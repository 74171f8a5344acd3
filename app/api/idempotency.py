"""Read idempotency keys, with which a retry gets the first response and stores nothing twice.

`Idempotency-Key` is the header of draft-ietf-httpapi-idempotency-key-header, and its value is used
as sent. `X-Weave-Retry-Id` is the header of Weave's own clients.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from flask import Response, after_this_request, request

from app.api.auth import current_key
from app.api.inputs import Loc, validation_error
from app.api.state import state
from app.errors import Invalid
from app.schemas.fields import Reason
from app.schemas.scores import IDEMPOTENCY_KEY
from app.services.scores import Retry
from app.stores.base import Kept, Outcome

WEAVE_RETRY_ID = "x-weave-retry-id"
HEADERS = {
    "HTTP_IDEMPOTENCY_KEY": "idempotency-key",
    "HTTP_X_WEAVE_RETRY_ID": WEAVE_RETRY_ID,
}
"""The headers with a key: their names in WSGI's environ and in errors."""

RETRY_COUNT = "HTTP_X_STAINLESS_RETRY_COUNT"
"""The only sign of a retry of Weave's client 0.54: 0 for the first attempt, then 1 and 2."""

REUSED = Reason("idempotency_key_reused", "This idempotency key was sent before with other content")
_MALFORMED = Reason(
    "string_pattern_mismatch",
    f"String should match pattern '{IDEMPOTENCY_KEY}'",
    {"pattern": IDEMPOTENCY_KEY},
)


def idempotency_key() -> str | None:
    """Return the idempotency key of this request, or None. Raises Invalid if it is malformed."""
    name, key = _header()
    if key is not None and not re.fullmatch(IDEMPOTENCY_KEY, key):
        raise Invalid([validation_error(_MALFORMED, ("header", name), key)])
    return key


def retry() -> Retry:
    """Return what identifies this request as a retry. Raises Invalid if its key is malformed."""
    key = current_key()
    return Retry(
        idempotency_key=idempotency_key(),
        is_repeated=request.environ.get(RETRY_COUNT, "0") not in ("", "0"),
        api_key_id=key.key_id if key else None,
    )


def _header() -> tuple[str, str | None]:
    """Return the name and value of the header with the key."""
    environ = request.environ
    for variable, name in HEADERS.items():
        # Weave's client 0.54 keeps sending the retry id of its last batch of calls with later
        # requests. If it also sends a count of attempts, only the count can be trusted.
        if variable in environ and not (name == WEAVE_RETRY_ID and RETRY_COUNT in environ):
            return name, environ[variable]
    return "idempotency-key", None


def mark_replayed(outcomes: Sequence[Outcome], *, are_scores: bool) -> int:
    """Mark the response if it repeats the first one, and count replayed scores in the metrics.

    Returns how much of it an earlier call stored.
    """
    num_replayed = sum(each.kept is Kept.REPLAYED for each in outcomes)
    if are_scores and num_replayed:
        state().metrics.replayed.inc(num_replayed)
    if outcomes and num_replayed == len(outcomes):
        mark_response()
    return num_replayed


def mark_response() -> None:
    """Mark the response as one that repeats the first one."""
    after_this_request(_mark)


def _mark(response: Response) -> Response:
    response.headers["Idempotent-Replayed"] = "true"
    return response


def reused(loc: Loc, key: str | None) -> dict[str, Any]:
    """Return the error for the key at `loc`, which was used before with other content."""
    return validation_error(REUSED, loc, key)


def reused_header() -> dict[str, Any]:
    """Return the error for the key in this request's header."""
    name, key = _header()
    return reused(("header", name), key)
