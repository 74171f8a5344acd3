"""Load and validate a request's query and JSON body, with the errors that FastAPI returns."""

from __future__ import annotations

from collections.abc import Callable, Sequence, Set
from functools import wraps
from typing import Any
from urllib.parse import parse_qsl, quote

from flask import Response, after_this_request, g, request
from marshmallow import EXCLUDE, Schema, ValidationError

from app import jsontext
from app.api.bodies import read_body, reject_encoded
from app.api.contract import View, contract_of
from app.errors import Encoded, Invalid
from app.schemas.fields import MISSING, NOT_AN_OBJECT, UNKNOWN, Query, Reason
from app.schemas.query_fields import TextList

SCHEMA_ERROR = "_schema"
"""The key of marshmallow's errors that concern a whole object."""

Loc = tuple[str | int, ...]

REPEATED = Reason("repeated_parameter", "Parameter should be given once")


def validation_error(reason: Reason, loc: Loc, value: Any) -> dict[str, Any]:
    """Return one error of FastAPI's list, with its keys in FastAPI's order."""
    ctx = {"ctx": reason.ctx} if reason.ctx else {}
    return {"type": reason.type, "loc": loc, "msg": str(reason), "input": value, **ctx}


MAX_ERRORS = 100
MAX_ECHOED = 4 * 1024 * 1024
"""About how many characters of input the errors of a response echo; the first is never cut."""


IGNORED = "Scoreline-Ignored"
"""The header that names the fields of a body that were ignored."""

MAX_IGNORED = 20
MAX_IGNORED_CHARACTERS = 100
"""The length to which an ignored field's encoded name is cut: proxies limit the size of headers."""


def too_many_errors(num_more: int) -> dict[str, Any]:
    """Return the error that ends or replaces a list of errors, with the number left out."""
    message = f"{num_more} more error{'s' if num_more > 1 else ''}"
    return validation_error(Reason("too_many_errors", message), ("body",), None)


def bounded(errors: Sequence[dict[str, Any]], num_more: int = 0) -> list[dict[str, Any]]:
    """Return as many errors as a response may hold, and one that counts the rest and `num_more`."""
    kept: list[dict[str, Any]] = []
    echoed = 0
    for error in errors[:MAX_ERRORS]:
        echoed += len(jsontext.write(error["input"]))
        if kept and echoed > MAX_ECHOED:
            break
        kept.append(error)
    num_more += len(errors) - len(kept)
    return [*kept, too_many_errors(num_more)] if num_more else kept


# Queries


def query(schema: type[Query]) -> Callable[[View], View]:
    """Pass the query parameters to the view as `query`, loaded by `schema`. Raises Invalid."""
    loader = schema()

    def decorate(view: View) -> View:
        contract_of(view).query = schema

        @wraps(view)
        def wrapper(**rest: Any) -> Any:
            return view(**rest, query=_load_query(loader, request.query_string))

        return wrapper  # type: ignore[return-value]

    return decorate


def no_query(view: View) -> View:
    """Reject all query parameters, for a view that takes none. Raises Invalid."""
    loader = Query()

    @wraps(view)
    def wrapper(**rest: Any) -> Any:
        _load_query(loader, request.query_string)
        return view(**rest)

    return wrapper  # type: ignore[return-value]


def _load_query(loader: Query, query_string: bytes) -> Any:
    """Load a query string. Raises Invalid.

    A repeated parameter becomes a list if its field is one. For other fields it is an error, or the
    last value is used, as in FastAPI, if the schema sets `takes_last`.
    """
    given: dict[str, list[str]] = {}
    for name, value in parse_qsl(query_string.decode("latin-1"), keep_blank_values=True):
        given.setdefault(name, []).append(value)
    fields = {field.data_key or name: field for name, field in loader.load_fields.items()}
    lists = {name for name, field in fields.items() if isinstance(field, TextList)}
    if not loader.takes_last:
        _reject_repeated({name: given[name] for name in given if name in fields.keys() - lists})
    if loader.unknown == EXCLUDE:
        name_ignored(given, fields.keys())
    content = {name: values if name in lists else values[-1] for name, values in given.items()}
    try:
        return loader.load(content)
    except ValidationError as error:
        raise Invalid(_field_errors(error, ("query",), content, None)) from None


def _reject_repeated(given: dict[str, list[str]]) -> None:
    errors = [
        validation_error(REPEATED, ("query", name), values)
        for name, values in given.items()
        if len(values) > 1
    ]
    if errors:
        raise Invalid(errors)


# Bodies


