"""Read a prediction and its scores from its calls and feedback, as far as these have arrived."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any
from urllib.parse import unquote

from app import jsontext
from app.scorers import scorer_name
from app.stores.weave import Call, Feedback
from app.weave.judgements import Judgement, has_text_of_object, judgements_of, with_objects
from app.weave.lazy_json import LazyObject, read_object

EVALUATE = "Evaluation.evaluate"
PREDICT_AND_SCORE = frozenset({"Evaluation.predict_and_score", "Evaluation.predictAndScore"})

RUNNABLE, ANNOTATION = "wandb.runnable.", "wandb.annotation."
"""Prefixes of the types of feedback that are scores; the scorer's name follows."""

_NAMELESS = "score_method"
"""The function of a scorer without a name in an EvaluationLogger."""

_OP = re.compile(r"weave:///[^/]+/[^/]+/op/([^/:]+):[^/]*")
_ROW = re.compile(r".*/attr/rows/id/([^/]+)")


def parse(text: str | None) -> dict[str, Any]:
    """Return the object in a text that is known to be JSON, empty if it is too deep to be read."""
    found = jsontext.read_leniently(text) if text else {}
    return found if isinstance(found, dict) else {}


ENDING = frozenset({"ended_at", "output", "exception", "summary"})
"""The fields that a call's end decides; others only if its start has not got them."""


def merged(start_json: str | None, end_json: str | None) -> dict[str, Any]:
    """Return the fields of a call's start and end together."""
    start, end = parse(start_json), parse(end_json)
    return start | {
        name: value
        for name, value in end.items()
        if value is not None and (name in ENDING or start.get(name) is None)
    }


def text_of(value: Any) -> str | None:
    """Return a value that is text, without lone surrogates, because a store keeps it as a name."""
    return jsontext.without_surrogates(value) if isinstance(value, str) else None


class CallFacts:
    """A call, with the fields of its start and its end together."""

    def __init__(self, call: Call) -> None:
        self.call = call

    @cached_property
    def fields(self) -> LazyObject:
        """The fields that were sent, as `merged` returns them."""
        start, end = (
            read_object(text or "{}") for text in (self.call.start_json, self.call.end_json)
        )
        ending = {
            name: part
            for name, part in end.parts.items()
            if end.has(name) and (name in ENDING or not start.has(name))
        }
        return LazyObject({**start.parts, **ending})

    def object(self, name: str) -> LazyObject:
        """Return the field `name` if it is an object, otherwise an empty one."""
        return self.fields.object(name)

    def text(self, name: str) -> str | None:
        """Return the field `name` if it is text."""
        return text_of(self.fields.text(name))

    @cached_property
    def inputs(self) -> LazyObject:
        """The inputs by name."""
        return self.object("inputs")

    @property
    def output(self) -> Any:
        """The output, None before there is one."""
        return self.fields.get("output")

    @property
    def error(self) -> str | None:
        """Why the call failed, without the traceback, or None."""
        return message_of(self.fields.get("exception"))

    @property
    def marked_model(self) -> str | None:
        """The model of a call whose attributes say that it predicts, outside of an evaluation."""
        weave = self.object("attributes").get("weave")
        if self.call.parent_id or not isinstance(weave, dict) or not weave.get("prediction"):
            return None
        return text_of(weave.get("model")) or ""

    @property
    def is_marked_as_score(self) -> bool:
        """Whether its attributes say that the call scores."""
        attributes = self.object("attributes")
        meta, weave = attributes.get("_weave_eval_meta"), attributes.get("weave")
        return (isinstance(meta, dict) and bool(meta.get("score"))) or (
            isinstance(weave, dict) and (weave.get("kind") == "scorer" or bool(weave.get("score")))
        )

    def began_before(self, other: CallFacts) -> bool:
        """Return whether this call began before another one, as far as is known."""
        began, others = self.call.started_at, other.call.started_at
        return began is not None and others is not None and began < others

    @property
    def order(self) -> tuple[Any, ...]:
        """The order in which calls began."""
        return (self.call.started_at is None, self.call.started_at, self.call.id)


def message_of(exception: Any) -> str | None:
    """Return `TYPE: MESSAGE` of an exception of the Python SDK, and another one as it is."""
    if exception is None:
        return None
    if not isinstance(exception, str):
        return json.dumps(exception)
    try:
        found = json.loads(exception)
        message = f"{found['type']}: {found['message']}"
    except (ValueError, KeyError, TypeError, RecursionError):
        message = exception
    return jsontext.without_surrogates(message)


def op_of(call: Call) -> str:
    """Return the name of the op of a call, without its version."""
    return op_name_of(call.op_name)


