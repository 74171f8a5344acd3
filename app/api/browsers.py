"""Protect against foreign web pages: security headers, CORS and the check of a page's origin."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from flask import Flask, Response, request

from app.errors import ForeignPage

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

SECURITY_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
HSTS = {"Strict-Transport-Security": "max-age=31536000"}
_ADDED = {
    "http": list(SECURITY_HEADERS.items()),
    "https": [*SECURITY_HEADERS.items(), *HSTS.items()],
}

Headers = list[tuple[str, str]]

METHODS = "GET, HEAD, POST, PUT, PATCH, DELETE"
ALLOWED_HEADERS = "Authorization, Content-Type, Idempotency-Key, X-Request-Id, X-Weave-Retry-Id"
EXPOSED_HEADERS = (
    "Idempotent-Replayed, Link, Retry-After, Scoreline-Cursor, Scoreline-Ignored, X-Request-Id"
)
PREFLIGHT_SECONDS = 600

FOREIGN_PAGE = "Pages of other origins may not write, unless SCORELINE_CORS_ORIGINS lists them"
READING = frozenset({"GET", "HEAD", "OPTIONS"})
_ORIGIN = re.compile(r"(https?)://(\[[^\]/@]+\]|[^\[\]:/@,]+)(?::([0-9]+))?")
_HOST = re.compile(r"(\[[^\]/@]+\]|[^\[\]:/@,]+)(?::([0-9]+))?")
_PORTS = {"http": "80", "https": "443"}


def with_security_headers(application: WSGIApplication) -> WSGIApplication:
    """Wrap `application` so that every response has the security headers, errors included.

    A header that the response already has is kept: an HTML page has a policy of its own.
    """

    def wrapper(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        added = _ADDED[environ["wsgi.url_scheme"]]

        def start(status: str, headers: Headers, *exc_info: Any) -> Any:
            return start_response(status, headers + _missing(headers, added), *exc_info)

        return application(environ, start)

    return wrapper


def _missing(headers: Headers, added: Headers) -> Headers:
    names = {name for name, _ in headers}
    if names.isdisjoint(SECURITY_HEADERS):
        return added
    return [header for header in added if header[0] not in names]


def install(app: Flask, origins: Collection[str]) -> None:
    """Reject writes from pages of other origins, and allow pages of `origins` to call the API."""

    def reject_foreign_write() -> None:
        environ = request.environ
        if environ["REQUEST_METHOD"] in READING:
            return
        if environ.get("HTTP_ORIGIN") not in origins and not is_own_page(environ):
            raise ForeignPage(FOREIGN_PAGE)

    app.before_request(reject_foreign_write)
    if origins:
        _install_cors(app, origins)


def is_own_page(environ: Mapping[str, Any]) -> bool:
    """Return whether a request comes from a page of the service's own origin, or from no page.

    A browser adds cached Basic credentials to the requests of any page. `Sec-Fetch-Site` tells
    where the page is from. Browsers omit it over plain HTTP to another machine; then `Origin` tells
    it. Other programs send neither.
    """
    site, origin = environ.get("HTTP_SEC_FETCH_SITE"), environ.get("HTTP_ORIGIN")
    if site is not None:
        return site in ("same-origin", "none")
    return origin is None or _is_of_host(origin, environ)


def _is_of_host(origin: str, environ: Mapping[str, Any]) -> bool:
    """Return whether the request was sent to the host and port of `origin`.

    Behind a proxy the scheme may be unknown. So a Host without a port gets the default port of the
    origin's scheme, unless the request is known to use HTTPS.
    """
    page = _ORIGIN.fullmatch(origin.lower())
    service = _HOST.fullmatch(environ.get("HTTP_HOST", "").lower())
    if not page or not service:
        return False
    scheme, host, port = page.groups()
    own_scheme = "https" if environ["wsgi.url_scheme"] == "https" else scheme
    return (host, port or _PORTS[scheme]) == (service[1], service[2] or _PORTS[own_scheme])


def _install_cors(app: Flask, origins: Collection[str]) -> None:
    """Answer preflight requests, and add the headers of CORS for pages of these origins.

    Credentials are not allowed, because the service reads no cookies: a page sends its API key.
    """

    def answer_preflight() -> Response | None:
        """Answer a preflight request, which a browser sends without a key."""
        method = request.headers.get("Access-Control-Request-Method")
        if request.method != "OPTIONS" or not method or request.origin not in origins:
            return None
        response = Response(status=204)
        response.headers["Access-Control-Allow-Methods"] = METHODS
        response.headers["Access-Control-Allow-Headers"] = ALLOWED_HEADERS
        response.headers["Access-Control-Max-Age"] = str(PREFLIGHT_SECONDS)
        return response

    def allow_origin(response: Response) -> Response:
        response.vary.add("Origin")
        if request.origin in origins:
            response.headers["Access-Control-Allow-Origin"] = request.origin
            response.headers["Access-Control-Expose-Headers"] = EXPOSED_HEADERS
        return response

    app.before_request(answer_preflight)
    app.after_request(allow_origin)
