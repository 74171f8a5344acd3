"""A view's contract, stated once in decorators: what is validated, serialized and documented."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import Any, TypeVar

from flask import Response, request
from marshmallow import Schema, ValidationError

from app import jsontext
from app.api.bodies import read_body
from app.errors import Invalid
from app.schemas.fields import MISSING, Reason

View = TypeVar("View", bound=Callable[..., Any])

_NOT_AN_OBJECT = Reason(
    "model_attributes_type",
    "Input should be a valid dictionary or object to extract fields from",
)


@dataclass
class Contract:
    """What a view takes and gives; `openapi.py` writes it down."""

    body: type[Schema] | None = None
    response: type[Schema] | None = None
    action: str | None = None


def contract_of(view: Callable[..., Any]) -> Contract:
    """The contract of a view; `functools.wraps` carries it through the decorators."""
    contract: Contract = view.__dict__.setdefault("contract", Contract())
    return contract


def body(schema: type[Schema]) -> Callable[[View], View]:
    """Hand the view the request's JSON body as the keyword `body`, loaded by `schema`."""
    loader = schema()

    def decorate(view: View) -> View:
        contract_of(view).body = schema

        @wraps(view)
        def checked(**rest: Any) -> Any:
            try:
                content = read_body(request)
            except jsontext.NotFinite as error:
                raise _refusal(loader, error) from None
            return view(**rest, body=_load(loader, content))

        return checked  # type: ignore[return-value]

    return decorate


def response(schema: type[Schema]) -> Callable[[View], View]:
    """Answer 200 with what the view returns, serialized by `schema`."""
    dumper = schema()

    def decorate(view: View) -> View:
        contract_of(view).response = schema

        @wraps(view)
        def answered(**rest: Any) -> Response:
            return json_response(dumper.dump(view(**rest)))

        return answered  # type: ignore[return-value]

    return decorate


def json_response(content: Any, status: int = 200) -> Response:
    """Compact JSON in UTF-8."""
    return Response(jsontext.write(content), status, mimetype="application/json")


def _load(loader: Schema, content: Any) -> Any:
    """Load a body as FastAPI does: `None` is a missing body, errors come in the fields' order."""
    if content is None:
        raise Invalid([_error(MISSING, ("body",), None)])
    if not isinstance(content, dict):
        raise Invalid([_error(_NOT_AN_OBJECT, ("body",), content)])
    try:
        return loader.load(content)
    except ValidationError as error:
        raise Invalid(_field_errors(error, content)) from None


def _refusal(loader: Schema, not_finite: jsontext.NotFinite) -> Invalid:
    """The errors that FastAPI finds in such a body, where they can be written as JSON."""
    try:
        _load(loader, not_finite.value)
    except Invalid as error:
        if jsontext.is_finite(error.errors):
            return error
    return not_finite


def _field_errors(error: ValidationError, content: dict[str, Any]) -> list[dict[str, Any]]:
    # A field that is missing has no input of its own: FastAPI shows what it was missing in.
    return [
        _error(reason, ("body", name), content.get(name, content))
        for name, reasons in error.messages_dict.items()
        for reason in reasons
    ]


def _error(reason: Reason, loc: tuple[str | int, ...], given: Any) -> dict[str, Any]:
    return {"type": reason.type, "loc": loc, "msg": str(reason), "input": given}
