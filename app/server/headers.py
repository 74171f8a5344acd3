"""What every answer tells a browser: to run nothing of it, frame nothing, keep nothing."""

from __future__ import annotations

from collections.abc import Iterable

SECURITY_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
OVER_HTTPS = {**SECURITY_HEADERS, "Strict-Transport-Security": "max-age=31536000"}


def security_lines(own: Iterable[tuple[str, str]], scheme: str) -> str:
    """The lines of a head for what an answer's `own` headers do not say.

    A page of HTML has a Content-Security-Policy of its own. Nearly no answer has, so the lines are
    made once: checked and written anew they would take as long as the rest of the head.
    """
    names = {name for name, _ in own}
    if names.isdisjoint(SECURITY_HEADERS):
        return _ALL[scheme]
    return _lines({name: value for name, value in _WANTED[scheme].items() if name not in names})


def _lines(headers: dict[str, str]) -> str:
    return "".join(f"{name}: {value}\r\n" for name, value in headers.items())


_WANTED = {"http": SECURITY_HEADERS, "https": OVER_HTTPS}
_ALL = {scheme: _lines(headers) for scheme, headers in _WANTED.items()}
