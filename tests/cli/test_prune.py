"""`scoreline store prune`: delete what is older than a retention period."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from uuid_utils import uuid7

from app.ids import first_id_at
from app.stores.base import DocumentQuery, ScoreQuery
from app.stores.model import EvaluationRun
from app.stores.sqlite.store import SqliteStore
from app.stores.weave import Call, Content, Feedback, ObjectVersion
from tests.cli.commands import run_command
from tests.processes import environment
from tests.stores.test_contract import a_score
from tests.stores.test_documents import a_prediction, a_run

NOW = datetime.now(UTC)
OLD, NEW = NOW - timedelta(days=100), NOW - timedelta(days=80)


def an_id(moment: datetime) -> str:
    """Return an id of this time."""
    return first_id_at(moment)[:13] + str(uuid7())[13:]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    """Return a store with old and new runs, and something of no run."""
    opened = SqliteStore(tmp_path / "scoreline.db")
    opened.prepare()
    runs = [
        a_run(id="old", sort_id=an_id(OLD), started_at=OLD),
        a_run(id="archived", sort_id=an_id(OLD), started_at=OLD, archived_at=NOW),
        a_run(id="scored again", sort_id=an_id(OLD), started_at=OLD),
        a_run(id="finished late", sort_id=an_id(OLD), started_at=OLD, finished_at=NEW),
        a_run(id="new", sort_id=an_id(NEW), started_at=NEW),
    ]
    opened.add_documents(runs)
    opened.add_documents(
        [
            a_prediction(id=f"{run} {moment}", evaluation_run_id=run, sort_id=an_id(moment))
            for run, moment in (("old", OLD), (None, OLD), (None, NEW))
        ]
    )
    scores = [
        ("old", OLD),
        ("archived", OLD),
        ("scored again", NEW),
        ("only named", OLD),
        ("named late", OLD),
        ("named late", NEW),
        (None, OLD),
        ("", NEW),
    ]
    opened.add_missing(
        [
            a_score(score_id=an_id(moment), created_at=moment, evaluation_run_id=run)
            for run, moment in scores
        ],
        partial=False,
    )
    opened.add_missing(
        [a_score(project="other", score_id=an_id(OLD), evaluation_run_id="old")], partial=False
    )
    yield opened
    opened.close()


def prune(tmp_path: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environ = environment(SCORELINE_STORE=f"sqlite:///{tmp_path}/scoreline.db")
    return run_command("store", "prune", *arguments, cwd=tmp_path, env=environ)


def counts(tmp_path: Path, *arguments: str) -> dict[str, Any]:
    done = prune(tmp_path, "--older-than", "90d", "--json", *arguments)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    before = NOW - timedelta(days=90)
    assert abs(datetime.fromisoformat(found.pop("before")) - before) < timedelta(hours=3)
    return dict(found)


def runs_left(store: SqliteStore) -> set[str | None]:
    documents = store.read_documents(EvaluationRun, DocumentQuery("acme", "demo"))
    score_ids = store.list_score_ids(ScoreQuery("acme", "demo"))
    scores = store.read_scores("acme", "demo", score_ids)
    return {each.id for each in documents} | {each.evaluation_run_id for each in scores}


def test_runs_go_whole_by_their_last_activity_and_the_rest_by_its_own(
    tmp_path: Path, store: SqliteStore
) -> None:
    expected = {"num_runs": 2, "num_predictions": 2, "num_scores": 3, "num_kept_archived": 1}
    expected |= {"num_calls": 0, "num_feedback": 0}
    project = ("--project", "acme/demo")
    before = runs_left(store)
    assert counts(tmp_path, *project, "--dry-run") == {"dry_run": True, **expected}
    assert runs_left(store) == before
    assert counts(tmp_path, *project, "--yes") == {"dry_run": False, **expected}
    kept = {"archived", "scored again", "finished late", "new", "named late", ""}
    assert runs_left(store) == kept
    again = prune(tmp_path, "--older-than", "90d", *project, "--project", "acme/dmeo", "--yes")
    assert again.stderr.startswith("there is nothing in acme/dmeo\n")
    assert "deleted 0 runs, 0 predictions and 0 scores" in again.stderr
    assert counts(tmp_path, "--yes") == {
        "dry_run": False,
        "num_runs": 1,  # Of the other project.
        "num_predictions": 0,
        "num_scores": 1,
        "num_calls": 0,
        "num_feedback": 0,
        "num_kept_archived": 1,
    }


def test_archived_runs_go_if_that_is_asked_for(tmp_path: Path, store: SqliteStore) -> None:
    done = prune(tmp_path, "--older-than", "12w", "--yes", "--project", "acme/demo")
    assert "kept 1 archived run; --archived deletes them too" in done.stderr
    done = prune(tmp_path, "--older-than", "12w", "--yes", "--archived")
    assert "deleted 2 runs, 0 predictions and 2 scores from before 20" in done.stderr
    assert "archived" not in runs_left(store)


def test_prune_is_in_the_audit_log(tmp_path: Path, store: SqliteStore) -> None:
    done = prune(tmp_path, "--older-than", "90d", "--yes", "--project", "acme/demo")
    (line,) = [json.loads(line) for line in done.stderr.splitlines() if line.startswith("{")]
    assert (line["action"], line["outcome"], line["by_key_id"]) == ("store.prune", "done", "cli")
    assert (line["entity"], line["project"], line["runs"]) == ("acme", "demo", 2)
    assert line["before"]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--older-than", "90d"), "use --yes to delete without asking"),
        (("--older-than", "90", "--yes"), "--older-than must be a number with h, d or w"),
        (("--older-than", "0d", "--yes"), "--older-than must be a number with h, d or w"),
        (("--older-than", "999999w", "--yes"), "is before the year 1"),
        (("--older-than", "1d", "--project", "acme", "--yes"), "--project must be entity/project"),
        (("--yes",), "Missing option '--older-than'"),
    ],
)
def test_wrong_usage_deletes_nothing(
    tmp_path: Path, store: SqliteStore, arguments: tuple[str, ...], says: str
) -> None:
    before = runs_left(store)
    done = prune(tmp_path, *arguments)
    assert done.returncode == 2
    assert says in done.stderr
    assert runs_left(store) == before


def test_no_store_is_created(tmp_path: Path) -> None:
    done = prune(tmp_path, "--older-than", "90d", "--yes")
    assert (done.returncode, list(tmp_path.glob("*.db"))) == (2, [])
    assert "no store at" in done.stderr


def test_calls_and_feedback_of_no_run_are_counted(tmp_path: Path, store: SqliteStore) -> None:
    place: dict[str, Any] = {"entity": "acme", "project": "sdk", "body_hash": ""}
    store.add_documents([Call(**place, id="c", sort_id=an_id(OLD))])
    about = {"weave_ref": "r", "feedback_type": "wandb.note.1", "body_json": "{}"}
    store.add_documents([Feedback(**place, id="f", sort_id=an_id(OLD), **about)])
    done = prune(tmp_path, "--older-than", "90d", "--project", "acme/sdk", "--yes")
    expected = "0 scores, with 1 call of no run, 1 feedback of no call from before"
    assert f"deleted 0 runs, 0 predictions and {expected}" in done.stderr


def test_unused_objects_go_on_request_and_the_cache_of_the_sdk_is_named(
    tmp_path: Path, store: SqliteStore
) -> None:
    place: dict[str, Any] = {"entity": "acme", "project": "sdk", "body_hash": ""}
    version: dict[str, Any] = {"object_id": "o", "digest": "d", "kind": "object"}
    store.add_documents(
        [ObjectVersion(**place, id="o:d", published_at=OLD, value_json="1", **version)]
    )
    store.add_documents([Content(**place, id="row/r", sort_id=an_id(OLD), text="{}")])
    project = ("--project", "acme/sdk")
    assert "num_objects" not in counts(tmp_path, *project, "--dry-run")
    arguments = ("--older-than", "90d", *project, "--objects")
    counted = prune(tmp_path, *arguments, "--dry-run").stderr
    unused = "0 scores, with 1 object, 0 tables, 1 row, 0 files from before"
    assert f"would delete 0 runs, 0 predictions and {unused}" in counted
    deleted = prune(tmp_path, *arguments, "--yes").stderr
    assert f"deleted 0 runs, 0 predictions and {unused}" in deleted
    assert "set WEAVE_USE_SERVER_CACHE=false" in deleted
    assert "there is nothing" not in deleted
    assert '"action": "store.prune_objects"' in deleted
    found = counts(tmp_path, *project, "--objects", "--yes")
    assert (found["num_objects"], found["num_rows"]) == (0, 0)


def test_a_whole_project_is_deleted_and_an_unknown_one_is_told(
    tmp_path: Path, store: SqliteStore
) -> None:
    environ = environment(SCORELINE_STORE=f"sqlite:///{tmp_path}/scoreline.db")

    def delete(project: str) -> subprocess.CompletedProcess[str]:
        arguments = ("store", "delete-project", project, "--yes", "--json")
        return run_command(*arguments, cwd=tmp_path, env=environ)

    deleted = delete("acme/demo")
    assert deleted.returncode == 0, deleted.stderr
    assert json.loads(deleted.stdout)["num_scores"] == 8
    assert runs_left(store) == set()
    assert [each.name for each in store.list_projects("acme")] == ["other"]
    again = delete("acme/demo")
    assert (again.returncode, again.stderr) == (1, "scoreline: there is nothing in acme/demo\n")
