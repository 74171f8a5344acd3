"""A batch of scores in one body: an object with a list, or one JSON text a line."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import Any

from flask import request
from marshmallow import Schema

from app import jsontext
from app.api.bodies import read_bytes, refuse_encoded
from app.api.contract import View, contract_of
from app.api.idempotency import reused
from app.api.inputs import NOT_AN_OBJECT, Loc, load_object, read_content, validation_error
from app.errors import Encoded, Invalid, Unreadable
from app.schemas.fields import MISSING, Reason
from app.schemas.query_fields import too_long
from app.services.scores import Created

LINES = ("application/jsonl", "application/x-ndjson")
NOT_A_LIST = Reason("list_type", "Input should be a valid list")


@dataclass(frozen=True)
class Item:
    """One score of a batch, at its place: what it was loaded to, or what is wrong with it."""

    loc: Loc
    body: dict[str, Any] | None
    errors: list[dict[str, Any]]


class Items(list[Item]):
    """The scores of a batch in the order sent."""

    @property
    def bodies(self) -> list[dict[str, Any]]:
        """The valid ones."""
        return [item.body for item in self if item.body is not None]

    def refuse_invalid(self) -> None:
        """Raise Invalid with all errors, when there are any."""
        errors = [error for item in self for error in item.errors]
        if errors:
            raise Invalid(errors)

    def refuse_reused(self, created: Created) -> None:
        """Raise Invalid with the own keys that were sent before with other content."""
        results = map(_result, self, created.score_ids)
        errors = [error for result in results for error in result.get("detail", ())]
        if errors:
            raise Invalid(errors)

    def results(self, created: Created) -> dict[str, Any]:
        """What became of each one; `created` tells of the valid ones."""
        score_ids = iter(created.score_ids)
        results = [
            {"detail": item.errors} if item.body is None else _result(item, next(score_ids))
            for item in self
        ]
        num_created = sum("score_id" in result for result in results)
        num_failed = len(results) - num_created
        return {"results": results, "num_created": num_created, "num_failed": num_failed}


def _result(item: Item, score_id: str | None) -> dict[str, Any]:
    if score_id is not None:
        return {"score_id": score_id}
    key = (item.body or {})["idempotency_key"]
    return {"detail": [reused((*item.loc, "idempotency_key"), key)]}


def batch(item: type[Schema], body: type[Schema], most: int) -> Callable[[View], View]:
    """Hand the view the items of the request's body as the keyword `items`.

    The body is an object whose list is called `scores`, each of the shape `item`, or lines of that
    shape; `body` documents the object. Raises Invalid where the body is no batch at all.
    """
    loader = item()

    def decorate(view: View) -> View:
        contract = contract_of(view)
        contract.body, contract.line = body, item
        contract.errors += (Encoded,)

        @wraps(view)
        def checked(**rest: Any) -> Any:
            refuse_encoded(request)
            return view(**rest, items=Items(_items(loader, most)))

        return checked  # type: ignore[return-value]

    return decorate


def _items(loader: Schema, most: int) -> list[Item]:
    if request.mimetype in LINES:
        texts = [text for text in read_bytes(request).split(b"\n") if text.strip()]
        _check_length(texts, most, ("body",), shown=None)
        return [_line(loader, text, ("body", number)) for number, text in enumerate(texts)]
    scores, finite = _listed(most)
    return [
        _checked(loader, score, ("body", "scores", number), finite or jsontext.is_finite(score))
        for number, score in enumerate(scores)
    ]


def _listed(most: int) -> tuple[list[Any], bool]:
    """The list in the body, its items still unchecked, and whether all numbers are finite."""
    content, finite = read_content()
    if content is None:
        raise Invalid([validation_error(MISSING, ("body",), None)])
    if not isinstance(content, dict):
        raise Invalid([validation_error(NOT_AN_OBJECT, ("body",), content)])
    loc = ("body", "scores")
    if "scores" not in content:
        raise Invalid([validation_error(MISSING, loc, content)])
    scores = content["scores"]
    if not isinstance(scores, list):
        raise Invalid([validation_error(NOT_A_LIST, loc, scores)])
    _check_length(scores, most, loc, shown=scores)
    if not finite and jsontext.is_finite(scores):
        raise jsontext.NotFinite(content)  # The number stands beside the scores.
    return scores, finite


def _check_length(items: list[Any], most: int, loc: Loc, *, shown: Any) -> None:
    if len(items) > most:
        raise Invalid([validation_error(too_long(most, len(items)), loc, shown)])


def _line(loader: Schema, text: bytes, loc: Loc) -> Item:
    try:
        return _checked(loader, jsontext.read(text), loc, finite=True)
    except jsontext.NotFinite as error:
        return _checked(loader, error.value, loc, finite=False)
    except Invalid as error:
        return Item(loc, None, [{**each, "loc": (*loc, *each["loc"][1:])} for each in error.errors])
    except Unreadable as error:
        reason = Reason("json_invalid", "JSON decode error", {"error": str(error)})
        return Item(loc, None, [validation_error(reason, loc, {})])


def _checked(loader: Schema, content: Any, loc: Loc, finite: bool) -> Item:
    try:
        return Item(loc, load_object(loader, content, loc, finite=finite), [])
    except Invalid as error:
        return Item(loc, None, error.errors)
