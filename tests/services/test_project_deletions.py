"""A project is deleted with everything in it, and nothing of others."""

from __future__ import annotations

from dataclasses import replace

from app.services.copies import KINDS
from app.services.keys import COMMAND_LINE
from app.services.project_deletions import delete_project
from app.stores.base import DocumentQuery, ScoreQuery, Store
from tests.stores import test_weave
from tests.stores.test_approvals import an_approval
from tests.stores.test_contract import a_score
from tests.stores.test_documents import a_prediction, a_run


def fill(store: Store, project: str) -> None:
    """Store a document of every kind, and scores of all sorts of runs."""
    for whole in test_weave.WHOLE.values():
        store.add_documents([replace(whole, project=project)])
    store.add_documents([an_approval(project=project)])
    store.add_documents([a_run(id="r", project=project), a_run(id="empty", project=project)])
    runs = ("r", "named", None)
    predictions = [a_prediction(id=f"p{n}", project=project) for n in range(2)]
    store.add_documents([replace(predictions[0], evaluation_run_id="r"), predictions[1]])
    store.add_missing(
        [a_score(project=project, evaluation_run_id=run) for run in runs], partial=False
    )


def held(store: Store, project: str) -> list[int]:
    """Return how many scores and documents of each kind a project holds."""
    query = DocumentQuery("acme", project)
    documents = [len(store.list_sort_ids(kind, query)) for kind in KINDS]
    return [len(store.list_score_ids(ScoreQuery("acme", project))), *documents]


def test_nothing_is_left_of_a_deleted_project_and_all_of_another(store: Store) -> None:
    for project in ("demo", "other"):
        fill(store, project)
    before = held(store, "other")
    deleted = delete_project(store, "acme", "demo", COMMAND_LINE)
    assert {name: deleted[name] for name in ("evaluation_runs", "predictions", "scores")} == {
        "evaluation_runs": 2,
        "predictions": 2,
        "scores": 3,
    }
    assert set(held(store, "demo")) == {0}
    assert [each.name for each in store.list_projects("acme")] == ["other"]
    assert held(store, "other") == before
    assert set(delete_project(store, "acme", "demo", COMMAND_LINE).values()) == {0}