def op_name_of(ref: str | None) -> str:
    """Return the name in a reference of an op, and a bare name as it is."""
    match = _OP.fullmatch(ref or "")
    return unquote(match[1]) if match else ref or ""


def is_of_evaluation(call: Call) -> bool:
    """Return whether a call evaluates, or predicts and scores."""
    return op_of(call) == EVALUATE or op_of(call) in PREDICT_AND_SCORE


@dataclass
class PredictionFacts:
    """A call that predicts and scores, its children, and the feedback on all of them."""

    call: CallFacts
    children: list[CallFacts] = field(default_factory=list)
    feedback: list[Feedback] = field(default_factory=list)
    row_json: str | None = None
    """The example's row, if the example is a row that has arrived."""
    meant_feedback: list[Feedback] | None = None
    """The feedback with meanings in place of references, if it is not the same."""
    objects: dict[str, Any] = field(default_factory=dict)
    """The objects to which its outputs have references, by reference."""
    missing_row: str | None = None
    """The digest of a row that has not arrived, to which its outputs have references."""

    @property
    def id(self) -> str:
        """The id of the call."""
        return self.call.call.id

    @property
    def documents(self) -> list[Call | Feedback]:
        """All that is stored of the prediction."""
        return [self.call.call, *(each.call for each in self.children), *self.feedback]

    @property
    def has_ended(self) -> bool:
        """Whether the call has ended."""
        return self.call.call.ended_at is not None

    @property
    def is_imperative(self) -> bool:
        """Whether an EvaluationLogger made the call, whose times are not those of the model."""
        meta = self.call.object("attributes").get("_weave_eval_meta")
        return isinstance(meta, dict) and bool(meta.get("imperative"))

    @property
    def model(self) -> str:
        """The reference of the model."""
        return text_of(self.call.inputs.text("model")) or ""

    @property
    def row_digest(self) -> str | None:
        """The digest of the example's row, if the example is a row of a table."""
        match = _ROW.fullmatch(text_of(self.call.inputs.text("example")) or "")
        return match[1] if match else None

    @property
    def awaited_row(self) -> str | None:
        """The digest of the example's row, or of another one, if that has not arrived."""
        return self.missing_row if self.row_json else self.row_digest or self.missing_row

    @property
    def inline_example(self) -> dict[str, Any]:
        """The example, if it was sent itself."""
        example = self.call.inputs.get("example")
        return example if isinstance(example, dict) else {}

    @cached_property
    def predict(self) -> CallFacts | None:
        """The model's call, if it is known which of the children it is."""
        return self._find_model(may_guess=self.has_ended and not self.model)

    def _find_model(self, *, may_guess: bool) -> CallFacts | None:
        """Return the model's call, or the first that scores nothing if that may be guessed.

        Children that another owner's key sent count only after the end of the call, if none of the
        same owner is it.
        """
        owner = self.call.call.wb_user_id
        own = [child for child in self.children if child.call.wb_user_id == owner]
        others = [
            child for child in self.children if child.call.wb_user_id != owner and self.has_ended
        ]
        return self._model_among(own, may_guess) or self._model_among(others, may_guess)

    def _model_among(self, children: Sequence[CallFacts], may_guess: bool) -> CallFacts | None:
        owner = self.call.call.wb_user_id
        judged = {
            each.call_id
            for each in self.feedback
            if _is(each, RUNNABLE) and each.wb_user_id == owner
        }
        for child in children:
            if self._is_of_model(child) or child.call.id in judged:
                return child
        if not may_guess:
            return None
        scored = {_tail(parse(each.body_json).get("call_ref")) for each in self.feedback}
        others = (child for child in children if child.call.id not in scored)
        return next((child for child in others if not self._is_scorer(child)), None)

    def _is_of_model(self, child: CallFacts) -> bool:
        is_named = self.model in (text_of(child.inputs.text("self")), child.call.op_name)
        return bool(self.model) and (is_named or op_of(child.call) == op_name_of(self.model))

    def _is_scorer(self, child: CallFacts) -> bool:
        return scorer_of_call(child)[0] in self._output_scores or child.is_marked_as_score

    @cached_property
    def _output_scores(self) -> dict[str, Any]:
        scores = self.call.object("output").object("scores")
        return {jsontext.without_surrogates(name): value for name, value in scores.items()}

    @property
    def output(self) -> Any:
        """The model's output."""
        if self.predict:
            return self.predict.output
        output = self.call.output
        if not isinstance(output, dict):
            return output
        return output.get("output", output.get("model_output"))

    @property
    def error(self) -> str | None:
        """Why the model failed, if it did."""
        if self.predict:
            return self.predict.error
        if self.call.object("output").get("model_success") is False:
            return self.call.error or "the model failed"
        return self.call.error

    def scores(self) -> dict[tuple[str, str], list[Judgement]]:
        """Return the judgements that count by the scorer's name and annotator, in order."""
        owner = self.call.call.wb_user_id
        calls = by_scorer(with_objects(each, self.objects) for each in self._scores_of_calls())
        feedback = by_scorer(
            each
            for each in scores_of(self.meant_feedback or self.feedback)
            if each.id not in self.unclear
        )
        outputs = {
            (name, ""): with_objects(Judgement(name, name, value, owner=owner), self.objects)
            for name, value in self._output_scores.items()
            if name not in self._renamed
        }
        return {
            key: judgements_of(owner, calls.get(key, []), feedback.get(key, []), outputs.get(key))
            for key in {**outputs, **calls, **feedback}
        }

    @cached_property
    def unclear(self) -> set[str]:
        """The ids of feedback with texts of objects, whose calls have these and may still end."""
        if self.has_ended:
            return set()
        ended = {child.call.id for child in self.children if child.call.ended_at}
        found = (each for each in scores_of(self.feedback) if each.call_id not in ended)
        return {each.id for each in found if each.call_id and has_text_of_object(each.value)}

    @cached_property
    def _renamed(self) -> set[str]:
        """The names of functions that score with an object of another name.

        The npm SDK logs `f1 score` with an object `f1-score`: the output has the first name, the
        feedback and the scorer's call the second. An EvaluationLogger of Python has `None` in the
        output for a scorer without a name, which the others name by its class.
        """
        functions = ((scorer_name(child.call.op_name or ""), child) for child in self.children)
        renamed = {name for name, child in functions if scorer_of_call(child)[0] != name}
        return renamed | {"None"} if _NAMELESS in renamed else renamed

    def _scores_of_calls(self) -> list[Judgement]:
        first = self._find_model(may_guess=self.has_ended)
        if first is None:
            return []
        return [
            score_of_call(child)
            for child in self.children
            if child is not first and not child.began_before(first) and child.call.ended_at
        ]


