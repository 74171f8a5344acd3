"""Which other origins' pages a browser lets call the service (the Fetch standard's CORS)."""

from __future__ import annotations

from collections.abc import Collection

from flask import Flask, Response, request

METHODS = "GET, HEAD, POST, PUT, PATCH, DELETE"
TAKEN = "Authorization, Content-Type, Idempotency-Key, X-Request-Id, X-Weave-Retry-Id"
SHOWN = "Idempotent-Replayed, Link, Retry-After, X-Request-Id"
PREFLIGHT_SECONDS = 600


def install(app: Flask, origins: Collection[str]) -> None:
    """Let pages of these origins call `app`; where there are none, nothing is added to it.

    No cookie is ever read, so none is allowed: a page sends its API key itself.
    """
    if not origins:
        return

    def preflight() -> Response | None:
        """A browser's question before the call itself; it carries no key."""
        asked = request.headers.get("Access-Control-Request-Method")
        if request.method != "OPTIONS" or not asked or request.origin not in origins:
            return None
        answer = Response(status=204)
        answer.headers["Access-Control-Allow-Methods"] = METHODS
        answer.headers["Access-Control-Allow-Headers"] = TAKEN
        answer.headers["Access-Control-Max-Age"] = str(PREFLIGHT_SECONDS)
        return answer

    def allow_origin(answer: Response) -> Response:
        answer.vary.add("Origin")
        if request.origin in origins:
            answer.headers["Access-Control-Allow-Origin"] = request.origin
            answer.headers["Access-Control-Expose-Headers"] = SHOWN
        return answer

    app.before_request(preflight)
    app.after_request(allow_origin)
