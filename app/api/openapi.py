"""`/openapi.json`: the OpenAPI 3.1 document, built from the contracts of the views."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator
from importlib.metadata import version
from typing import Any

from apispec import APISpec
from apispec.ext.marshmallow import MarshmallowPlugin
from flask import Blueprint, Flask, Response, current_app
from marshmallow import Schema, fields
from werkzeug.routing import Rule

from app import jsontext
from app.api.contract import Contract, LineSchema, contract_of
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

SECURITY_SCHEMES = {"HTTPBasic": "basic", "HTTPBearer": "bearer"}
SUCCESS = "Successful Response"


def blueprint(prefix: str) -> Blueprint:
    """Return a blueprint with the route, which builds the document at the first request."""
    blueprint = Blueprint("openapi", __name__)
    lock = threading.Lock()
    texts: list[str] = []

    @blueprint.get("/openapi.json")
    def openapi_json() -> Response:
        """Describe every route of this service."""
        with lock:
            if not texts:
                texts.append(jsontext.write(document(current_app, prefix)))
        return Response(texts[0], mimetype="application/json")

    return blueprint


def document(app: Flask, prefix: str = "") -> dict[str, Any]:
    """Return the OpenAPI document of the routes of `app` under `prefix`."""
    plugin = MarshmallowPlugin(schema_name_resolver=_name)
    spec = APISpec(
        title="Scoreline",
        version=version("scoreline"),
        openapi_version="3.1.0",
        info={"description": "Stores and compares the scores of LLM evaluations."},
        servers=[{"url": prefix or "/"}],
        plugins=[plugin],
    )
    converter: Any = plugin.converter
    converter.add_attribute_function(_fastapi_attributes)
    for schema_name, schema in SCHEMAS.items():
        spec.components.schema(schema_name, schema)
    for name, scheme in SECURITY_SCHEMES.items():
        spec.components.security_scheme(name, {"type": "http", "scheme": scheme})
    for rule, method, view in _documented(app, prefix):
        path = re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule.rule.removeprefix(prefix))
        operation = _operation(rule, path, method, view)
        spec.path(path, operations={method: operation})
    document: dict[str, Any] = spec.to_dict()
    for schema_name, schema in document["components"]["schemas"].items():
        schema.setdefault("title", schema_name)
    return document


def _documented(app: Flask, prefix: str) -> Iterator[tuple[Rule, str, Callable[..., Any]]]:
    for rule in app.url_map.iter_rules():
        view = app.view_functions[rule.endpoint]
        if _is_documented(contract_of(view)) and rule.rule.startswith(f"{prefix}/"):
            for method in sorted((rule.methods or set()) - {"HEAD", "OPTIONS"}):
                yield rule, method.lower(), view


def _is_documented(contract: Contract) -> bool:
    """Return whether a view declares its response: a schema or plain text."""
    return contract.response is not None or contract.mimetype == "text/plain"


def _operation(rule: Rule, path: str, method: str, view: Callable[..., Any]) -> dict[str, Any]:
    contract = contract_of(view)
    summary, _, description = (view.__doc__ or "").strip().partition("\n")
    operation: dict[str, Any] = {
        "tags": [rule.endpoint.partition(".")[0]],
        "summary": summary,
        "description": description.strip() or summary,
        # FastAPI's naming, from which generated clients derive the names of their methods.
        "operationId": re.sub(r"\W", "_", f"{view.__name__}{path}_{method}"),
    }
    parameters: list[Any] = [_path_parameter(name) for name in re.findall("{(.+?)}", path)]
    if contract.query:
        parameters.append({"in": "query", "schema": contract.query})
    operation["responses"] = responses(contract, takes_parameters=bool(parameters))
    if parameters:
        operation["parameters"] = parameters
    if contract.body or contract.line:
        content = _json(contract.body) if contract.body else {}
        if contract.line:
            content["application/jsonl"] = lines_of(contract.line)
        operation["requestBody"] = {"required": not contract.body_is_optional, "content": content}
    if contract.action:
        operation["security"] = [{name: []} for name in SECURITY_SCHEMES]
    return operation


def _path_parameter(name: str) -> dict[str, Any]:
    schema = {"title": _title(name), "type": "string"}
    return {"in": "path", "name": name, "required": True, "schema": schema}


def _json(schema: type[Schema] | None) -> dict[str, Any]:
    return {"application/json": {"schema": schema}}


def _name(schema: Schema | type[Schema]) -> str:
    return schema.__name__ if isinstance(schema, type) else type(schema).__name__


def _title(name: str) -> str:
    return name.replace("_", " ").title()


def _fastapi_attributes(
    _converter: Any, field: fields.Field[Any], *, ret: dict[str, Any], **_: Any
) -> dict[str, Any]:
    """Give each property a title, and `anyOf` if it may be null, as FastAPI does."""
    ret.pop("default", None)
    kind = ret.pop("type", None)
    kinds = [{"type": name} for name in kind] if isinstance(kind, list) else [{"type": kind}]
    if shape := getattr(field, "shape", None):
        kinds = [shape, *[{"type": "null"}] * field.allow_none]
    if len(kinds) > 1:
        ret["anyOf"] = kinds
    elif shape or kind:
        ret.update(kinds[0])
    return {"title": _title(field.data_key or str(field.name))}


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
"""FastAPI's components for a 422, and the one for every other error."""

