"""Who asks, and whether it is allowed: Basic (any user name, the key as password) or Bearer."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar

from flask import g, request
from flask_httpauth import HTTPBasicAuth, HTTPTokenAuth

from app.api.contract import contract_of
from app.api.limits import limit, limit_failures
from app.api.state import state
from app.errors import Forbidden, NotAuthenticated
from app.services.keys import may, permits, permits_everywhere
from app.stores.base import ApiKey

View = TypeVar("View", bound=Callable[..., Any])

_basic = HTTPBasicAuth()
_bearer = HTTPTokenAuth(scheme="Bearer")
_SCHEMES = {"basic": _basic, "bearer": _bearer}
"""By their names in lower case: a scheme's name is taken in any case (RFC 9110, section 11.1)."""


@_basic.verify_password  # type: ignore[untyped-decorator]
def _check_password(_username: str, password: str) -> ApiKey | None:
    return state().keys.find(password or "")


@_bearer.verify_token  # type: ignore[untyped-decorator]
def _check_token(token: str) -> ApiKey | None:
    return state().keys.find(token)


def authenticate() -> ApiKey:
    """The API key of this request. Raises NotAuthenticated and TooMany.

    Flask-HTTPAuth's own decorators would be made anew for each request, when there are two schemes.
    """
    given = request.environ.get("HTTP_AUTHORIZATION", "").partition(" ")[0].lower()
    scheme = _SCHEMES.get(given, _bearer)
    key: ApiKey | None = scheme.authenticate(scheme.get_auth(), None)
    if key is None:
        limit_failures()
        raise NotAuthenticated
    g.api_key = key
    limit(key)
    return key


def current_key() -> ApiKey | None:
    """The API key of this request, once it is known."""
    key: ApiKey | None = g.get("api_key")
    return key


def current_owner() -> str | None:
    """Whose scores this request sends: the owner of its API key."""
    key = current_key()
    return key.owner if key else None


def caller() -> ApiKey:
    """The API key of this request, which has been let in."""
    key = current_key()
    if key is None:
        raise NotAuthenticated
    return key


def allow(action: str) -> Callable[[View], View]:
    """Let a view of /{entity}/{project} be called only with a key that may do `action` there.

    Raises NotAuthenticated, TooMany and Forbidden, before anything of the body is read.
    """

    def decorate(view: View) -> View:
        contract_of(view).action = action

        @wraps(view)
        def allowed(*, entity: str, project: str, **rest: Any) -> Any:
            if not permits(authenticate(), action, entity, project):
                raise Forbidden
            return view(entity=entity, project=project, **rest)

        return allowed  # type: ignore[return-value]

    return decorate


def allow_in_scope(action: str) -> Callable[[View], View]:
    """Let a view of no single project be called only with a key whose role may do `action`.

    What lies in the key's scope is for the service to say. Raises NotAuthenticated, TooMany and
    Forbidden, before anything of the body is read.
    """
    return _allow_where(action, may)


def allow_everywhere(action: str) -> Callable[[View], View]:
    """Let a view of no one project be called only with a key that may do `action` in all.

    Raises NotAuthenticated, TooMany and Forbidden.
    """
    return _allow_where(action, permits_everywhere)


def _allow_where(action: str, is_allowed: Callable[[ApiKey, str], bool]) -> Callable[[View], View]:
    """Let a view be called only with a key of which `is_allowed` says so."""

    def decorate(view: View) -> View:
        contract_of(view).action = action

        @wraps(view)
        def allowed(**rest: Any) -> Any:
            if not is_allowed(authenticate(), action):
                raise Forbidden
            return view(**rest)

        return allowed  # type: ignore[return-value]

    return decorate
