"""A view's contract, stated once in decorators: what it takes, what it answers, what it raises."""

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


@dataclass
class Contract:
    """What a view takes and answers; `openapi.py` writes it down."""

    body: type[Schema] | None = None
    line: type[Schema] | None = None
    query: type[Schema] | None = None
    response: type[Schema] | None = None
    mimetype: str = "application/json"
    header: str | None = None
    """The header that says how to go on."""

    files: tuple[str, ...] = ()
    """Mimetypes of the files that the view can answer instead of lines of `response`."""

    action: str | None = None
    errors: tuple[type[ScorelineError], ...] = ()


def contract_of(view: Callable[..., Any]) -> Contract:
    """Return the contract of a view; `functools.wraps` carries it through the decorators."""
    contract: Contract = view.__dict__.setdefault("contract", Contract())
    return contract


def raises(*errors: type[ScorelineError]) -> Callable[[View], View]:
    """Declare errors that a view may raise beside those that its other decorators declare."""

    def decorate(view: View) -> View:
        contract_of(view).errors += errors
        return view

    return decorate


def response(schema: type[Schema], header: str | None = None) -> Callable[[View], View]:
    """Answer 200 with what the view returns, serialized by `schema`.

    `header` is the name of the header that says how to go on, where the answer is a page.
    """
    dumper = schema()

    def decorate(view: View) -> View:
        contract = contract_of(view)
        contract.response, contract.header = schema, header

        @wraps(view)
        def answered(**rest: Any) -> Response:
            return Response(dumper.dumps(view(**rest)), content_type="application/json")

        return answered  # type: ignore[return-value]

    return decorate


def json_response(content: Any, status: int = 200) -> Response:
    """Return a response of compact JSON in UTF-8."""
    return Response(jsontext.write(content), status, mimetype="application/json")
