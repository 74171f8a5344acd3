"""The tables of the embedded store: one migration per schema version, fixed once released."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable

from app.stores.sqlite.rewrites import move_scores, name_scorers, set_example_keys

_FIRST = (
    """
    CREATE TABLE scores (
        _id TEXT NOT NULL PRIMARY KEY,
        entity TEXT NOT NULL,
        project TEXT NOT NULL,
        evaluation_run_id TEXT,
        prediction_id TEXT NOT NULL,
        scorer TEXT NOT NULL,
        value_json TEXT NOT NULL,
        leaves TEXT NOT NULL,
        wb_user_id TEXT,
        created_at TEXT NOT NULL,
        idempotency_key TEXT,
        body_hash TEXT NOT NULL
    )
    """,
    "CREATE INDEX scores_by_project ON scores (entity, project, _id)",
    "CREATE INDEX scores_by_run ON scores (entity, project, evaluation_run_id, _id)",
    "CREATE INDEX scores_by_prediction ON scores (entity, project, prediction_id, _id)",
    "CREATE INDEX scores_by_scorer ON scores (entity, project, scorer, _id)",
    """
    CREATE UNIQUE INDEX scores_by_idempotency_key ON scores (entity, project, idempotency_key)
    WHERE idempotency_key IS NOT NULL
    """,
    """
    CREATE TABLE api_keys (
        _id TEXT NOT NULL PRIMARY KEY,
        name TEXT NOT NULL,
        role TEXT NOT NULL,
        scope TEXT NOT NULL,
        owner TEXT NOT NULL,
        key_hash TEXT NOT NULL UNIQUE,
        created_at TEXT NOT NULL,
        revoked_at TEXT
    )
    """,
)

_RETRY_HASHES = (
    "ALTER TABLE scores ADD COLUMN retry_hash TEXT",
    """
    CREATE INDEX scores_by_retry_hash ON scores (entity, project, retry_hash, _id)
    WHERE retry_hash IS NOT NULL
    """,
)

_CHECKSUMS = (
    # Over the other columns; rows of earlier versions have none.
    "ALTER TABLE scores ADD COLUMN checksum INTEGER",
    "ALTER TABLE api_keys ADD COLUMN checksum INTEGER",
)

_KEY_EXPIRY_AND_LAST_USE = (
    "ALTER TABLE api_keys ADD COLUMN expires_at TEXT",
    "ALTER TABLE api_keys ADD COLUMN last_used_at TEXT",
)

NEW_STORE_ID = """
    INSERT OR REPLACE INTO meta (name, value) VALUES ('store_id', lower(hex(randomblob(8))))
