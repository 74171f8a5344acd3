"""Which answers an operation gives, for `/openapi.json`: its own, and those of its errors."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from app.api.contract import Contract, View, contract_of
from app.api.errors import STATUSES
from app.errors import (
    Busy,
    Forbidden,
    Invalid,
    NotAuthenticated,
    ScorelineError,
    StoreUnavailable,
    TooLarge,
    TooMany,
    TooSlow,
    Unreadable,
)

SCHEMAS: dict[str, dict[str, Any]] = {
    "ValidationError": {
        "title": "ValidationError",
        "type": "object",
        "required": ["loc", "msg", "type"],
        "properties": {
            "loc": {
                "title": "Location",
                "type": "array",
                "items": {"anyOf": [{"type": "string"}, {"type": "integer"}]},
            },
            "msg": {"title": "Message", "type": "string"},
            "type": {"title": "Error Type", "type": "string"},
        },
    },
    "HTTPValidationError": {
        "title": "HTTPValidationError",
        "type": "object",
        "properties": {
            "detail": {
                "title": "Detail",
                "type": "array",
                "items": {"$ref": "#/components/schemas/ValidationError"},
            }
        },
    },
    "Error": {
        "title": "Error",
        "type": "object",
        "required": ["detail"],
        "properties": {
            "detail": {"title": "Detail", "type": "string"},
            "reason": {"title": "Reason", "type": "string"},
        },
    },
}
"""FastAPI's own components, which every FastAPI service documents the same, and ours."""

HEADERS: dict[str, dict[str, Any]] = {
    "WWW-Authenticate": {
        "description": "The two ways to send a key: `Basic` and `Bearer`.",
        "required": True,
        "schema": {"type": "string"},
    },
    "Retry-After": {
        "description": "After how many seconds to try again.",
        "required": True,
        "schema": {"type": "integer", "minimum": 0},
    },
    "Content-Disposition": {
        "description": "A name for the file.",
        "required": True,
        "schema": {"type": "string"},
    },
    "Link": {
        "description": 'The next page, `rel="next"`, while more follow.',
        "schema": {"type": "string"},
    },
}

_ERRORS: dict[int, tuple[str, str | None]] = {
    400: ("The body cannot be read as text or JSON.", None),
    401: ("No key, or none that is valid.", "WWW-Authenticate"),
    403: ("The key's role or scope does not allow it.", None),
    404: ("There is none.", None),
    408: ("The body came too slowly.", None),
    413: ("The body is over the limit.", None),
    414: ("The path or the query is too long.", None),
    422: ("What was sent does not have the right shape.", None),
    429: ("More calls than a key, or failures than an address, may make.", "Retry-After"),
    503: ("The store does not answer, or too much is under way.", "Retry-After"),
}
"""What each status of an error means, and the header that comes with it."""


def raises(*errors: type[ScorelineError]) -> Callable[[View], View]:
    """Say which errors a view may raise beside those that its other decorators stand for."""

    def decorate(view: View) -> View:
        contract_of(view).errors += errors
        return view

    return decorate


def responses(contract: Contract, *, takes_parameters: bool) -> dict[str, Any]:
    """The responses of an operation, by status."""
    statuses = {STATUSES[error][0] for error in _errors(contract)}
    if takes_parameters:
        statuses.add(414)
    return {"200": _done(contract), **{str(status): _error(status) for status in sorted(statuses)}}


def _errors(contract: Contract) -> Iterator[type[ScorelineError]]:
    yield from contract.errors
    if contract.action:
        yield from (NotAuthenticated, Forbidden, TooMany, StoreUnavailable)
    if contract.body:
        yield from (Unreadable, TooLarge, TooSlow, Invalid, Busy)
    if contract.query:
        yield Invalid


def _done(contract: Contract) -> dict[str, Any]:
    if contract.mimetype == "application/json":
        content = {contract.mimetype: {"schema": contract.response}}
        return {"description": "Done.", "content": content}
    if contract.response is None:
        text = {"schema": {"type": "string"}}
        return {"description": "Done.", "content": {contract.mimetype: text}}
    header = "Content-Disposition" if contract.files else "Link"
    files = {mimetype: {"schema": {"type": "string"}} for mimetype in contract.files}
    return {
        "description": "Done.",
        "headers": {header: HEADERS[header]},
        "content": {contract.mimetype: lines_of(contract.response), **files},
    }


def lines_of(schema: Any) -> dict[str, Any]:
    """A body of lines is an array of what each line holds, as OpenAPI 3.2 takes it."""
    return {"schema": {"type": "array", "items": schema}}


def _error(status: int) -> dict[str, Any]:
    description, header = _ERRORS[status]
    name = "HTTPValidationError" if status == 422 else "Error"
    schema = {"$ref": f"#/components/schemas/{name}"}
    answer = {"description": description, "content": {"application/json": {"schema": schema}}}
    return {**answer, "headers": {header: HEADERS[header]}} if header else answer
