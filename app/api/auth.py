"""Who asks, and whether it is allowed: Basic (any user name, the key as password) or Bearer."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, NoReturn, TypeVar

from flask_httpauth import HTTPBasicAuth, HTTPTokenAuth, MultiAuth

from app.api.contract import contract_of
from app.api.state import state
from app.errors import Forbidden, NotAuthenticated
from app.services.keys import permits
from app.stores.base import ApiKey

View = TypeVar("View", bound=Callable[..., Any])


class _AnyCase:
    """A scheme's name in any case (RFC 9110, section 11.1); Flask-HTTPAuth asks for one case."""

    scheme: str

    def is_compatible_auth(self, headers: Any) -> bool:
        scheme = headers.get("Authorization", "").partition(" ")[0]
        return bool(scheme.lower() == self.scheme.lower())


class _Basic(_AnyCase, HTTPBasicAuth):  # type: ignore[misc]
    pass


class _Bearer(_AnyCase, HTTPTokenAuth):  # type: ignore[misc]
    pass


_basic = _Basic()
_bearer = _Bearer(scheme="Bearer")
_auth = MultiAuth(_basic, _bearer)


@_basic.verify_password  # type: ignore[untyped-decorator]
def _check_password(_username: str, password: str) -> ApiKey | None:
    return state().keys.find(password or "")


@_bearer.verify_token  # type: ignore[untyped-decorator]
def _check_token(token: str) -> ApiKey | None:
    return state().keys.find(token)


@_basic.error_handler  # type: ignore[untyped-decorator]
@_bearer.error_handler  # type: ignore[untyped-decorator]
def _refuse(_status: int) -> NoReturn:
    raise NotAuthenticated


def current_key() -> ApiKey | None:
    """The API key of this request, once it is known."""
    key: ApiKey | None = _auth.current_user()
    return key


def current_owner() -> str | None:
    """Whose scores this request sends: the owner of its API key."""
    key = current_key()
    return key.owner if key else None


def allow(action: str) -> Callable[[View], View]:
    """Let a view of /{entity}/{project} be called only with a key that may do `action` there.

    Raises NotAuthenticated and Forbidden, before anything of the body is read.
    """

    def decorate(view: View) -> View:
        contract_of(view).action = action

        @wraps(view)
        def allowed(*, entity: str, project: str, **rest: Any) -> Any:
            key = current_key()
            if key is None or not permits(key, action, entity, project):
                raise Forbidden
            return view(entity=entity, project=project, **rest)

        return _auth.login_required(allowed)  # type: ignore[no-any-return]

    return decorate
