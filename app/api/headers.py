"""Security headers: tell browsers to run nothing of an answer, frame nothing, keep nothing."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

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


def with_security_headers(application: WSGIApplication) -> WSGIApplication:
    """Wrap `application` so that every answer has the security headers, errors included.

    A header that the answer has already stays as it is: a page of HTML has a policy of its own.
    """

    def wrapped(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        added = _ADDED[environ["wsgi.url_scheme"]]

        def start(status: str, headers: Headers, *exc_info: Any) -> Any:
            return start_response(status, headers + _missing(headers, added), *exc_info)

        return application(environ, start)

    return wrapped


def _missing(headers: Headers, added: Headers) -> Headers:
    names = {name for name, _ in headers}
    if names.isdisjoint(SECURITY_HEADERS):
        return added
    return [header for header in added if header[0] not in names]
