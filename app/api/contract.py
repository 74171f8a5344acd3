"""Declare the contract of a view in decorators: its input, its response and its errors."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import Any, TypeVar

from flask import Response
from marshmallow import Schema

from app import jsontext
from app.errors import ScorelineError

View = TypeVar("View", bound=Callable[..., Any])


LineSchema = type[Schema] | tuple[type[Schema], ...]
"""The schema of a line, or those of lines of several kinds."""


@dataclass
class Contract:
    """The input and output of a view, as declared by its decorators and read by `openapi.py`."""

    body: type[Schema] | None = None
    body_is_optional: bool = False
    line: LineSchema | None = None
    """The schema of a JSON line of the body."""

    query: type[Schema] | None = None
    response: LineSchema | None = None
    """The schema of the response, or of a JSON line in it."""

    mimetype: str = "application/json"
    header: str | None = None
    """The response header with the position of the next page."""

    files: tuple[str, ...] = ()
    """Mimetypes of files that the view can return instead of JSON lines."""

    action: str | None = None
    errors: tuple[type[ScorelineError], ...] = ()


def contract_of(view: Callable[..., Any]) -> Contract:
    """Return the contract of a view, which `functools.wraps` copies through its decorators."""
    contract: Contract = view.__dict__.setdefault("contract", Contract())
    return contract


def raises(*errors: type[ScorelineError]) -> Callable[[View], View]:
    """Declare errors that a view raises in addition to those of its other decorators."""

    def decorate(view: View) -> View:
        contract_of(view).errors += errors
        return view

    return decorate


def response(schema: type[Schema], header: str | None = None) -> Callable[[View], View]:
    """Serialize the view's return value with `schema` into a response with status 200.

    `header` names the response header with the position of the next page, if there are pages.
    """
    dumper = schema()

    def decorate(view: View) -> View:
        contract = contract_of(view)
        contract.response, contract.header = schema, header

        @wraps(view)
        def wrapper(**rest: Any) -> Response:
            return Response(dumper.dumps(view(**rest)), content_type="application/json")

        return wrapper  # type: ignore[return-value]

    return decorate


def json_response(content: Any, status: int = 200) -> Response:
    """Return a response of compact JSON in UTF-8."""
    return Response(jsontext.write(content), status, mimetype="application/json")
