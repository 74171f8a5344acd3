"""Authentication by API key (Basic, with any user name, or Bearer), and authorization."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar

from flask import g, request
from flask_httpauth import HTTPBasicAuth, HTTPTokenAuth

from app.api.contract import contract_of
from app.api.limits import limit, limit_failures
from app.api.state import state
from app.errors import InvalidParameter, NotAuthenticated
from app.services.permissions import check_everywhere, check_project, check_role
from app.stores.model import ApiKey

View = TypeVar("View", bound=Callable[..., Any])

_basic = HTTPBasicAuth()
_bearer = HTTPTokenAuth(scheme="Bearer")
_SCHEMES = {"basic": _basic, "bearer": _bearer}
"""By name in lower case: the names of schemes are case-insensitive (RFC 9110, section 11.1)."""


@_basic.verify_password  # type: ignore[untyped-decorator]
def _check_password(_username: str, password: str) -> ApiKey | None:
    return state().keys.find(password or "")


@_bearer.verify_token  # type: ignore[untyped-decorator]
def _check_token(token: str) -> ApiKey | None:
    return state().keys.find(token)


def authenticate(*, limited: bool = True) -> ApiKey:
    """Return the API key of this request, and count the call. Raises NotAuthenticated and TooMany.

    A call that is not `limited` is not counted.

    Flask-HTTPAuth's MultiAuth would make its decorators again for each request.
    """
    given = request.environ.get("HTTP_AUTHORIZATION", "").partition(" ")[0].lower()
    scheme = _SCHEMES.get(given, _bearer)
    key: ApiKey | None = scheme.authenticate(scheme.get_auth(), None)
    if key is None:
        limit_failures()
        raise NotAuthenticated
    g.api_key = key
    if limited:
        limit(key)
    return key


def current_key() -> ApiKey | None:
    """Return the API key of this request, or None before it is authenticated."""
    key: ApiKey | None = g.get("api_key")
    return key


def current_owner() -> str | None:
    """Return the owner of the API key of this request, to whom its scores are attributed."""
    key = current_key()
    return key.owner if key else None


def caller() -> ApiKey:
    """Return the API key of this authenticated request. Raises NotAuthenticated."""
    key = current_key()
    if key is None:
        raise NotAuthenticated
    return key


def allow(action: str) -> Callable[[View], View]:
    """Require a key that may do `action` in the project of a view of /{entity}/{project}.

    Raises NotAuthenticated, TooMany and Forbidden before the body is read.
    """

    def decorate(view: View) -> View:
        contract_of(view).action = action

        @wraps(view)
        def allowed(*, entity: str, project: str, **rest: Any) -> Any:
            check_project(authenticate(), action, entity, project)
            return view(entity=entity, project=project, **rest)

        return allowed  # type: ignore[return-value]

    return decorate


def allow_in_scope(action: str) -> Callable[[View], View]:
    """Require a key whose role allows `action`, for a view that belongs to no project.

    The service checks the key's scope. Raises NotAuthenticated, TooMany and Forbidden before the
    body is read.
    """
    return _allow_where(action, check_role)


def allow_everywhere(action: str) -> Callable[[View], View]:
    """Require a key that may do `action` in every project.

    Raises NotAuthenticated, TooMany and Forbidden.
    """
    return _allow_where(action, check_everywhere)


def allow_in_body(action: str, *, limited: bool = True) -> Callable[[View], View]:
    """Require a key whose role allows `action`, for a view whose body names the project.

    The view passes it to `permitted_project`. A call that is not `limited` is never refused for its
    rate. Raises NotAuthenticated, TooMany and Forbidden before the body is read.
    """

    def decorate(view: View) -> View:
        contract_of(view).action = action

        @wraps(view)
        def allowed(**rest: Any) -> Any:
            check_role(authenticate(limited=limited), action)
            g.action = action
            return view(**rest)

        return allowed  # type: ignore[return-value]

    return decorate


def permitted_project(project_id: str, part: str = "body") -> tuple[str, str]:
    """Return entity and project of a `project_id` in a part of the request that the caller may use.

    Raises Forbidden and InvalidParameter.
    """
    entity, _, project = project_id.partition("/")
    if not entity or not project or "/" in project:
        message = "this is not the name of an entity and a project, such as acme/demo"
        raise InvalidParameter("project_id", project_id, message, place=part)
    check_project(caller(), g.action, entity, project)
    return entity, project


def _allow_where(action: str, check: Callable[[ApiKey, str], None]) -> Callable[[View], View]:
    """Require a key for which `check` does not raise Forbidden."""

    def decorate(view: View) -> View:
        contract_of(view).action = action

        @wraps(view)
        def allowed(**rest: Any) -> Any:
            check(authenticate(), action)
            return view(**rest)

        return allowed  # type: ignore[return-value]

    return decorate
