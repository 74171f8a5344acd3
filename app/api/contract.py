"""A view's contract, stated once in decorators: what is validated, serialized and documented."""

from __future__ import annotations

import errno
import logging
import socket
import struct
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import wraps
from itertools import chain
from typing import Any, TypeVar
from urllib.parse import parse_qsl, urlencode

from flask import Response, request
from marshmallow import Schema, ValidationError

from app import jsontext
from app.api.bodies import read_body
from app.errors import Invalid, ScorelineError
from app.schemas.fields import MISSING, Reason
from app.schemas.query_fields import TextList
from app.services.lists import Page

View = TypeVar("View", bound=Callable[..., Any])
Loc = tuple[str | int, ...]

CHUNK = 64 * 1024
"""About how many characters of a stream are written at once."""

NOT_AN_OBJECT = Reason(
    "model_attributes_type",
    "Input should be a valid dictionary or object to extract fields from",
)


@dataclass
class Contract:
    """What a view takes and gives; `openapi.py` writes it down."""

    body: type[Schema] | None = None
    line: type[Schema] | None = None
    query: type[Schema] | None = None
    response: type[Schema] | None = None
    mimetype: str = "application/json"
    files: tuple[str, ...] = ()
    """What else it may answer as a file, by mimetype, beside lines of `response`."""

    action: str | None = None
    errors: tuple[type[ScorelineError], ...] = ()


def contract_of(view: Callable[..., Any]) -> Contract:
    """The contract of a view; `functools.wraps` carries it through the decorators."""
    contract: Contract = view.__dict__.setdefault("contract", Contract())
    return contract


def raises(*errors: type[ScorelineError]) -> Callable[[View], View]:
    """Say which errors a view may raise beside those that its other decorators stand for."""

    def decorate(view: View) -> View:
        contract_of(view).errors += errors
        return view

    return decorate


def body(schema: type[Schema]) -> Callable[[View], View]:
    """Hand the view the request's JSON body as the keyword `body`, loaded by `schema`."""
    loader = schema()

    def decorate(view: View) -> View:
        contract_of(view).body = schema

        @wraps(view)
        def checked(**rest: Any) -> Any:
            content, finite = read_content()
            return view(**rest, body=_load(loader, content, finite=finite))

        return checked  # type: ignore[return-value]

    return decorate


def query(schema: type[Schema]) -> Callable[[View], View]:
    """Hand the view the query's parameters as the keyword `query`, loaded by `schema`."""
    loader = schema()

    def decorate(view: View) -> View:
        contract_of(view).query = schema

        @wraps(view)
        def checked(**rest: Any) -> Any:
            return view(**rest, query=_load_query(loader, request.query_string))

        return checked  # type: ignore[return-value]

    return decorate


def response(schema: type[Schema]) -> Callable[[View], View]:
    """Answer 200 with what the view returns, serialized by `schema`."""
    dumper = schema()

    def decorate(view: View) -> View:
        contract_of(view).response = schema

        @wraps(view)
        def answered(**rest: Any) -> Response:
            return Response(dumper.dumps(view(**rest)), content_type="application/json")

        return answered  # type: ignore[return-value]

    return decorate


def lines(schema: type[Schema]) -> Callable[[View], View]:
    """Stream the page that the view returns, a JSON text a line, with a link to what follows."""
    dumper = schema()

    def decorate(view: View) -> View:
        contract = contract_of(view)
        contract.response, contract.mimetype = schema, "application/jsonl"

        @wraps(view)
        def streamed(**rest: Any) -> Response:
            page: Page = view(**rest)
            chunks = _chunks(dumper, page)
            first = next(chunks)  # A store that does not answer is told before a 200 is.
            whole = breaking(chain([first], chunks), request.environ)
            answer = Response(whole, mimetype="application/jsonl")
            if page.next_after:
                answer.headers["Link"] = f'<{_next_url(page.next_after)}>; rel="next"'
            return answer

        return streamed  # type: ignore[return-value]

    return decorate


def json_response(content: Any, status: int = 200) -> Response:
    """Compact JSON in UTF-8."""
    return Response(jsontext.write(content), status, mimetype="application/json")