"""
WITH_STORE_ID = 5
"""The first schema version with a store id."""

_SEQUENCE_AND_CREATORS = (
    """
    CREATE TABLE scores_in_sequence (
        sequence INTEGER PRIMARY KEY AUTOINCREMENT,
        _id TEXT NOT NULL UNIQUE,
        entity TEXT NOT NULL,
        project TEXT NOT NULL,
        evaluation_run_id TEXT,
        prediction_id TEXT NOT NULL,
        scorer TEXT NOT NULL,
        value_json TEXT NOT NULL,
        leaves TEXT NOT NULL,
        wb_user_id TEXT,
        created_at TEXT NOT NULL,
        idempotency_key TEXT,
        body_hash TEXT NOT NULL,
        retry_hash TEXT,
        checksum INTEGER
    )
    """,
    move_scores,
    "DROP TABLE scores",
    "ALTER TABLE scores_in_sequence RENAME TO scores",
    "CREATE INDEX scores_by_sequence ON scores (entity, project)",  # And sequence.
    "CREATE INDEX scores_by_project ON scores (entity, project, _id)",
    "CREATE INDEX scores_by_run ON scores (entity, project, evaluation_run_id, _id)",
    "CREATE INDEX scores_by_prediction ON scores (entity, project, prediction_id, _id)",
    "CREATE INDEX scores_by_scorer ON scores (entity, project, scorer, _id)",
    """
    CREATE UNIQUE INDEX scores_by_idempotency_key ON scores (entity, project, idempotency_key)
    WHERE idempotency_key IS NOT NULL
    """,
    """
    CREATE INDEX scores_by_retry_hash ON scores (entity, project, retry_hash, _id)
    WHERE retry_hash IS NOT NULL
    """,
    "CREATE TABLE meta (name TEXT NOT NULL PRIMARY KEY, value TEXT NOT NULL)",
    NEW_STORE_ID,
    "ALTER TABLE api_keys ADD COLUMN created_by TEXT",
)

_REASONS_ERRORS_METADATA_AND_ANNOTATORS = (
    "ALTER TABLE scores ADD COLUMN reason TEXT",
    "ALTER TABLE scores ADD COLUMN error TEXT",
    "ALTER TABLE scores ADD COLUMN metadata_json TEXT",
    "ALTER TABLE scores ADD COLUMN annotator TEXT",
)

_PREDICTIONS_AND_EVALUATION_RUNS = (
    """
    CREATE TABLE predictions (
        _id TEXT NOT NULL PRIMARY KEY,
        id TEXT NOT NULL,
        entity TEXT NOT NULL,
        project TEXT NOT NULL,
        wb_user_id TEXT,
        idempotency_key TEXT,
        body_hash TEXT NOT NULL,
        retry_hash TEXT,
        predict_and_score_call_id TEXT NOT NULL,
        evaluation_run_id TEXT,
        model TEXT NOT NULL,
        inputs_json TEXT NOT NULL,
        output_json TEXT NOT NULL,
        example_id TEXT,
        trial INTEGER,
        error TEXT,
        started_at TEXT,
        finished_at TEXT,
        ended_at TEXT,
        usage_json TEXT,
        metadata_json TEXT,
        checksum INTEGER NOT NULL
    )
    """,
    "CREATE UNIQUE INDEX predictions_by_id ON predictions (entity, project, id)",
    "CREATE INDEX predictions_by_project ON predictions (entity, project, _id)",
    "CREATE INDEX predictions_by_run ON predictions (entity, project, evaluation_run_id, _id)",
    """
    CREATE UNIQUE INDEX predictions_by_idempotency_key
    ON predictions (entity, project, idempotency_key) WHERE idempotency_key IS NOT NULL
    """,
    """
    CREATE INDEX predictions_by_retry_hash ON predictions (entity, project, retry_hash, _id)
    WHERE retry_hash IS NOT NULL
    """,
    """
    CREATE TABLE evaluation_runs (
        _id TEXT NOT NULL PRIMARY KEY,
        id TEXT NOT NULL,
        entity TEXT NOT NULL,
        project TEXT NOT NULL,
        wb_user_id TEXT,
        idempotency_key TEXT,
        body_hash TEXT NOT NULL,
        retry_hash TEXT,
        evaluation TEXT NOT NULL,
        model TEXT NOT NULL,
        source_evaluation_run_id TEXT,
        status TEXT NOT NULL,
        started_at TEXT NOT NULL,
        finished_at TEXT,
        summary_json TEXT,
        name TEXT,
        description TEXT,
        dataset TEXT,
        attributes_json TEXT,
        expected INTEGER,
        checksum INTEGER NOT NULL
    )
    """,
    "CREATE UNIQUE INDEX evaluation_runs_by_id ON evaluation_runs (entity, project, id)",
    "CREATE INDEX evaluation_runs_by_project ON evaluation_runs (entity, project, _id)",
    """
    CREATE UNIQUE INDEX evaluation_runs_by_idempotency_key
    ON evaluation_runs (entity, project, idempotency_key) WHERE idempotency_key IS NOT NULL
    """,
    """
    CREATE INDEX evaluation_runs_by_retry_hash
    ON evaluation_runs (entity, project, retry_hash, _id) WHERE retry_hash IS NOT NULL
    """,
)
WITH_DOCUMENTS = 7
"""The first schema version with predictions and evaluation runs."""

WITH_SENT = 12
"""The first schema version with what Weave's SDK sends."""

WITH_METRICS = 13
"""The first schema version with metrics."""

WITH_ALIASES = 15
"""The first schema version with aliases and costs."""

WITH_APPROVALS = 18
"""The first schema version with approvals."""

