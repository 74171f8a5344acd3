"""Keep the calls and the feedback that the SDK sends, in any order and however often."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, TypeVar
from uuid import NAMESPACE_URL, uuid5

import msgspec

from app import jsontext
from app.datetimes import InvalidDatetime, parse_datetime
from app.errors import TooLarge, Unreadable
from app.ids import new_id
from app.services.scores import hash_of
from app.stores.base import Store
from app.stores.weave import Call, Feedback
from app.weave.contents import Place
from app.weave.facts import PREDICT_AND_SCORE, is_of_evaluation, is_score, op_of

PART = 500
"""How many calls are stored at a time."""

MAX_ITEMS = 100_000
"""How many calls or feedback a batch may have; the SDK sends a larger one in halves."""

Sent = TypeVar("Sent")

_CALL_REF = re.compile(r"weave:///[^/]+/[^/]+/call/([^/?]+)")


class CallHead(msgspec.Struct):
    """The fields by which a call is found; others are kept as they were sent."""

    id: str | None = None
    trace_id: str | None = None
    parent_id: str | None = None
    op_name: str | None = None
    started_at: str | None = None
    ended_at: str | None = None


class CompleteBatch(msgspec.Struct):
    """The body of `calls/complete`."""

    batch: list[msgspec.Raw]


class Start(msgspec.Struct):
    """The body that starts a call."""

    start: msgspec.Raw


class End(msgspec.Struct):
    """The body that ends a call."""

    end: msgspec.Raw


class Step(msgspec.Struct):
    """A start or an end among others."""

    mode: str
    req: msgspec.Raw


class StepBatch(msgspec.Struct):
    """The body of `call/upsert_batch`."""

    batch: list[Step]


class FeedbackBatch(msgspec.Struct):
    """The body of `feedback/batch/create`."""

    batch: list[msgspec.Raw]


def started(place: Place, raw: msgspec.Raw) -> Call:
    """Return the call of a start, or of a complete call. Raises Unreadable."""
    head, text = _head(raw)
    return _call(
        place,
        head,
        id=head.id or new_id(),
        started_at=_time(head.started_at),
        ended_at=_time(head.ended_at),
        start_json=text,
    )


def ended(place: Place, raw: msgspec.Raw) -> Call:
    """Return the call of an end, whose other fields are those of its start."""
    head, text = _head(raw)
    if head.id is None:
        raise Unreadable("Object missing required field `id`")
    return _call(place, head, id=head.id, ended_at=_time(head.ended_at), end_json=text)


def _head(raw: msgspec.Raw) -> tuple[CallHead, str]:
    data = bytes(raw)
    return decode(data, CallHead), data.decode()


def _call(place: Place, head: CallHead, **given: Any) -> Call:
    return Call(
        entity=place.entity,
        project=place.project,
        wb_user_id=place.owner,
        body_hash="",
        trace_id=head.trace_id,
        parent_id=head.parent_id,
        op_name=head.op_name,
        **given,
    )


def _time(text: str | None) -> datetime | None:
    try:
        return parse_datetime(text).astimezone(UTC) if text else None
    except (InvalidDatetime, OverflowError):
        return None


def add_calls(store: Store, calls: Sequence[Call], *, may_change: bool) -> list[Call]:
    """Store calls or what is new of them, and return what is stored now.

    Without `may_change`, only what is missing is added to calls of other owners.
    """

    def merge(stored: Call, sent: Call) -> Call:
        if _is_complete(stored) and sent.ended_at is None:
            return stored  # A start that came late.
        if stored.start_json is None and stored.end_json is None:  # It was only renamed.
            return named(replace(sent, sort_id=stored.sort_id), stored.renamed_json)
        if may_change or stored.wb_user_id == sent.wb_user_id:
            news = _news_for(stored, sent)
        else:
            news = _missing_in(stored, sent)
        return named(replace(stored, **news), stored.renamed_json)

    parts = (calls[first : first + PART] for first in range(0, len(calls), PART))
    return [
        call
        for part in parts
        for call in store.upsert_documents([hashed(each) for each in part], merge)
    ]


def named(call: Call, renamed_json: str | None) -> Call:
    """Return a call with the display name that was set later, if one was, and a new hash."""
    start_json = call.start_json
    if start_json and renamed_json:
        fields = decode(start_json.encode(), dict[str, msgspec.Raw])
        fields["display_name"] = msgspec.Raw(renamed_json.encode())
        start_json = msgspec.json.encode(fields).decode()
    return hashed(replace(call, start_json=start_json, renamed_json=renamed_json))


def _news_for(stored: Call, sent: Call) -> dict[str, Any]:
    """Return the fields of a call that was sent, which win over those that are stored."""
    given = {name: value for name in _changing(stored) if (value := getattr(sent, name))}
    if _is_complete(sent) and sent.start_json != stored.start_json:
        given["end_json"] = None  # The call was made again after it had ended.
    return given


def _changing(stored: Call) -> Iterable[str]:
    """Return the fields that may change: a call stays where it began, with the scores from it."""
    return Call.changing - ({"parent_id", "trace_id"} if stored.start_json else set())


def _missing_in(stored: Call, sent: Call) -> dict[str, Any]:
    """Return the fields of a call that was sent that are not stored."""
    given = {
        name: value
        for name in _changing(stored)
        if (value := getattr(sent, name)) and getattr(stored, name) is None
    }
    if stored.ended_at is None and stored.start_json and _is_complete(sent):
        given["end_json"] = sent.start_json
    elif stored.ended_at is not None:
        given.pop("end_json", None)
    return given


def _is_complete(call: Call) -> bool:
    """Return whether a call was sent complete, so that its start has its output too."""
    return call.ended_at is not None and call.end_json is None


def hashed(call: Call) -> Call:
    """Return a call with the hash of all that may change."""
    texts = [call.start_json, call.end_json, call.parent_id, call.trace_id, call.op_name]
    if call.renamed_json:
        texts.append(call.renamed_json)
    return replace(call, body_hash=hash_of(jsontext.write(texts)))


def feedback_of(place: Place, raw: msgspec.Raw) -> Feedback:
    """Return the feedback of a body. Raises Unreadable.

    A client older than 0.53.13 sends no id, so that feedback with the same reference, type and call
    counts as the same.
    """
    data = bytes(raw)
    sent = decode(data, FeedbackHead)
    feedback_id = sent.id or new_id()
    if sent.id is None and sent.call_ref:
        seed = jsontext.write([sent.weave_ref, sent.feedback_type, sent.call_ref])
        feedback_id = str(uuid5(NAMESPACE_URL, seed))
    call_id = call_id_of(sent.weave_ref)
    return Feedback(
        entity=place.entity,
        project=place.project,
        wb_user_id=place.owner,
        id=feedback_id,
        body_hash=hash_of(data.decode()),
        call_id=call_id,
        awaited_call=call_id if is_score(sent.feedback_type) else None,
        weave_ref=sent.weave_ref,
        feedback_type=sent.feedback_type,
        body_json=data.decode(),
        sender_role=place.role if place.may_change else None,
    )


class FeedbackHead(msgspec.Struct):
    """The fields by which feedback is found."""

    weave_ref: str
    feedback_type: str
    id: str | None = None
    call_ref: str | None = None


def call_id_of(ref: str | None) -> str | None:
    """Return the id of the call that a reference names, or None."""
    match = _CALL_REF.match(ref or "")
    return match[1] if match else None


def add_feedback(store: Store, feedback: Sequence[Feedback], *, may_change: bool) -> list[Feedback]:
    """Store feedback, and return what is stored now; without `may_change`, other owners' stays."""

    def merge(stored: Feedback, sent: Feedback) -> Feedback:
        may_replace = may_change or stored.wb_user_id == sent.wb_user_id
        if stored.body_hash == sent.body_hash or not may_replace:
            return stored
        return replace(sent, sort_id=stored.sort_id, wb_user_id=stored.wb_user_id)

    return store.upsert_documents(feedback, merge) if feedback else []


