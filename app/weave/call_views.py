"""Calls and feedback as Weave's SDK reads them."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime
from functools import cached_property
from typing import Any, NamedTuple

from app.datetimes import MILLISECOND
from app.stores.documents import time_text
from app.stores.weave import Call, Feedback
from app.weave.facts import merged, op_name_of, parse

Shown = dict[str, Any]
"""A call or feedback as an object of the SDK's protocol."""

CALL_FIELDS = (
    *("id", "project_id", "op_name", "display_name", "trace_id", "parent_id"),
    *("thread_id", "turn_id", "started_at", "attributes", "inputs", "ended_at", "exception"),
    *("output", "summary", "wb_user_id", "wb_run_id", "wb_run_step", "wb_run_step_end"),
    *("deleted_at", "expire_at", "storage_size_bytes", "total_storage_size_bytes"),
)
WITH_SUMMARY = ("ended_at", "exception", "display_name")
"""What a call has besides if its summary is wanted, as on Weave's server."""

REQUIRED_FIELDS = frozenset({"id", "trace_id", "project_id", "op_name", "started_at", "summary"})
"""What a call has even if only other columns are asked for."""

OBJECTS = ("attributes", "inputs")
"""The fields that are objects, which are empty instead of null."""

FEEDBACK_DEFAULTS: Mapping[str, Any] = {
    **dict.fromkeys(("annotation_ref", "runnable_ref", "call_ref", "trigger_ref", "queue_id")),
    "scorer_tags": [],
    **{
        f"scorer_{name}": {}
        for name in (
            *("tag_reasons", "tag_confidences"),
            *("ratings", "rating_reasons", "rating_confidences"),
        )
    },
    **dict.fromkeys(("span_agent_name", "span_agent_version"), ""),
    "span_status_code": "UNSET",
    **dict.fromkeys(("span_conversation_id", "span_trace_id", "scorer_trace_id"), ""),
}
FEEDBACK_FIELDS = (
    *("id", "project_id", "weave_ref", "wb_user_id", "creator", "created_at"),
    *("feedback_type", "payload", *FEEDBACK_DEFAULTS),
)
_NOT_ON_CALL = {
    *("project_id", "queue_id", "span_agent_name", "span_agent_version", "span_status_code"),
    *("span_conversation_id", "span_trace_id", "scorer_trace_id"),
}


class CallRow(NamedTuple):
    """The fields of a stored call that a query needs, with times as texts of UTC."""

    id: str
    trace_id: str | None
    parent_id: str | None
    op_name: str | None
    started_at: str | None
    ended_at: str | None
    wb_user_id: str | None
    start_json: str | None = None
    end_json: str | None = None


def row_of(call: Call) -> CallRow:
    """Return the fields of a call."""
    started_at = time_text(call.started_at) if call.started_at else None
    ended_at = time_text(call.ended_at) if call.ended_at else None
    return CallRow(
        *(call.id, call.trace_id, call.parent_id, call.op_name, started_at, ended_at),
        *(call.wb_user_id, call.start_json, call.end_json),
    )


class CallView:
    """A call with the names and the values that the SDK reads."""

    def __init__(self, project_id: str, row: CallRow) -> None:
        self.row = row
        self.feedback: list[Shown] | None = None
        """The feedback on the call, if that is wanted."""
        self._project_id = project_id

    @property
    def id(self) -> str:
        """The id of the call."""
        return self.row.id

    @cached_property
    def shown(self) -> Shown:
        """All fields of the call."""
        sent, row = merged(self.row.start_json, self.row.end_json), self.row
        found = {name: sent.get(name) for name in CALL_FIELDS}
        found |= {name: value if isinstance(value := found[name], dict) else {} for name in OBJECTS}
        return found | {
            "id": row.id,
            "project_id": self._project_id,
            "op_name": row.op_name,
            "display_name": sent.get("display_name") or None,
            "trace_id": row.trace_id or "",
            "parent_id": row.parent_id,
            "started_at": shown_time(row.started_at),
            "ended_at": shown_time(row.ended_at),
            "summary": self._summary(sent),
            "wb_user_id": row.wb_user_id,
            **dict.fromkeys(CALL_FIELDS[-4:]),
        }

    def _summary(self, sent: Shown) -> Shown:
        """Return the summary that was sent, and in `weave` what follows from the call."""
        given = sent.get("summary")
        summary: Shown = given if isinstance(given, dict) else {}
        before = summary.get("weave")
        weave: Shown = {**before} if isinstance(before, dict) else {}
        for name in ("status", "trace_name", "latency_ms", "display_name"):
            weave.pop(name, None)
        weave["status"] = self._status(sent, summary)
        row = self.row
        if row.started_at and row.ended_at:
            began, ended = map(datetime.fromisoformat, (row.started_at, row.ended_at))
            weave["latency_ms"] = (ended - began) // MILLISECOND
        if sent.get("display_name"):
            weave["display_name"] = sent["display_name"]
        else:
            weave["trace_name"] = op_name_of(row.op_name)
        return {**summary, "weave": weave}

    def _status(self, sent: Shown, summary: Shown) -> str:
        if sent.get("exception"):
            return "error"
        if self.row.ended_at is None:
            return "running"
        counts = summary.get("status_counts")
        errors = counts.get("error") if isinstance(counts, dict) else 0
        return "descendant_error" if isinstance(errors, int) and errors > 0 else "success"

    def answer(self, columns: Collection[str] | None) -> Shown:
        """Return the call with the wanted columns; others are null or empty."""
        found = self.shown
        weave = found["summary"]["weave"]
        if self.feedback is not None:
            weave = {**weave, "feedback": [feedback_on_call(each) for each in self.feedback]}
        summary = {**found["summary"], "weave": weave}
        if columns is None:
            return found | {"summary": summary}
        kept = REQUIRED_FIELDS.union(columns)
        if "summary" in columns:
            kept = kept.union(WITH_SUMMARY)
        else:
            summary = {"weave": weave}
        empty: Shown = {name: {} if name in OBJECTS else None for name in CALL_FIELDS}
        return {name: found[name] if name in kept else empty[name] for name in CALL_FIELDS} | {
            "summary": summary
        }


def feedback_on_call(feedback: Shown) -> Shown:
    """Return the fields of feedback that a call has in its summary."""
    return {name: feedback[name] for name in FEEDBACK_FIELDS if name not in _NOT_ON_CALL}


def without_defaults(feedback: Shown) -> Shown:
    """Return feedback without the fields that have their default, which older SDKs may not know."""
    return {
        name: value
        for name, value in feedback.items()
        if name not in FEEDBACK_DEFAULTS or value != FEEDBACK_DEFAULTS[name]
    }


def shown_time(text: str | None) -> str | None:
    """Return a stored time as the SDK reads it."""
    return text and text.replace("+00:00", "Z")


def show_feedback(feedback: Feedback) -> Shown:
    """Return feedback with the names that the SDK reads."""
    sent = parse(feedback.body_json)
    found = {name: sent.get(name) for name in FEEDBACK_FIELDS}
    payload = sent.get("payload")
    defaults = {name: each for name, each in FEEDBACK_DEFAULTS.items() if found[name] is None}
    return found | {
        **defaults,
        "id": feedback.id,
        "project_id": f"{feedback.entity}/{feedback.project}",
        "wb_user_id": feedback.wb_user_id,
        "created_at": shown_time(time_text(feedback.created_at)),
        "payload": payload if isinstance(payload, dict) else {},
    }
