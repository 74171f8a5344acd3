"""Load a batch from one body, JSON lines or a JSON object with a list; say what became of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import wraps
from io import BytesIO
from typing import Any

from flask import request
from marshmallow import INCLUDE, Schema
from marshmallow.fields import Field

from app import jsontext
from app.api.bodies import read_bytes, reject_encoded
from app.api.contract import LineSchema, View, contract_of
from app.api.idempotency import mark_replayed, mark_response, reused
from app.api.inputs import (
    MAX_ECHOED,
    MAX_ERRORS,
    Loc,
    bounded,
    load_object,
    name_ignored,
    read_content,
    too_many_errors,
    validation_error,
    writable,
)
from app.errors import Encoded, Invalid, Unreadable
from app.schemas.fields import MISSING, NOT_A_LIST, NOT_AN_OBJECT, Choice, Reason
from app.schemas.query_fields import too_long
from app.stores.base import REFUSED, Kept, Outcome

LINES = ("application/jsonl", "application/x-ndjson")
MAX_BATCH = 10_000


@dataclass(frozen=True)
class Kind:
    """What the elements of a batch are called in results and errors."""

    noun: str
    id_field: str
    large_field: str
    """The field that errors name if an element is too large for the store."""


SCORE = Kind("score", "score_id", "value")
RUN = Kind("evaluation run", "evaluation_run_id", "summary")
PREDICTION = Kind("prediction", "prediction_id", "output")


@dataclass(frozen=True)
class Element:
    """One element of a batch with its location, and either its loaded body or its errors.

    `num_errors` counts all errors; `errors` is empty if they were not kept.
    """

    kind: Kind
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

    def reject_refused(self, outcomes: Iterable[Outcome]) -> None:
        """Raise Invalid if the store refused elements of a batch that is all valid."""
        pairs = zip(self, outcomes, strict=True)
        refused = [(element, each.kept) for element, each in pairs if each.kept in REFUSED]
        if refused:
            errors = [_refusal(element, kept) for element, kept in refused[:MAX_ERRORS]]
            raise Invalid(errors, len(refused) - len(errors))

    def results(self, outcomes: Iterable[Outcome]) -> Results:
        """Return the result of each element; `outcomes` are what was done with the valid ones."""
        results = Results()
        left = iter(outcomes)
        for element in self:
            outcome = None if element.body is None else next(left)
            if outcome is None:
                results.add_errors(element)
            elif outcome.kept in (Kept.CREATED, Kept.REPLAYED, Kept.PRESENT):
                results.add_id(element.kind, outcome.id)
            else:
                results.add_errors(element, _refusal(element, outcome.kept))
        return results


def store_batch(
    batch: Batch,
    kind: Kind,
    create: Callable[[list[dict[str, Any]]], list[Outcome]],
    *,
    partial: bool,
) -> dict[str, Any]:
    """Store a batch of one kind with `create`, and return the response.

    Without `partial`, raises Invalid if an element is invalid, or refused by the store.
    """
    if not partial:
        batch.reject_invalid()
    outcomes = create(batch.bodies)
    if not partial:
        batch.reject_refused(outcomes)
    num_replayed = mark_replayed(outcomes, are_scores=kind is SCORE)
    if not partial:
        ids = [each.id for each in outcomes]
        return {f"{kind.id_field}s": ids, "num_created": len(ids)}
    results = batch.results(outcomes)
    return {
        "results": results,
        "num_created": results.num_ids,
        "num_replayed": num_replayed,
        "num_failed": len(results) - results.num_ids,
    }


def import_response(batch: Batch, outcomes: list[Outcome]) -> dict[str, Any]:
    """Return the response to an import; `outcomes` are those of the valid elements.

    It repeats the response of the import with the same idempotency key, if there was one.
    """
    kept = [each.kept for each in outcomes]
    num_replayed, num_new = kept.count(Kept.REPLAYED), kept.count(Kept.CREATED)
    if num_replayed and not num_new:
        mark_response()
    results = batch.results(outcomes)
    return {
        "num_created": num_new + num_replayed,
        "num_present": kept.count(Kept.PRESENT),
        "num_failed": len(results) - results.num_ids,
        "results": results,
    }


def _refusal(element: Element, kept: Kept) -> dict[str, Any]:
    """Return the error of an element that the store refused."""
    kind, body = element.kind, element.body or {}
    if kept is Kept.KEY_TAKEN:
        return reused((*element.loc, "idempotency_key"), body["idempotency_key"])
    if kept is Kept.TOO_LARGE:
        reason = Reason("too_large", f"The {kind.noun} is too large for the store")
        return validation_error(reason, (*element.loc, kind.large_field), None)
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

    def add_id(self, kind: Kind, stored_id: str) -> None:
        """Add the result of an element that is stored."""
        self.num_ids += 1
        self.append({kind.id_field: stored_id})

    def add_errors(self, element: Element, refused: dict[str, Any] | None = None) -> None:
        """Add the result of an element that is invalid, or that the store refused."""
        errors, num_errors = ([refused], 1) if refused else (element.errors, element.num_errors)
        if not self._lists or self._characters <= 0:
            self.append({"detail": [too_many_errors(num_errors)]})
            return
        detail = bounded(errors, num_errors - len(errors))
        self._lists -= 1
        self._characters -= len(jsontext.write(detail))
        self.append({"detail": detail})


Choose = Callable[[Any], tuple[Kind, Schema]]
"""A function that returns the kind of an element that was parsed, and the schema to load it."""


def batch(kind: Kind, line: type[Schema], body: type[Schema]) -> Callable[[View], View]:
    """Pass the elements in the body to the view as `batch`.

    The body is JSON lines, or an object with a list; `line` is the schema of one element, and
    `body` that of the object, whose only field is the list. Raises Invalid if the body is not a
    batch or has more than MAX_BATCH elements. Errors of single elements are left to the view.
    """
    loader = line()
    (name,) = body().fields

    def choose(_: Any) -> tuple[Kind, Schema]:
        return kind, loader

    def read() -> Iterator[Element]:
        return _lines(choose) if request.mimetype in LINES else _listed(choose, name)

    def decorate(view: View) -> View:
        contract_of(view).body = body
        return _with_batch(view, read, line)

    return decorate


def lines_of_kinds(kinds: Mapping[str, tuple[Kind, type[Schema]]]) -> Callable[[View], View]:
    """Pass the JSON lines in the body to the view as `batch`; the field `kind` says what each is.

    The body is read as lines whatever its Content-Type is. Raises Invalid if it has more than
    MAX_BATCH lines. Errors of single lines are left to the view.
    """
    loaders = {name: (kind, schema()) for name, (kind, schema) in kinds.items()}
    kind_alone: dict[str, Field[Any]] = {"kind": Choice("", tuple(kinds), required=True)}
    unknown = (SCORE, Schema.from_dict(kind_alone)(unknown=INCLUDE))  # Always an error.

    def choose(content: Any) -> tuple[Kind, Schema]:
        name = content.get("kind") if isinstance(content, dict) else None
        return loaders.get(name, unknown) if isinstance(name, str) else unknown

    def decorate(view: View) -> View:
        schemas = tuple(schema for _, schema in kinds.values())
        return _with_batch(view, lambda: _lines(choose), schemas)

    return decorate


def _with_batch(view: View, read: Callable[[], Iterator[Element]], line: LineSchema) -> View:
    contract = contract_of(view)
    contract.line = line
    contract.errors += (Encoded,)

    @wraps(view)
    def wrapper(**rest: Any) -> Any:
        reject_encoded(request)
        return view(**rest, batch=Batch(with_few_errors(read())))

    return wrapper  # type: ignore[return-value]


def with_few_errors(elements: Iterator[Element]) -> Iterator[Element]:
    """Yield the elements, with errors for only the first MAX_ERRORS invalid ones."""
    refused = 0
    for element in elements:
        refused += bool(element.errors)
        yield replace(element, errors=()) if refused > MAX_ERRORS else element


def _lines(choose: Choose) -> Iterator[Element]:
    """Yield the lines of the body that are not blank. Raises Invalid if there are too many."""
    texts: list[bytes] = []
    found = 0
    for text in BytesIO(read_bytes(request)):
        if text.strip():
            found += 1
            if found <= MAX_BATCH:
                texts.append(text.removesuffix(b"\n"))
    if found > MAX_BATCH:
        raise Invalid([validation_error(too_long(MAX_BATCH, found), ("body",), None)])
    for number, text in enumerate(texts):
        yield _line(choose, text, ("body", number))


def _listed(choose: Choose, name: str) -> Iterator[Element]:
    """Yield the elements of the list in the body. Raises Invalid and NotFinite."""
    content, finite = read_content()
    try:
        elements = _list_in(content, name)
    except Invalid as error:
        raise error if finite else writable(error, content, ("body",)) from None
    if not finite and jsontext.is_finite(elements):
        raise jsontext.NotFinite(content)  # The number is outside of the list.
    for number, element in enumerate(elements):
        place = ("body", name, number)
        yield _checked(choose, element, place, finite or jsontext.is_finite(element))


def _list_in(content: Any, name: str) -> list[Any]:
    """Return the list that is the field `name` of a body. Raises Invalid."""
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
    if len(elements) > MAX_BATCH:
        raise Invalid([validation_error(too_long(MAX_BATCH, len(elements)), loc, elements)])
    return elements


def _line(choose: Choose, text: bytes, loc: Loc) -> Element:
    try:
        return _checked(choose, jsontext.read(text), loc, finite=True)
    except jsontext.NotFinite as error:
        return _checked(choose, error.value, loc, finite=False)
    except Invalid as error:
        errors = [{**each, "loc": (*loc, *each["loc"][1:])} for each in error.errors]
    except Unreadable as error:
        reason = Reason("json_invalid", "JSON decode error", {"error": str(error)})
        errors = [validation_error(reason, loc, {})]
    kind, _ = choose(None)
    return Element(kind, loc, None, errors, len(errors))


def _checked(choose: Choose, content: Any, loc: Loc, finite: bool) -> Element:
    kind, loader = choose(content)
    try:
        return Element(kind, loc, load_object(loader, content, loc, finite=finite))
    except Invalid as error:
        return Element(kind, loc, None, error.errors, len(error.errors))
