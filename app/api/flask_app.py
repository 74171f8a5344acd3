"""The Flask application, without the sessions, hosts and coroutines that Flask looks for."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from flask import Flask, Request
from flask.sessions import NullSession, SessionInterface
from werkzeug.routing import MapAdapter

from app.api.limits import PLACE, give_place_back


class NoSession(SessionInterface):
    """No session: each request sends its key."""

    _none = NullSession()

    def open_session(self, app: Flask, request: Request) -> NullSession:  # noqa: ARG002
        """Return the one empty session of all requests."""
        return self._none

    def save_session(self, *_: Any) -> None:
        """Keep nothing."""


class Application(Flask):
    """Flask, with less to do for a request, and with a bound for the long ones."""

    session_interface = NoSession()

    def wsgi_app(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        """Answer a request; the place of a long one is free again once its answer is closed."""
        try:
            answer: Iterable[bytes] = super().wsgi_app(environ, start_response)
        except BaseException:
            give_place_back(self, environ)
            raise
        return LongAnswer(self, environ, answer) if PLACE in environ else answer

    def ensure_sync(self, func: Callable[..., Any]) -> Callable[..., Any]:
        """Return the function itself: no view is a coroutine."""
        return func

    def create_url_adapter(self, request: Request | None) -> MapAdapter | None:
        """Match paths alone: the routes are the same for every host."""
        if request is None:
            return None
        environ = request.environ
        return MapAdapter(
            self.url_map,
            server_name=environ.get("HTTP_HOST", ""),
            script_name=environ["SCRIPT_NAME"],
            subdomain="",
            url_scheme=environ["wsgi.url_scheme"],
            path_info=environ["PATH_INFO"].encode("latin-1").decode("utf-8", "replace"),
            default_method=environ["REQUEST_METHOD"],
            query_args=environ["QUERY_STRING"],
        )


class LongAnswer:
    """The answer to a long request, which holds its place until it is closed."""

    def __init__(self, app: Flask, environ: dict[str, Any], answer: Iterable[bytes]) -> None:
        self._app, self._environ, self._answer = app, environ, answer

    def __iter__(self) -> Iterator[bytes]:
        """Yield the answer's pieces."""
        return iter(self._answer)

    def close(self) -> None:
        """Close the answer, whether it was sent to its end or not, and give the place back."""
        try:
            if close := getattr(self._answer, "close", None):
                close()
        finally:
            give_place_back(self._app, self._environ)
