"""What a store keeps: scores, predictions, evaluation runs, metrics, approvals and API keys."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, ClassVar, TypeVar

from app.ids import id_time

Leaf = dict[str, Any]
"""One scalar of a value: path, kind, and number or text."""

Leaves = list[Leaf]

FROM_CALLS = "from calls"
"""The `retry_hash` of a score that was made from calls, which tell a repeat of it."""

UNASSIGNED = ""
"""The id of a score or a document that gets its id from the store."""


@dataclass(frozen=True, slots=True)
class Score:
    """One judgement of a prediction by a scorer.

    `score_id` is unique in its project. `value_json` is the value as JSON text, `created_at` is UTC
    in whole milliseconds. If `score_id` is UNASSIGNED, the store makes an id, and `created_at`
    becomes the time in it.

    Its slot is run, prediction, `scorer_name` and annotator; None and "" are the same there. The
    newest score of a slot, by (`created_at`, `score_id`), is current, the others are superseded.
    """

    collection: ClassVar[str] = "scores"
    """The name of the table or collection of scores."""

    score_id: str
    entity: str
    project: str
    evaluation_run_id: str | None
    prediction_id: str
    scorer: str
    scorer_name: str
    value_json: str
    leaves: Leaves
    wb_user_id: str | None
    created_at: datetime
    idempotency_key: str | None
    body_hash: str
    retry_hash: str | None = None
    """The hash of API key and content, which identifies a retry without an idempotency key, or
    FROM_CALLS."""
    reason: str | None = None
    error: str | None = None
    """Why the judgement failed; the value is null then."""
    metadata_json: str | None = None
    """An object as JSON text."""
    annotator: str | None = None
    """The person who judged, if one did."""

    @property
    def id(self) -> str:
        """The `score_id`, under the name that documents have for it."""
        return self.score_id

    @property
    def sort_id(self) -> str:
        """The `score_id`, which has the time of creation as well."""
        return self.score_id


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """What predictions and evaluation runs have in common.

    `id` names the document in its project. `sort_id`, a UUIDv7, has the time of its creation, and
    lists are in its order. The store makes both if they are UNASSIGNED, and then they are the same.
    """

    collection: ClassVar[str]
    """The name of the table or collection of this kind of document."""
    changing: ClassVar[frozenset[str]]
    """The fields that `change_document` may change."""

    id: str = UNASSIGNED
    sort_id: str = UNASSIGNED
    entity: str
    project: str
    wb_user_id: str | None = None
    idempotency_key: str | None = None
    body_hash: str
    retry_hash: str | None = None
    """The hash of API key and content, which identifies a retry without an idempotency key."""

    @property
    def created_at(self) -> datetime:
        """The time in `sort_id`, in whole milliseconds of UTC."""
        return id_time(self.sort_id)


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction(Document):
    """One output of a model for one example.

    `inputs_json` (an object) and `output_json` are JSON text, as are the objects `usage_json` and
    `metadata_json`. Times are UTC in microseconds.
    """

    collection = "predictions"
    changing = frozenset({"ended_at"})

    predict_and_score_call_id: str
    """A UUIDv7, which Weave uses for the prediction together with its scores."""
    evaluation_run_id: str | None = None
    model: str
    inputs_json: str
    awaited_row: str | None = None
    """The digest of a row that has not arrived, which the inputs are or other values refer to."""
    output_json: str
    example_id: str | None = None
    """The id of its example, if that was sent."""
    example_key: str | None = None
    """`example_id`, otherwise the digest of the inputs, None if there are none."""
    trial: int | None = None
    """Which of several predictions of the example it is, if that was sent."""
    error: str | None = None
    """Why the model failed, if it did."""
    started_at: datetime | None = None
    finished_at: datetime | None = None
    """When the model began and finished, if that was sent."""
    ended_at: datetime | None = None
    """When `finish` was first called for it."""
    usage_json: str | None = None
    metadata_json: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluationRun(Document):
    """One execution of an evaluation.

    `status` is running, completed or failed. `summary_json` and `attributes_json` are objects as
    JSON text. Times are UTC in microseconds.
    """

    collection = "evaluation_runs"
    changing = frozenset(
        {
            *("status", "finished_at", "summary_json"),
            *("name", "description", "attributes_json", "archived_at"),
        }
    )

    evaluation: str
    model: str
    source_evaluation_run_id: str | None = None
    """The run whose predictions it scores again."""
    status: str = "running"
    started_at: datetime
    finished_at: datetime | None = None
    summary_json: str | None = None
    name: str | None = None
    description: str | None = None
    dataset: str | None = None
    attributes_json: str | None = None
    expected: int | None = None
    """How many predictions the run is expected to have."""
    archived_at: datetime | None = None
    """When it was archived, if it is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric(Document):
    """What is declared of one leaf of a scorer; its `id` consists of the scorer's name and leaf.

    `true_when_json` and `schema_json` are JSON text. `wb_user_id` is who declared it last, and
    `declared_at` when, in UTC in microseconds.
    """

    collection = "metrics"
    changing = frozenset(
        {
            *("wb_user_id", "body_hash", "declared_at", "direction", "true_when_json"),
            *("unit", "schema_json", "schema_mode", "is_primary"),
        }
    )

    scorer_name: str
    leaf: str
    direction: str = "none"
    """`higher` or `lower` if that is better, otherwise `none`."""
    true_when_json: str | None = None
    """Which texts or numbers count as true: a list of texts, or a comparison with a number."""
    unit: str | None = None
    schema_json: str | None = None
    """The JSON Schema of what the leaf names in a value; of the whole value for the leaf ""."""
    schema_mode: str = "warn"
    """`enforce` if a value against the schema is refused, `warn` if it is only counted."""
    is_primary: bool = False
    """Whether it is among those that decide."""
    declared_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Approval(Document):
    """That `wb_user_id` approved an evaluation run, at its `created_at`, and why.

    Approvals are kept for good, so that they tell the history; the newest one counts.
    """

    collection = "approvals"
    changing = frozenset()

    evaluation_run_id: str
    reason: str


AnyDocument = TypeVar("AnyDocument", bound=Document)


DOCUMENTS: tuple[type[Document], ...] = (EvaluationRun, Prediction)
"""Every kind of document that may have an idempotency key."""


Item = Score | Document


@dataclass(frozen=True, slots=True)
class ApiKey:
    """An API key with its role and scope; the secret itself is stored as a SHA-256 only.

    Times are UTC in whole milliseconds. The key is invalid from `expires_at` on; `last_used_at` is
    accurate to about a minute.
    """

    key_id: str
    name: str
    role: str
    scope: str
    owner: str
    key_hash: str
    created_at: datetime
    revoked_at: datetime | None = None
    expires_at: datetime | None = None
    last_used_at: datetime | None = None
    created_by: str | None = None
    """The key_id of its creator; None for keys from before this was stored."""
