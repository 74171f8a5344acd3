"""Load a batch from one body, JSON lines or a JSON object with a list; say what became of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import wraps
from io import BytesIO
from typing import Any

from flask import request
from marshmallow import Schema

from app import jsontext
from app.api.bodies import read_bytes, reject_encoded
from app.api.contract import View, contract_of
from app.api.idempotency import reused
from app.api.inputs import (
    MAX_ECHOED,
    MAX_ERRORS,
    NOT_AN_OBJECT,
    Loc,
    bounded,
    load_object,
    name_ignored,
    read_content,
    too_many_errors,
    validation_error,
)
from app.errors import Encoded, Invalid, Unreadable
from app.schemas.fields import MISSING, Reason
from app.schemas.query_fields import too_long
from app.services.scores import STORED
from app.stores.base import REFUSED, Kept

LINES = ("application/jsonl", "application/x-ndjson")
MAX_BATCH = 10_000
NOT_A_LIST = Reason("list_type", "Input should be a valid list")


@dataclass(frozen=True)
class Kind:
    """What the elements of a batch are called in results and errors."""

    noun: str
    id_field: str
    large_field: str
    """The field that errors name if an element is too large for the store."""


SCORE = Kind("score", "score_id", "value")
PREDICTION = Kind("prediction", "prediction_id", "output")

Refusal = dict[str, Any]
"""The error of an element that the store refused."""


@dataclass(frozen=True)
class Element:
    """One element of a batch with its location, and either its loaded body or its errors.

    `num_errors` counts all errors; `errors` is empty if they were not kept.
    """

    loc: Loc
    body: dict[str, Any] | None
    errors: Sequence[dict[str, Any]] = ()
    num_errors: int = 0


class Batch(list[Element]):
    """The elements of a batch, in the order sent."""

    @property
    def bodies(self) -> list[dict[str, Any]]:
        """The bodies of the valid elements."""
        return [element.body for element in self if element.body is not None]

    def reject_invalid(self) -> None:
        """Raise Invalid if any element has errors."""
        errors = [error for element in self for error in element.errors]
        if errors:
            raise Invalid(errors, sum(element.num_errors for element in self) - len(errors))

    def reject_refused(self, kind: Kind, outcomes: Iterable[Kept]) -> None:
        """Raise Invalid if the store refused elements of a batch that is all valid."""
        pairs = zip(self, outcomes, strict=True)
        refused = [(element, kept) for element, kept in pairs if kept in REFUSED]
        if refused:
            errors = [refusal(kind, element, kept) for element, kept in refused[:MAX_ERRORS]]
            raise Invalid(errors, len(refused) - len(errors))

    def results(self, kind: Kind, outcomes: Iterable[tuple[Kept, str]]) -> Results:
        """Return the result of each element; `outcomes` are what was done with the valid ones."""
        results = Results()
        left = iter(outcomes)
        for element in self:
            kept, stored_id = next(left) if element.body is not None else (None, "")
            if kept in STORED:
                results.add_id(kind.id_field, stored_id)
            else:
                results.add_errors(element, refusal(kind, element, kept) if kept else None)
        return results


def partial_response(results: Results, num_replayed: int) -> dict[str, Any]:
    """Return the response to a batch of which the valid elements were stored."""
    return {
        "results": results,
        "num_created": results.num_ids,
        "num_replayed": num_replayed,
        "num_failed": len(results) - results.num_ids,
    }


def refusal(kind: Kind, element: Element, kept: Kept) -> Refusal:
    """Return the error of an element that the store refused."""
    body = element.body or {}
    if kept is Kept.KEY_TAKEN:
        return reused((*element.loc, "idempotency_key"), body["idempotency_key"])
    if kept is Kept.TOO_LARGE:
        reason = Reason("too_large", f"The {kind.noun} is too large for the store")
        return validation_error(reason, (*element.loc, kind.large_field), None)
    # The message does not reveal which project the other one is in.
    name = kind.id_field
    reason = Reason(f"{name}_taken", f"Another {kind.noun} has this {name}")
    return validation_error(reason, (*element.loc, name), body[name])


class Results(list[dict[str, Any]]):
    """The result of each element of a batch: its id or its errors.

    The first MAX_ERRORS rejected elements have all their errors, unless these echo too much input.
    Every later one has a single error with their number.
    """

    def __init__(self) -> None:
        super().__init__()
        self.num_ids = 0
        self._lists, self._characters = MAX_ERRORS, MAX_ECHOED

    def add_id(self, id_field: str, stored_id: str) -> None:
        """Add the result of an element that is stored."""
        self.num_ids += 1
        self.append({id_field: stored_id})

    def add_errors(self, element: Element, refused: Refusal | None = None) -> None:
        """Add the result of an element that is invalid, or that the store refused."""
        errors, num_errors = ([refused], 1) if refused else (element.errors, element.num_errors)
        if not self._lists or self._characters <= 0:
            self.append({"detail": [too_many_errors(num_errors)]})
            return
        detail = bounded(errors, num_errors - len(errors))
        self._lists -= 1
        self._characters -= len(jsontext.write(detail))
        self.append({"detail": detail})


def batch(line: type[Schema], body: type[Schema], most: int) -> Callable[[View], View]:
    """Pass the elements in the body to the view as `batch`.

    The body is JSON lines, or an object with a list; `line` is the schema of one element, and
    `body` that of the object, whose only field is the list. Raises Invalid if the body is not a
    batch or has more than `most` elements. Errors of single elements are left to the view.
    """
    loader = line()
    (name,) = body().fields

    def decorate(view: View) -> View:
        contract = contract_of(view)
        contract.body, contract.line = body, line
        contract.errors += (Encoded,)

        @wraps(view)
        def wrapper(**rest: Any) -> Any:
            reject_encoded(request)
            return view(**rest, batch=Batch(_elements(loader, name, most)))

        return wrapper  # type: ignore[return-value]

    return decorate


def _elements(loader: Schema, name: str, most: int) -> Iterator[Element]:
    """Yield the elements of the body, with errors for only the first MAX_ERRORS invalid ones."""
    refused = 0
    for element in _all_elements(loader, name, most):
        refused += bool(element.errors)
        yield replace(element, errors=()) if refused > MAX_ERRORS else element


def _all_elements(loader: Schema, name: str, most: int) -> Iterator[Element]:
    if request.mimetype in LINES:
        for number, text in enumerate(_lines(most)):
            yield _line(loader, text, ("body", number))
        return
    elements, finite = _listed(name, most)
    for number, element in enumerate(elements):
        loc = ("body", name, number)
        yield _checked(loader, element, loc, finite or jsontext.is_finite(element))


def _lines(most: int) -> list[bytes]:
    """Return the lines of the body that are not blank. Raises Invalid if there are too many."""
    texts: list[bytes] = []
    found = 0
    for text in BytesIO(read_bytes(request)):
        if text.strip():
            found += 1
            if found <= most:
                texts.append(text.removesuffix(b"\n"))
    if found > most:
        raise Invalid([validation_error(too_long(most, found), ("body",), None)])
    return texts


def _listed(name: str, most: int) -> tuple[list[Any], bool]:
    """Return the unvalidated list in the body, and whether all numbers in it are finite."""
    content, finite = read_content()
    if content is None:
        raise Invalid([validation_error(MISSING, ("body",), None)])
    if not isinstance(content, dict):
        raise Invalid([validation_error(NOT_AN_OBJECT, ("body",), content)])
    loc = ("body", name)
    if name not in content:
        raise Invalid([validation_error(MISSING, loc, content)])
    name_ignored(content, {name})
    elements = content[name]
    if not isinstance(elements, list):
        raise Invalid([validation_error(NOT_A_LIST, loc, elements)])
    if len(elements) > most:
        raise Invalid([validation_error(too_long(most, len(elements)), loc, elements)])
    if not finite and jsontext.is_finite(elements):
        raise jsontext.NotFinite(content)  # The number is outside of the list.
    return elements, finite


def _line(loader: Schema, text: bytes, loc: Loc) -> Element:
    try:
        return _checked(loader, jsontext.read(text), loc, finite=True)
    except jsontext.NotFinite as error:
        return _checked(loader, error.value, loc, finite=False)
    except Invalid as error:
        return _refused(loc, [{**each, "loc": (*loc, *each["loc"][1:])} for each in error.errors])
    except Unreadable as error:
        reason = Reason("json_invalid", "JSON decode error", {"error": str(error)})
        return _refused(loc, [validation_error(reason, loc, {})])


def _checked(loader: Schema, content: Any, loc: Loc, finite: bool) -> Element:
    try:
        return Element(loc, load_object(loader, content, loc, finite=finite))
    except Invalid as error:
        return _refused(loc, error.errors)


def _refused(loc: Loc, errors: Sequence[dict[str, Any]]) -> Element:
    return Element(loc, None, errors, len(errors))
