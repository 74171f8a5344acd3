"""Read what calls and feedback say of predictions that did not come as calls.

Those of the v2 routes, an import or the command line are read as calls, so programs add scorers'
calls and feedback to them.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field

from app.stores.base import DocumentQuery, Store
from app.stores.model import Prediction
from app.stores.weave import Call, Feedback
from app.weave.contents import Place
from app.weave.facts import CallFacts, by_scorer, in_order, score_of_call, scores_of
from app.weave.judgements import Judgement, judgements_of
from app.weave.sent import PART, read_all

FIELDS = ("id", "predict_and_score_call_id", "evaluation_run_id", "wb_user_id")


@dataclass
class JudgedPrediction:
    """A prediction that has no stored call, the scorers' calls in it, and the feedback on all."""

    id: str
    outer_id: str
    """The id of the call that predicts and scores, which is not stored."""
    evaluation_run_id: str | None
    owner: str | None
    calls: list[CallFacts] = field(default_factory=list)
    feedback: list[Feedback] = field(default_factory=list)

    @property
    def documents(self) -> list[Call | Feedback]:
        """All that was sent of the prediction."""
        return [*(each.call for each in self.calls), *self.feedback]

    def scores(self) -> dict[tuple[str, str], list[Judgement]]:
        """Return the judgements that count by the scorer's name and annotator, in order."""
        calls = by_scorer(score_of_call(each) for each in self.calls)
        feedback = by_scorer(scores_of(self.feedback))
        return {
            key: judgements_of(self.owner, calls.get(key, []), feedback.get(key, []), None)
            for key in {**calls, **feedback}
        }


def read_judged(store: Store, place: Place, call_ids: Collection[str]) -> list[JudgedPrediction]:
    """Return the predictions without stored calls whose id or outer id is one of `call_ids`."""
    found = {each.id: each for each in _read_outlines(store, place, sorted(call_ids))}
    outer = {each.outer_id: each for each in found.values()}
    ids = sorted({*found, *outer})
    for call in store.find_documents(Call, place.entity, place.project, ids):
        if call.start_json:  # Its prediction was made of calls.
            found.pop(outer[call.id].id if call.id in outer else call.id, None)
    outer = {each.outer_id: each for each in found.values() if each.evaluation_run_id}
    by_call = {each: found[each] for each in found} | outer
    for call in read_all(store, place, Call, "parent_id", sorted(outer)):
        facts = CallFacts(call)
        if call.start_json and call.ended_at and facts.is_marked_as_score:
            outer[call.parent_id or ""].calls.append(facts)
            by_call[call.id] = outer[call.parent_id or ""]
    for each in read_all(store, place, Feedback, "call_id", sorted(by_call)):
        by_call[each.call_id or ""].feedback.append(each)
    for prediction in found.values():
        prediction.calls = in_order(prediction.calls)
    return list(found.values())


def _read_outlines(store: Store, place: Place, ids: list[str]) -> Iterator[JudgedPrediction]:
    for name in ("id", "predict_and_score_call_id"):
        for first in range(0, len(ids), PART):
            filters = {name: ids[first : first + PART]}
            query = DocumentQuery(place.entity, place.project, filters=filters)
            for page in store.read_fields(Prediction, query, FIELDS):
                for _, prediction_id, outer_id, run_id, owner in page:
                    yield JudgedPrediction(prediction_id, outer_id, run_id or None, owner)