_SCORER_NAMES_AND_SLOTS = (
    """
    CREATE TABLE scores_with_names (
        sequence INTEGER PRIMARY KEY AUTOINCREMENT,
        _id TEXT NOT NULL,
        entity TEXT NOT NULL,
        project TEXT NOT NULL,
        evaluation_run_id TEXT,
        prediction_id TEXT NOT NULL,
        scorer TEXT NOT NULL,
        scorer_name TEXT NOT NULL,
        value_json TEXT NOT NULL,
        leaves TEXT NOT NULL,
        wb_user_id TEXT,
        created_at TEXT NOT NULL,
        idempotency_key TEXT,
        body_hash TEXT NOT NULL,
        retry_hash TEXT,
        reason TEXT,
        error TEXT,
        metadata_json TEXT,
        annotator TEXT,
        checksum INTEGER NOT NULL
    )
    """,
    name_scorers,
    "DROP TABLE scores",
    "ALTER TABLE scores_with_names RENAME TO scores",
    "CREATE UNIQUE INDEX scores_by_id ON scores (entity, project, _id)",
    "CREATE INDEX scores_by_sequence ON scores (entity, project)",  # And sequence.
    "CREATE INDEX scores_by_run ON scores (entity, project, evaluation_run_id, _id)",
    "CREATE INDEX scores_by_prediction ON scores (entity, project, prediction_id, _id)",
    "CREATE INDEX scores_by_scorer ON scores (entity, project, scorer, _id)",
    """
    CREATE INDEX scores_by_slot ON scores (
        entity, project, ifnull(evaluation_run_id, ''), prediction_id, scorer_name,
        ifnull(annotator, ''), created_at, _id
    )
    """,
    """
    CREATE UNIQUE INDEX scores_by_idempotency_key ON scores (entity, project, idempotency_key)
    WHERE idempotency_key IS NOT NULL
    """,
)

_EXAMPLE_KEYS = (
    "ALTER TABLE predictions ADD COLUMN example_key TEXT",
    set_example_keys,
    "DROP INDEX predictions_by_run",
    # With all that a comparison needs, so that it does not read inputs and outputs.
    """
    CREATE INDEX predictions_by_run
    ON predictions (entity, project, evaluation_run_id, _id, id, example_key)
    """,
    """
    CREATE INDEX predictions_by_example
    ON predictions (entity, project, evaluation_run_id, example_key)
    """,
    """
    CREATE INDEX failed_predictions_by_project ON predictions (entity, project, _id)
    WHERE error IS NOT NULL
    """,
    """
    CREATE INDEX failed_predictions_by_run ON predictions (entity, project, evaluation_run_id, _id)
    WHERE error IS NOT NULL
    """,
)

_DELETIONS = (
    """
    CREATE TABLE deletions (
        _id TEXT NOT NULL PRIMARY KEY,
        entity TEXT NOT NULL,
        project TEXT NOT NULL,
        evaluation_run_id TEXT NOT NULL,
        bound TEXT NOT NULL,
        requested_by TEXT NOT NULL,
        runs INTEGER NOT NULL,
        predictions INTEGER NOT NULL,
        scores INTEGER NOT NULL,
        cleared INTEGER NOT NULL,
        finished_at TEXT,
        claimed_by TEXT,
        claimed_until TEXT,
        checksum INTEGER NOT NULL
    )
    """,
    "CREATE INDEX deletions_by_project ON deletions (entity, project, _id)",
    """
    CREATE INDEX deletions_pending ON deletions (entity, project, evaluation_run_id, bound)
    WHERE finished_at IS NULL
    """,
)

_ARCHIVED_RUNS = ("ALTER TABLE evaluation_runs ADD COLUMN archived_at TEXT",)


def _document_table(name: str, columns: str) -> tuple[str, ...]:
    """Return the statements for a table of documents without idempotency keys."""
    return (
        f"""
        CREATE TABLE {name} (
            _id TEXT NOT NULL PRIMARY KEY,
            id TEXT NOT NULL,
            entity TEXT NOT NULL,
            project TEXT NOT NULL,
            wb_user_id TEXT,
            idempotency_key TEXT,
            body_hash TEXT NOT NULL,
            retry_hash TEXT,
            {columns},
            checksum INTEGER NOT NULL
        )
        """,
        f"CREATE UNIQUE INDEX {name}_by_id ON {name} (entity, project, id)",
        f"CREATE INDEX {name}_by_project ON {name} (entity, project, _id)",
    )


_SENT_BY_WEAVE = (
    *_document_table("contents", "text TEXT NOT NULL"),
    *_document_table(
        "object_versions",
        "object_id TEXT NOT NULL, digest TEXT NOT NULL, kind TEXT NOT NULL, base_class TEXT, "
        "leaf_class TEXT, published_at TEXT NOT NULL, deleted_at TEXT, value_json TEXT NOT NULL",
    ),
    "CREATE INDEX object_versions_by_name ON object_versions (entity, project, object_id, _id)",
    *_document_table(
        "calls",
        "trace_id TEXT, parent_id TEXT, op_name TEXT, started_at TEXT, ended_at TEXT, "
        "start_json TEXT, end_json TEXT",
    ),
    "CREATE INDEX calls_by_parent ON calls (entity, project, parent_id, _id)",
    "CREATE INDEX calls_by_trace ON calls (entity, project, trace_id, _id)",
    "CREATE INDEX calls_by_op ON calls (entity, project, op_name, _id)",
    *_document_table(
        "feedback",
        "call_id TEXT, weave_ref TEXT NOT NULL, feedback_type TEXT NOT NULL, "
        "body_json TEXT NOT NULL",
    ),
    "CREATE INDEX feedback_by_call ON feedback (entity, project, call_id, _id)",
    *_document_table(
        "score_sources",
        "evaluation_run_id TEXT, prediction_id TEXT NOT NULL, score_id TEXT NOT NULL",
    ),
    """
    CREATE INDEX score_sources_by_prediction ON score_sources (entity, project, prediction_id, _id)
    """,
)

