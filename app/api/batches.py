"""Load a batch of scores from one body, a JSON object with a list or JSON lines."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
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
from app.services.scores import STORED, Created
from app.stores.base import Kept, Outcome

LINES = ("application/jsonl", "application/x-ndjson")
NOT_A_LIST = Reason("list_type", "Input should be a valid list")
TOO_LARGE = Reason("too_large", "The score is too large for the store")


@dataclass(frozen=True)
class BatchScore:
    """One score of a batch with its location, and either its loaded body or its errors.

    `num_errors` counts all errors; `errors` is empty if they were not kept.
    """

    loc: Loc
    body: dict[str, Any] | None
    errors: Sequence[dict[str, Any]] = ()
    num_errors: int = 0


class Batch(list[BatchScore]):
    """The scores of a batch, in the order sent."""

    @property
    def bodies(self) -> list[dict[str, Any]]:
        """The bodies of the valid scores."""
        return [score.body for score in self if score.body is not None]

    def reject_invalid(self) -> None:
        """Raise Invalid if any score has errors."""
        errors = [error for score in self for error in score.errors]
        if errors:
            raise Invalid(errors, sum(score.num_errors for score in self) - len(errors))

    def reject_reused(self, created: Created) -> None:
        """Raise Invalid if an idempotency key of a score was used before with other content."""
        outcomes = zip(self, created.outcomes, strict=True)
        reused_keys = [score for score, outcome in outcomes if outcome.kept is Kept.KEY_TAKEN]
        if reused_keys:
            kept = map(_reused, reused_keys[:MAX_ERRORS])
            raise Invalid(list(kept), len(reused_keys[MAX_ERRORS:]))

    def results(self, created: Created) -> dict[str, Any]:
        """Return the result of each score; `created` has the outcomes of the valid ones."""
        results = Results()
        outcomes = iter(created.outcomes)
        for score in self:
            outcome = next(outcomes) if score.body is not None else None
            if outcome is not None and outcome.kept in STORED:
                results.add_id(outcome.score_id)
            else:
                results.add_errors(score, _refusal(score, outcome))
        return {
            "results": results,
            "num_created": results.num_ids,
            "num_replayed": created.num_replayed,
            "num_failed": len(results) - results.num_ids,
        }


def _refusal(score: BatchScore, outcome: Outcome | None) -> dict[str, Any] | None:
    if outcome is None:
        return None
    if outcome.kept is Kept.TOO_LARGE:
        return validation_error(TOO_LARGE, (*score.loc, "value"), None)
    return _reused(score)


def _reused(score: BatchScore) -> dict[str, Any]:
    return reused((*score.loc, "idempotency_key"), (score.body or {})["idempotency_key"])


class Results(list[dict[str, Any]]):
    """The result of each score of a batch: its id or its errors.

    The first MAX_ERRORS rejected scores have all their errors, unless these echo too much input.
    Every later one has a single error with their number.
    """

    def __init__(self) -> None:
        super().__init__()
        self.num_ids = 0
        self._lists, self._characters = MAX_ERRORS, MAX_ECHOED

    def add_id(self, score_id: str) -> None:
        """Add the result of a score that is stored."""
        self.num_ids += 1
        self.append({"score_id": score_id})

    def add_errors(self, score: BatchScore, refusal: dict[str, Any] | None = None) -> None:
        """Add the result of a score that is invalid, or that the store refused with `refusal`."""
        errors, num_errors = ([refusal], 1) if refusal else (score.errors, score.num_errors)
        if not self._lists or self._characters <= 0:
            self.append({"detail": [too_many_errors(num_errors)]})
            return
        detail = bounded(errors, num_errors - len(errors))
        self._lists -= 1
        self._characters -= len(jsontext.write(detail))
        self.append({"detail": detail})


def batch(line: type[Schema], body: type[Schema], most: int) -> Callable[[View], View]:
    """Pass the scores in the body to the view as `batch`.

    The body is an object with a list `scores`, or JSON lines; `line` is the schema of one score and
    `body` that of the object. Raises Invalid if the body is not a batch or has more than `most`
    scores. Errors of single scores are left to the view.
    """
    loader = line()

    def decorate(view: View) -> View:
        contract = contract_of(view)
        contract.body, contract.line = body, line
        contract.errors += (Encoded,)

        @wraps(view)
        def wrapper(**rest: Any) -> Any:
            reject_encoded(request)
            return view(**rest, batch=Batch(_scores(loader, most)))

        return wrapper  # type: ignore[return-value]

    return decorate


def _scores(loader: Schema, most: int) -> Iterator[BatchScore]:
    """Yield the scores of the body, with errors for only the first MAX_ERRORS invalid ones."""
    refused = 0
    for score in _all_scores(loader, most):
        refused += bool(score.errors)
        yield replace(score, errors=()) if refused > MAX_ERRORS else score


def _all_scores(loader: Schema, most: int) -> Iterator[BatchScore]:
    if request.mimetype in LINES:
        for number, text in enumerate(_lines(most)):
            yield _line(loader, text, ("body", number))
        return
    scores, finite = _listed(most)
    for number, score in enumerate(scores):
        loc = ("body", "scores", number)
        yield _checked(loader, score, loc, finite or jsontext.is_finite(score))


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


def _listed(most: int) -> tuple[list[Any], bool]:
    """Return the unvalidated list in the body, and whether all numbers in it are finite."""
    content, finite = read_content()
    if content is None:
        raise Invalid([validation_error(MISSING, ("body",), None)])
    if not isinstance(content, dict):
        raise Invalid([validation_error(NOT_AN_OBJECT, ("body",), content)])
    loc = ("body", "scores")
    if "scores" not in content:
        raise Invalid([validation_error(MISSING, loc, content)])
    name_ignored(content, {"scores"})
    scores = content["scores"]
    if not isinstance(scores, list):
        raise Invalid([validation_error(NOT_A_LIST, loc, scores)])
    if len(scores) > most:
        raise Invalid([validation_error(too_long(most, len(scores)), loc, scores)])
    if not finite and jsontext.is_finite(scores):
        raise jsontext.NotFinite(content)  # The number is outside of the scores.
    return scores, finite


def _line(loader: Schema, text: bytes, loc: Loc) -> BatchScore:
    try:
        return _checked(loader, jsontext.read(text), loc, finite=True)
    except jsontext.NotFinite as error:
        return _checked(loader, error.value, loc, finite=False)
    except Invalid as error:
        return _refused(loc, [{**each, "loc": (*loc, *each["loc"][1:])} for each in error.errors])
    except Unreadable as error:
        reason = Reason("json_invalid", "JSON decode error", {"error": str(error)})
        return _refused(loc, [validation_error(reason, loc, {})])


def _checked(loader: Schema, content: Any, loc: Loc, finite: bool) -> BatchScore:
    try:
        return BatchScore(loc, load_object(loader, content, loc, finite=finite))
    except Invalid as error:
        return _refused(loc, error.errors)


def _refused(loc: Loc, errors: Sequence[dict[str, Any]]) -> BatchScore:
    return BatchScore(loc, None, errors, len(errors))