def decode(data: bytes, kind: type[Sent]) -> Sent:
    """Return a body or an item of it, whose raw fields are as they were sent. Raises Unreadable.

    Texts have U+FFFD in place of lone surrogates, with which msgspec reads nothing.
    """
    try:
        data.decode()
        try:
            return msgspec.json.decode(data, type=kind)
        except msgspec.ValidationError:
            raise
        except msgspec.DecodeError:
            readable = jsontext.without_escaped_surrogates(data)
            return _as_sent(msgspec.json.decode(readable, type=kind), readable, data)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Unreadable(str(error)) from None
    except RecursionError:
        raise Unreadable("There was an error parsing the body") from None


def _as_sent(found: Sent, readable: bytes, data: bytes) -> Sent:
    """Return what was decoded from `readable`, with the raw parts of `data`, of the same length."""
    end = 0

    def part_of(part: Any) -> Any:
        nonlocal end
        if isinstance(part, msgspec.Raw):
            start = readable.index(bytes(part), end)
            end = start + len(bytes(part))
            return msgspec.Raw(data[start:end])
        if isinstance(part, list):
            return list(map(part_of, part))
        if isinstance(part, dict):
            return {name: part_of(value) for name, value in part.items()}
        if isinstance(part, msgspec.Struct):
            return type(part)(**part_of(msgspec.structs.asdict(part)))
        return part

    sent: Sent = part_of(found)
    return sent


def decode_batch(
    data: bytes, kind: type[CompleteBatch | StepBatch | FeedbackBatch]
) -> Sequence[Any]:
    """Return the items of a batch. Raises Unreadable and TooLarge."""
    batch = decode(data, kind).batch
    if len(batch) > MAX_ITEMS:
        raise TooLarge(f"A batch may have at most {MAX_ITEMS} items")
    return batch


def touched(calls: Sequence[Call]) -> set[str]:
    """Return the ids of the calls whose scores may be new: these calls and their parents.

    A part of a prediction that is here as a whole is left out, because it is read with the whole.
    """
    wholes = {call.id for call in calls if op_of(call) in PREDICT_AND_SCORE}
    parts = {call.id for call in calls if call.parent_id in wholes and not is_of_evaluation(call)}
    return {each for call in calls for each in (call.id, call.parent_id) if each} - parts
