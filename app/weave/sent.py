"""Read what is stored of calls and their feedback, and tell whether it has changed since."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence

from app.stores.base import DocumentQuery, Store
from app.stores.listing import Fields
from app.stores.model import AnyDocument, Document
from app.stores.weave import Call, Feedback
from app.weave.contents import Place, read_rows
from app.weave.facts import PREDICT_AND_SCORE, CallFacts, PredictionFacts, in_order, op_of
from app.weave.meanings import put_meanings

PART = 200
"""How many values a query has."""

Versions = dict[str, set[tuple[str, str]]]
"""The ids and the hashes of all that is stored of a call, by the id of the call."""


def read_all(
    store: Store, place: Place, kind: type[AnyDocument], name: str, values: Sequence[str]
) -> Iterator[AnyDocument]:
    """Yield the documents whose field `name` has one of some values."""
    for query in _queries(place, name, values):
        yield from store.read_documents(kind, query)


def _queries(place: Place, name: str, values: Sequence[str]) -> Iterator[DocumentQuery]:
    for first in range(0, len(values), PART):
        some = {name: values[first : first + PART]}
        yield DocumentQuery(place.entity, place.project, filters=some)


def read_hashes(
    store: Store, place: Place, kind: type[Document], ids: Sequence[str]
) -> dict[str, str]:
    """Return the `body_hash` of the documents that are stored, by id."""
    pages = (
        page
        for query in _queries(place, "id", ids)
        for page in store.read_fields(kind, query, ["id", "body_hash"])
    )
    return {row[1]: row[2] for page in pages for row in page}


def read_predictions(store: Store, place: Place, calls: Sequence[Call]) -> list[PredictionFacts]:
    """Return what is stored of calls that predict and score."""
    ids = [call.id for call in calls]
    children: dict[str, list[CallFacts]] = defaultdict(list)
    for child in read_all(store, place, Call, "parent_id", ids):
        children[child.parent_id or ""].append(CallFacts(child))
    feedback: dict[str, list[Feedback]] = defaultdict(list)
    of_prediction = {each.call.id: parent for parent in children for each in children[parent]}
    of_prediction |= {each: each for each in ids}
    for each in read_all(store, place, Feedback, "call_id", list(of_prediction)):
        feedback[of_prediction[each.call_id or ""]].append(each)
    found = [
        PredictionFacts(CallFacts(call), in_order(children[call.id]), feedback[call.id])
        for call in calls
    ]
    rows = read_rows(store, place, filter(None, (each.row_digest for each in found)))
    for facts in found:
        facts.row_json = rows.get(facts.row_digest or "")
        put_meanings(store, place, facts)
    return found


def read_outside(
    store: Store, place: Place, calls: Sequence[Call]
) -> dict[str, tuple[Call, list[Feedback]]]:
    """Return the calls outside of evaluations, each with its feedback, by id.

    A call whose parent has not arrived may be part of an evaluation, so its feedback waits.
    """
    read = {call.id for call in calls}
    parents = [call.parent_id for call in calls if call.parent_id and call.parent_id not in read]
    started = {
        each.id
        for each in (*calls, *store.find_documents(Call, place.entity, place.project, parents))
        if each.start_json and op_of(each) not in PREDICT_AND_SCORE
    }
    found: dict[str, tuple[Call, list[Feedback]]] = {
        call.id: (call, [])
        for call in calls
        if call.start_json
        and op_of(call) not in PREDICT_AND_SCORE
        and (call.parent_id is None or call.parent_id in started)
    }
    for feedback in read_all(store, place, Feedback, "call_id", list(found)):
        found[feedback.call_id or ""][1].append(feedback)
    return found


def versions_of(read: Mapping[str, Iterable[Document]]) -> Versions:
    """Return the versions of the documents that were read of calls."""
    return {call_id: {(each.id, each.body_hash) for each in read[call_id]} for call_id in read}


def read_versions(
    store: Store,
    place: Place,
    runs: Sequence[str],
    outside: Sequence[str],
    predictions: Sequence[str],
) -> Versions:
    """Return the versions of calls: of runs alone, of others with what the functions above read."""
    found: Versions = defaultdict(set)
    belongs = {call_id: call_id for call_id in (*outside, *predictions)}

    def read(kind: type[Document], name: str, values: Sequence[str]) -> Iterator[Fields]:
        for query in _queries(place, name, values):
            for page in store.read_fields(kind, query, [name, "id", "body_hash"]):
                yield from (row[1:] for row in page)

    for call_id, _, body_hash in read(Call, "id", [*runs, *belongs]):
        found[call_id].add((call_id, body_hash))
    for parent_id, child_id, body_hash in read(Call, "parent_id", predictions):
        belongs[child_id] = parent_id
        found[parent_id].add((child_id, body_hash))
    for call_id, feedback_id, body_hash in read(Feedback, "call_id", list(belongs)):
        found[belongs[call_id]].add((feedback_id, body_hash))
    return found