def _chunks(dumper: Schema, page: Page) -> Iterator[bytes]:
    """Lines joined to pieces of about CHUNK characters: few writes, flat memory."""
    waiting: list[str] = []
    length = 0
    for score in page.scores:
        line = dumper.dumps(score)
        waiting.append(f"{line}\n")
        length += len(line)
        if length > CHUNK:
            yield "".join(waiting).encode()
            waiting, length = [], 0
    yield "".join(waiting).encode()


def _next_url(after: str) -> str:
    """This request's address, continued after a score: the cursor takes the offset's place."""
    given = parse_qsl(request.query_string.decode("latin-1"), keep_blank_values=True)
    kept = [(name, value) for name, value in given if name not in ("after", "offset")]
    return f"{request.base_url}?{urlencode([*kept, ('after', after)])}"


def _load_query(loader: Schema, query_string: bytes) -> Any:
    """Load a query as FastAPI does: of a repeated parameter the last counts, or it is a list."""
    given: dict[str, list[str]] = {}
    for name, value in parse_qsl(query_string.decode("latin-1"), keep_blank_values=True):
        given.setdefault(name, []).append(value)
    content = {
        name: values if isinstance(loader.fields.get(name), TextList) else values[-1]
        for name, values in given.items()
    }
    try:
        return loader.load(content)
    except ValidationError as error:
        raise Invalid(field_errors(error, ("query",), content, None)) from None


def read_content() -> tuple[Any, bool]:
    """The body of this request, and whether all its numbers are finite."""
    try:
        return read_body(request), True
    except jsontext.NotFinite as error:
        return error.value, False


def _load(loader: Schema, content: Any, *, finite: bool) -> Any:
    """Load a body as FastAPI does; `None` is a missing body."""
    if content is None:
        raise Invalid([describe(MISSING, ("body",), None)])
    return load_object(loader, content, ("body",), finite=finite)


def load_object(loader: Schema, content: Any, loc: Loc, *, finite: bool) -> Any:
    """Load an object that stands at `loc`. Raises Invalid, with errors in the fields' order.

    An object with a number that is not finite is refused for the errors that FastAPI finds in it,
    where they can be written as JSON, else for that number.
    """
    try:
        loaded = _load_fields(loader, content, loc)
    except Invalid as error:
        if finite or jsontext.is_finite(error.errors):
            raise
        raise jsontext.NotFinite(content, loc) from None
    if not finite:
        raise jsontext.NotFinite(content, loc)
    return loaded


def _load_fields(loader: Schema, content: Any, loc: Loc) -> Any:
    if not isinstance(content, dict):
        raise Invalid([describe(NOT_AN_OBJECT, loc, content)])
    try:
        return loader.load(content)
    except ValidationError as error:
        # A field that is missing has no input of its own: FastAPI shows what it was missing in.
        raise Invalid(field_errors(error, loc, content, content)) from None


def field_errors(
    error: ValidationError, loc: Loc, content: dict[str, Any], missing: Any
) -> list[dict[str, Any]]:
    """FastAPI's errors of the fields at `loc`; a field that is not there shows `missing`."""
    return [
        describe(reason, (*loc, name), content.get(name, missing))
        for name, reasons in error.messages_dict.items()
        for reason in reasons
    ]


def describe(reason: Reason, loc: Loc, given: Any) -> dict[str, Any]:
    """One error of FastAPI's list, its keys in FastAPI's order."""
    ctx = {"ctx": reason.ctx} if reason.ctx else {}
    return {"type": reason.type, "loc": loc, "msg": str(reason), "input": given, **ctx}


log = logging.getLogger("scoreline.errors")

_RESET = struct.pack("ii", 1, 0)
"""SO_LINGER's «throw away what is not sent, and reset» when the connection is closed."""


def breaking(chunks: Iterator[bytes], environ: Mapping[str, Any]) -> Iterator[bytes]:
    """The chunks; an error of ours among them is logged in one line and ends the connection.

    A chunked answer then lacks its last chunk. HTTP/1.0 has no chunks, an end is an end there: the
    connection is reset. Raises ConnectionResetError: the worker closes at once.
    """
    try:
        yield from chunks
    except ScorelineError as error:
        log.error("an answer was broken off: %s", error)
        connection = environ.get("gunicorn.socket")
        if connection and environ["SERVER_PROTOCOL"] == "HTTP/1.0":
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        raise ConnectionResetError(errno.ECONNRESET, "broken off") from error