def score_of_call(child: CallFacts) -> Judgement:
    """Return what a scorer's call says."""
    name, scorer = scorer_of_call(child)
    error = child.error
    return Judgement(
        name,
        scorer,
        None if error else child.output,
        error,
        call_id=child.call.id,
        id=child.call.id,
        owner=child.call.wb_user_id,
        arrived=child.call.sort_id,
    )


def scorer_of_call(child: CallFacts) -> tuple[str, str]:
    """Return the name and the reference of a scorer: of its object, or of its function."""
    scorer = text_of(child.inputs.text("self")) or ""
    if scorer_name(scorer) == scorer:
        scorer = child.call.op_name or ""
    return scorer_name(scorer), scorer


def by_scorer(judgements: Iterable[Judgement]) -> dict[tuple[str, str], list[Judgement]]:
    """Return judgements by the scorer's name and annotator."""
    found: dict[tuple[str, str], list[Judgement]] = defaultdict(list)
    for each in judgements:
        found[each.name, each.annotator or ""].append(each)
    return found


def scores_of(feedback: Iterable[Feedback]) -> Iterator[Judgement]:
    """Yield the scores that feedback is."""
    yield from filter(None, map(score_of, feedback))


def score_of(feedback: Feedback) -> Judgement | None:
    """Return the score in feedback, or None if it is a reaction, a note or something else."""
    kind = next((each for each in (RUNNABLE, ANNOTATION) if _is(feedback, each)), None)
    if kind is None:
        return None
    sent = parse(feedback.body_json)
    payload = sent.get("payload")
    content = payload if isinstance(payload, dict) else {}
    name = unquote(feedback.feedback_type.removeprefix(kind))
    judgement = Judgement(
        name,
        text_of(sent.get("runnable_ref" if kind == RUNNABLE else "annotation_ref")) or name,
        content.get("output" if kind == RUNNABLE else "value"),
        id=feedback.id,
        owner=feedback.wb_user_id,
        may_change=feedback.sender_role is not None,
        arrived=feedback.sort_id,
    )
    if kind == RUNNABLE:
        return replace(judgement, call_id=_tail(sent.get("call_ref")))
    annotator = text_of(sent.get("creator")) or feedback.wb_user_id or "unknown"
    return replace(judgement, annotator=annotator)


def is_score(feedback_type: str) -> bool:
    """Return whether feedback of a type is a score."""
    return feedback_type.startswith((RUNNABLE, ANNOTATION))


def _is(feedback: Feedback, kind: str) -> bool:
    return feedback.feedback_type.startswith(kind)


def _tail(ref: Any) -> str | None:
    return ref.rpartition("/")[2] if isinstance(ref, str) and ref else None


def in_order(calls: Sequence[CallFacts]) -> list[CallFacts]:
    """Return calls in the order in which they began."""
    return sorted(calls, key=lambda each: each.order)
