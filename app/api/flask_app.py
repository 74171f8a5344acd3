"""A Flask application without sessions, host matching and coroutines, which cost time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

from flask import Flask, Request
from flask.sessions import NullSession, SessionInterface
from werkzeug.routing import MapAdapter

from app.api.limits import LONG_REQUEST, end_long_request

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment


class NoSession(SessionInterface):
    """A session interface without sessions, because each request sends its key."""

    _none = NullSession()

    def open_session(self, app: Flask, request: Request) -> NullSession:  # noqa: ARG002
        """Return the empty session that all requests share."""
        return self._none

    def save_session(self, *_: Any) -> None:
        """Save nothing."""


class Application(Flask):
    """A Flask application that does less per request and releases the limit of long requests."""

    session_interface = NoSession()

    def wsgi_app(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        """Handle a request; a long one counts as running until its response is closed."""
        try:
            response: Iterable[bytes] = super().wsgi_app(environ, start_response)
        except BaseException:
            end_long_request(self, environ)
            raise
        return LongResponse(self, environ, response) if LONG_REQUEST in environ else response

    def ensure_sync(self, func: Callable[..., Any]) -> Callable[..., Any]:
        """Return the function itself, because no view is a coroutine."""
        return func

    def create_url_adapter(self, request: Request | None) -> MapAdapter | None:
        """Match only paths, because the routes are the same for every host."""
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


TRACES = "/traces"
"""What Weave's SDK puts before the path of a route if only WANDB_BASE_URL is set."""


def under_traces(application: WSGIApplication, prefix: str) -> WSGIApplication:
    """Wrap `application` so that each route is also served with TRACES after its prefix."""
    beginning = f"{prefix}{TRACES}/"

    def wrapper(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        path = environ["PATH_INFO"]
        if path.startswith(beginning):
            environ["PATH_INFO"] = f"{prefix}/{path.removeprefix(beginning)}"
        return application(environ, start_response)

    return wrapper


class LongResponse:
    """The response to a long request, which counts as running until it is closed."""

    def __init__(self, app: Flask, environ: dict[str, Any], response: Iterable[bytes]) -> None:
        self._app, self._environ, self._response = app, environ, response

    def __iter__(self) -> Iterator[bytes]:
        """Iterate over the response."""
        return iter(self._response)

    def close(self) -> None:
        """Close the response, complete or not, and release the limit."""
        try:
            if close := getattr(self._response, "close", None):
                close()
        finally:
            end_long_request(self._app, self._environ)
