"""Which pages may call the service from a browser: the own origin's, and those that CORS names."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Any

from flask import Flask, Response, request

from app.errors import ForeignPage

METHODS = "GET, HEAD, POST, PUT, PATCH, DELETE"
ALLOWED_HEADERS = "Authorization, Content-Type, Idempotency-Key, X-Request-Id, X-Weave-Retry-Id"
EXPOSED_HEADERS = "Idempotent-Replayed, Link, Retry-After, Scoreline-Cursor, X-Request-Id"
PREFLIGHT_SECONDS = 600

FOREIGN_PAGE = "A page of another origin may not write here, unless SCORELINE_CORS_ORIGINS names it"
READING = frozenset({"GET", "HEAD", "OPTIONS"})
_ORIGIN = re.compile(r"(https?)://(\[[^\]/@]+\]|[^\[\]:/@,]+)(?::([0-9]+))?")
_HOST = re.compile(r"(\[[^\]/@]+\]|[^\[\]:/@,]+)(?::([0-9]+))?")
_PORTS = {"http": "80", "https": "443"}


def install(app: Flask, origins: Collection[str]) -> None:
    """Refuse writes of foreign pages, and let pages of `origins` write and read answers."""

    def refuse_foreign_write() -> None:
        if request.environ["REQUEST_METHOD"] in READING:
            return
        if request.origin not in origins and not is_own_page(request.environ):
            raise ForeignPage(FOREIGN_PAGE)

    app.before_request(refuse_foreign_write)
    if origins:
        _install_cors(app, origins)


def is_own_page(environ: Mapping[str, Any]) -> bool:
    """Return whether a request comes from a page of its own origin, or from no page at all.

    A browser adds cached Basic credentials to requests of any page. `Sec-Fetch-Site` says where
    the page is from; over plain HTTP to another machine browsers leave it out, and `Origin` says
    so. A program that is no browser sends neither.
    """
    site, origin = environ.get("HTTP_SEC_FETCH_SITE"), environ.get("HTTP_ORIGIN")
    if site is not None:
        return site in ("same-origin", "none")
    return origin is None or _is_of_host(origin, environ)


def _is_of_host(origin: str, environ: Mapping[str, Any]) -> bool:
    """Return whether host and port of `origin` are those that the request was sent to.

    Behind a proxy only the proxy knows the scheme, so a Host without a port has the default port
    of the origin's scheme, unless the request is known to have come over HTTPS.
    """
    page = _ORIGIN.fullmatch(origin.lower())
    service = _HOST.fullmatch(environ.get("HTTP_HOST", "").lower())
    if not page or not service:
        return False
    scheme, host, port = page.groups()
    own_scheme = "https" if environ["wsgi.url_scheme"] == "https" else scheme
    return (host, port or _PORTS[scheme]) == (service[1], service[2] or _PORTS[own_scheme])


def _install_cors(app: Flask, origins: Collection[str]) -> None:
    """Answer preflights, and add the Fetch standard's headers for pages of these origins.

    No cookie is ever read, so none is allowed: a page sends its API key itself.
    """

    def answer_preflight() -> Response | None:
        """Answer a browser's question before the call itself; it carries no key."""
        asked = request.headers.get("Access-Control-Request-Method")
        if request.method != "OPTIONS" or not asked or request.origin not in origins:
            return None
        answer = Response(status=204)
        answer.headers["Access-Control-Allow-Methods"] = METHODS
        answer.headers["Access-Control-Allow-Headers"] = ALLOWED_HEADERS
        answer.headers["Access-Control-Max-Age"] = str(PREFLIGHT_SECONDS)
        return answer

    def allow_origin(answer: Response) -> Response:
        answer.vary.add("Origin")
        if request.origin in origins:
            answer.headers["Access-Control-Allow-Origin"] = request.origin
            answer.headers["Access-Control-Expose-Headers"] = EXPOSED_HEADERS
        return answer

    app.before_request(answer_preflight)
    app.after_request(allow_origin)