HEADERS: dict[str, dict[str, Any]] = {
    "WWW-Authenticate": {
        "description": "The two authentication schemes: `Basic` and `Bearer`.",
        "required": True,
        "schema": {"type": "string"},
    },
    "Retry-After": {
        "description": "How many seconds to wait before trying again.",
        "required": True,
        "schema": {"type": "integer", "minimum": 0},
    },
    "Content-Disposition": {
        "description": "The file name.",
        "required": True,
        "schema": {"type": "string"},
    },
    "Scoreline-Cursor": {
        "description": "The cursor for the next call.",
        "required": True,
        "schema": {"type": "string"},
    },
    "Link": {
        "description": 'The next page (`rel="next"`), if there is one.',
        "schema": {"type": "string"},
    },
}

_ERRORS: dict[int, tuple[str, str | None]] = {
    400: ("The body cannot be read as text or JSON.", None),
    401: ("The API key is missing or not valid.", "WWW-Authenticate"),
    403: ("The key's role or scope does not allow it.", None),
    404: ("It does not exist.", None),
    408: ("The body arrived too slowly.", None),
    410: ("The cursor is too old.", None),
    413: ("The body is over the limit.", None),
    414: ("The path or the query is too long.", None),
    415: ("The body has a Content-Encoding.", None),
    422: ("The parameters or the body are not valid.", None),
    429: ("Too many calls of a key, or too many failed logins of an address.", "Retry-After"),
    503: ("The store does not respond, or too many requests are in progress.", "Retry-After"),
}
"""The description of each error status, and the header sent with it."""


def responses(contract: Contract, *, takes_parameters: bool) -> dict[str, Any]:
    """Return the responses of an operation, by status."""
    statuses = {STATUSES[error][0] for error in _errors(contract)}
    if takes_parameters:
        statuses.add(414)
    return {
        "200": _success(contract),
        **{str(status): _error(status) for status in sorted(statuses)},
    }


def _errors(contract: Contract) -> Iterator[type[ScorelineError]]:
    yield from contract.errors
    if contract.action:
        yield from (NotAuthenticated, Forbidden, TooMany, StoreUnavailable)
    if contract.body or contract.line:
        yield from (Unreadable, TooLarge, TooSlow, Invalid, Busy)
    if contract.query:
        yield Invalid


def _success(contract: Contract) -> dict[str, Any]:
    if contract.mimetype == "application/json":
        content = {contract.mimetype: {"schema": contract.response}}
        headers = {contract.header: HEADERS[contract.header]} if contract.header else {}
        return {
            "description": SUCCESS,
            **({"headers": headers} if headers else {}),
            "content": content,
        }
    if contract.response is None:
        text = {"schema": {"type": "string"}}
        return {"description": SUCCESS, "content": {contract.mimetype: text}}
    header = "Content-Disposition" if contract.files else contract.header or "Link"
    files = {mimetype: {"schema": {"type": "string"}} for mimetype in contract.files}
    return {
        "description": SUCCESS,
        "headers": {header: HEADERS[header]},
        "content": {contract.mimetype: lines_of(contract.response), **files},
    }


def lines_of(schema: LineSchema) -> dict[str, Any]:
    """Return the schema of JSON lines: an array of the lines, as OpenAPI 3.2 defines it."""
    line = {"oneOf": list(schema)} if isinstance(schema, tuple) else schema
    return {"schema": {"type": "array", "items": line}}


def _error(status: int) -> dict[str, Any]:
    description, header = _ERRORS[status]
    name = "HTTPValidationError" if status == 422 else "Error"
    schema = {"$ref": f"#/components/schemas/{name}"}
    response = {"description": description, "content": {"application/json": {"schema": schema}}}
    return {**response, "headers": {header: HEADERS[header]}} if header else response