_METRICS = _document_table(
    "metrics",
    "scorer_name TEXT NOT NULL, leaf TEXT NOT NULL, direction TEXT NOT NULL, true_when_json TEXT, "
    "unit TEXT, schema_json TEXT, schema_mode TEXT NOT NULL, is_primary INTEGER NOT NULL, "
    "declared_at TEXT NOT NULL",
)

_ROWS_AWAITED_AND_CALLS_RENAMED = (
    "ALTER TABLE predictions ADD COLUMN awaited_row TEXT",
    """
    CREATE INDEX predictions_by_awaited_row ON predictions (entity, project, awaited_row, _id)
    WHERE awaited_row IS NOT NULL
    """,
    "ALTER TABLE calls ADD COLUMN renamed_json TEXT",
    "ALTER TABLE object_versions ADD COLUMN published_by TEXT",
)

_TAGS_ALIASES_AND_COSTS = (
    "ALTER TABLE object_versions ADD COLUMN tags_json TEXT",
    *_document_table(
        "aliases", "object_id TEXT NOT NULL, name TEXT NOT NULL, digest TEXT NOT NULL"
    ),
    "CREATE INDEX aliases_by_object ON aliases (entity, project, object_id, _id)",
    *_document_table("costs", "body_json TEXT NOT NULL"),
)

_PREDICTIONS_BY_CALL_AND_ORDER_OF_CALLS = (
    """
    CREATE INDEX predictions_by_call
    ON predictions (entity, project, predict_and_score_call_id, _id)
    """,
    "CREATE INDEX predictions_by_start ON predictions (entity, project, started_at, _id)",
    "CREATE INDEX calls_by_start ON calls (entity, project, started_at, id)",
)

_CALLS_AWAITED = (
    "ALTER TABLE feedback ADD COLUMN awaited_call TEXT",
    """
    CREATE INDEX feedback_by_awaited_call ON feedback (entity, project, awaited_call, _id)
    WHERE awaited_call IS NOT NULL
    """,
)

_APPROVALS_AND_RUNS_BY_NAME = (
    *_document_table("approvals", "evaluation_run_id TEXT NOT NULL, reason TEXT NOT NULL"),
    """
    CREATE INDEX evaluation_runs_by_name ON evaluation_runs (entity, project, name, _id)
    WHERE name IS NOT NULL
    """,
)

_JUDGEMENTS_AND_ROLES_OF_SENDERS = (
    "ALTER TABLE score_sources ADD COLUMN judgements_json TEXT",
    "ALTER TABLE feedback ADD COLUMN sender_role TEXT",
)

Step = str | Callable[[sqlite3.Connection], None]

MIGRATIONS: tuple[tuple[Step, ...], ...] = (
    _FIRST,
    _RETRY_HASHES,
    _CHECKSUMS,
    _KEY_EXPIRY_AND_LAST_USE,
    _SEQUENCE_AND_CREATORS,
    _REASONS_ERRORS_METADATA_AND_ANNOTATORS,
    _PREDICTIONS_AND_EVALUATION_RUNS,
    _SCORER_NAMES_AND_SLOTS,
    _EXAMPLE_KEYS,
    _DELETIONS,
    _ARCHIVED_RUNS,
    _SENT_BY_WEAVE,
    _METRICS,
    _ROWS_AWAITED_AND_CALLS_RENAMED,
    _TAGS_ALIASES_AND_COSTS,
    _PREDICTIONS_BY_CALL_AND_ORDER_OF_CALLS,
    _CALLS_AWAITED,
    _APPROVALS_AND_RUNS_BY_NAME,
    _JUDGEMENTS_AND_ROLES_OF_SENDERS,
)
"""The steps from schema version i to i + 1 (PRAGMA user_version)."""
