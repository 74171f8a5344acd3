"""Idempotency keys: a retry is answered as the first call was, and makes nothing twice.

`Idempotency-Key` is the IETF draft's (draft-ietf-httpapi-idempotency-key-header), taken as it is
sent; `X-Weave-Retry-Id` is what Weave's own clients send.
"""

from __future__ import annotations

import re
from typing import Any

from flask import Response, after_this_request, request

from app.api.auth import current_key
from app.api.inputs import Loc, validation_error
from app.api.state import state
from app.errors import Invalid
from app.schemas.fields import Reason
from app.schemas.scores import IDEMPOTENCY_KEY
from app.services.scores import Created, Retry

WEAVE_RETRY_ID = "x-weave-retry-id"
HEADERS = {
    "HTTP_IDEMPOTENCY_KEY": "idempotency-key",
    "HTTP_X_WEAVE_RETRY_ID": WEAVE_RETRY_ID,
}
"""The headers that hold a key: as WSGI's environ names them, and as an error does."""

RETRY_COUNT = "HTTP_X_STAINLESS_RETRY_COUNT"
"""All that Weave's client 0.54 says of a retry: 0 for the first attempt, then 1 and 2."""

REUSED = Reason("idempotency_key_reused", "This idempotency key was sent before with other content")
_MALFORMED = Reason(
    "string_pattern_mismatch",
    f"String should match pattern '{IDEMPOTENCY_KEY}'",
    {"pattern": IDEMPOTENCY_KEY},
)


def idempotency_key() -> str | None:
    """The key of this request, if it has one. Raises Invalid when it is none."""
    name, key = _header()
    if key is not None and not re.fullmatch(IDEMPOTENCY_KEY, key):
        raise Invalid([validation_error(_MALFORMED, ("header", name), key)])
    return key


def retry() -> Retry:
    """What this request says of being a retry. Raises Invalid on a key that is none."""
    key = current_key()
    return Retry(
        idempotency_key=idempotency_key(),
        is_repeated=request.environ.get(RETRY_COUNT, "0") not in ("", "0"),
        api_key_id=key.key_id if key else None,
    )


def _header() -> tuple[str, str | None]:
    """The name and the value of the header that holds the key."""
    environ = request.environ
    for variable, name in HEADERS.items():
        # Weave's client 0.54 sends the retry id of its last batch of calls with every request that
        # follows: where it counts its attempts, the count is what it means.
        if variable in environ and not (name == WEAVE_RETRY_ID and RETRY_COUNT in environ):
            return name, environ[variable]
    return "idempotency-key", None


def mark_replayed(created: Created) -> None:
    """Say in the answer's headers when it is the first call's answer again, and count it."""
    if created.num_replayed:
        state().metrics.replayed.inc(created.num_replayed)
    if created.replayed:

        @after_this_request
        def mark(response: Response) -> Response:
            response.headers["Idempotent-Replayed"] = "true"
            return response


def reused(loc: Loc, key: str | None) -> dict[str, Any]:
    """The error of a key at `loc` that was sent before with other content."""
    return validation_error(REUSED, loc, key)


def reused_header() -> dict[str, Any]:
    """The error of this request's own key."""
    name, key = _header()
    return reused(("header", name), key)
