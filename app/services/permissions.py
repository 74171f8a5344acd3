"""Decide what an API key may do where, by its role and scope."""

from __future__ import annotations

from app.errors import Forbidden
from app.stores.model import ApiKey

ROLES: dict[str, frozenset[str]] = {
    "create": frozenset({"connect", "create"}),
    "read": frozenset({"connect", "read"}),
    "write": frozenset({"connect", "create", "read", "change", "delete", "import"}),
    "admin": frozenset({"connect", "create", "read", "change", "delete", "import", "keys"}),
}
"""The actions that each role allows; Weave's SDK needs `connect` for all that it does."""

EVERYWHERE = "*"
"""The scope that covers every project."""


def check_project(key: ApiKey, action: str, entity: str, project: str) -> None:
    """Check that `key` may do `action`, such as create or read, in a project. Raises Forbidden.

    The message tells nothing about the project.
    """
    check_role(key, action)
    if not covers(key.scope, entity, project):
        raise Forbidden(f"the scope of this key is {key.scope}, which does not include the project")


def check_role(key: ApiKey, action: str) -> None:
    """Check that `key` may do `action` in the projects of its scope. Raises Forbidden."""
    if action not in ROLES[key.role]:
        roles = " or ".join(role for role, actions in ROLES.items() if action in actions)
        raise Forbidden(f"this needs a key with the role {roles}, not {key.role}")


def check_everywhere(key: ApiKey, action: str) -> None:
    """Check that `key` may do `action` in every project, future ones too. Raises Forbidden."""
    check_role(key, action)
    if key.scope != EVERYWHERE:
        raise Forbidden(f"this needs a key with the scope *, not {key.scope}")


def covers(scope: str, entity: str, project: str) -> bool:
    """Return whether `scope` includes a project."""
    return scope in (EVERYWHERE, f"{entity}/*", f"{entity}/{project}")


def is_within(scope: str, outer: str) -> bool:
    """Return whether `outer` includes everything that `scope` includes."""
    entity = scope.partition("/")[0]
    return outer in (EVERYWHERE, scope, f"{entity}/*")