def body(
    schema: type[Schema],
    *,
    encoded: bool = False,
    optional: bool = False,
    documented: type[Schema] | None = None,
) -> Callable[[View], View]:
    """Pass the JSON body to the view as `body`, loaded by `schema`. Raises Invalid and Encoded.

    A Content-Encoding is an error, or with `encoded` ignored, as FastAPI does. With `optional`, no
    body is an empty object. `documented` replaces `schema` in the OpenAPI document.
    """
    loader = schema()

    def decorate(view: View) -> View:
        contract = contract_of(view)
        contract.body, contract.body_is_optional = documented or schema, optional
        if not encoded:
            contract.errors += (Encoded,)

        @wraps(view)
        def wrapper(**rest: Any) -> Any:
            if not encoded:
                reject_encoded(request)
            content, finite = read_content(empty={} if optional else None)
            return view(**rest, body=_load(loader, content, finite=finite))

        return wrapper  # type: ignore[return-value]

    return decorate


def read_content(empty: Any = None) -> tuple[Any, bool]:
    """Return the parsed body of this request, and whether all its numbers are finite.

    `empty` is returned for an empty body.
    """
    try:
        return read_body(request, empty), True
    except jsontext.NotFinite as error:
        return error.value, False


def _load(loader: Schema, content: Any, *, finite: bool) -> Any:
    """Load a body as FastAPI does; None is a missing body. Raises Invalid and NotFinite."""
    if content is None:
        raise Invalid([validation_error(MISSING, ("body",), None)])
    return load_object(loader, content, ("body",), finite=finite)


def load_object(loader: Schema, content: Any, loc: Loc, *, finite: bool) -> Any:
    """Load the object at `loc`. Raises Invalid, with errors in the order of the fields.

    If a number is not finite, raises the errors that FastAPI finds if they can be written as JSON,
    otherwise NotFinite.
    """
    try:
        loaded = _load_fields(loader, content, loc)
    except Invalid as error:
        raise error if finite else writable(error, content, loc) from None
    if not finite:
        raise jsontext.NotFinite(content, loc)
    return loaded


def writable(error: Invalid, content: Any, loc: Loc) -> Invalid:
    """Return the errors of `content`, which has a number that is not finite, or NotFinite.

    The latter is in place of errors that echo the number, because no response could.
    """
    return error if jsontext.is_finite(error.errors) else jsontext.NotFinite(content, loc)


def _load_fields(loader: Schema, content: Any, loc: Loc) -> Any:
    if not isinstance(content, dict):
        raise Invalid([validation_error(NOT_AN_OBJECT, loc, content)])
    if loader.unknown == EXCLUDE:
        name_ignored(content, loader.load_fields.keys())
    try:
        return loader.load(content)
    except ValidationError as error:
        # FastAPI returns the parent of a missing field as its input.
        raise Invalid(_field_errors(error, loc, content, content)) from None


def name_ignored(content: dict[str, Any], known: Set[str]) -> None:
    """Name the fields of `content` that are not `known` in this response's header IGNORED.

    At most MAX_IGNORED names, each once, percent-encoded and separated by commas.
    """
    ignored = content.keys() - known
    if not ignored:
        return
    if "ignored" not in g:
        g.ignored = {}
        after_this_request(_add_ignored)
    for name in content:
        if name in ignored and len(g.ignored) < MAX_IGNORED:
            g.ignored[name[:MAX_IGNORED_CHARACTERS]] = None


def _encoded(name: str) -> str:
    """Return the name of a field percent-encoded, and cut between two of its characters."""
    encoded = ""
    for character in name:
        more = quote(character, safe="", errors="replace")
        if len(encoded) + len(more) > MAX_IGNORED_CHARACTERS:
            break
        encoded += more
    return encoded


def _add_ignored(response: Response) -> Response:
    response.headers[IGNORED] = ",".join(dict.fromkeys(map(_encoded, g.ignored)))
    return response


def _field_errors(
    error: ValidationError, loc: Loc, content: dict[str, Any], missing: Any
) -> list[dict[str, Any]]:
    """Return FastAPI's errors for the fields at `loc`; the input of an absent field is `missing`.

    Like pydantic, returns only the first error of each field: declared fields first, then unknown
    ones in the order sent.
    """
    reasons = error.messages_dict
    whole = reasons.pop(SCHEMA_ERROR, []) if SCHEMA_ERROR not in content else []
    unknown = [name for name in content if reasons.get(name) == [UNKNOWN]]
    declared = [name for name in reasons if name not in unknown]
    return [
        each
        for name in (*declared, *unknown)
        for each in _errors_at(reasons[name], (*loc, name), content.get(name, missing))
    ] + [validation_error(reason, loc, content) for reason in whole]


def _errors_at(messages: Any, loc: Loc, content: Any) -> list[dict[str, Any]]:
    """Return the error of `content` at `loc`, or those of its parts by key or position."""
    if isinstance(messages, list):
        return [validation_error(messages[0], loc, content)]
    if SCHEMA_ERROR in messages:  # It is no object.
        return [validation_error(messages[SCHEMA_ERROR][0], loc, content)]
    return [
        each
        for step, inner in messages.items()
        for each in _errors_at(inner, (*loc, step), _part(content, step))
    ]


def _part(content: Any, step: str | int) -> Any:
    """Return a part of an object or a list; of a missing field, its parent, as FastAPI does."""
    if isinstance(content, dict):
        return content.get(step, content)
    return content[step]
