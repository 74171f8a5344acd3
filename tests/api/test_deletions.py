"""Deleting runs and predictions with what is in them, over HTTP."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Iterator
from datetime import datetime
from typing import Any
from urllib.parse import quote

import pytest

from app.stores import open_store
from app.stores.base import Store
from tests.processes import Answer, Service

RUN = "ci/main é"
SECONDS = 180.0


@pytest.fixture
def project() -> str:
    """Return the name of a new project."""
    return secrets.token_hex(8)


@pytest.fixture
def store(any_service: Service) -> Iterator[Store]:
    """Return the store of the service, opened in this process too."""
    opened = open_store(any_service.environ["SCORELINE_STORE"])
    yield opened
    opened.close()


def fill(service: Service, project: str, run: str = RUN) -> list[str]:
    """Add a run with two predictions and three scores; return the ids of the scores."""
    path = f"/v2/acme/{project}"
    created = service.post(
        f"{path}/evaluation_runs", {"evaluation": "e", "model": "m", "evaluation_run_id": run}
    )
    assert created.status == 200
    for n in "12":
        body = {"model": "m", "inputs": {}, "output": 1, "evaluation_run_id": run}
        assert (
            service.post(f"{path}/predictions", {**body, "prediction_id": f"{run}/{n}"}).status
            == 200
        )
    return [add(service, project, evaluation_run_id=run, prediction_id=f"{run}/{n}") for n in "122"]


def add(service: Service, project: str, **fields: Any) -> str:
    body = {"prediction_id": "p", "scorer": "s", "value": 1, **fields}
    return str(service.post(f"/v2/acme/{project}/scores", body).json["score_id"])


def delete(service: Service, project: str, what: str) -> Any:
    answer = service.send("DELETE", f"/v1/acme/{project}/{what}")
    assert answer.status == 200, answer.body
    return answer.json


def deletions(service: Service, project: str, query: str = "") -> list[dict[str, Any]]:
    answer = service.send("GET", f"/v1/acme/{project}/deletions?{query}")
    assert answer.status == 200, answer.body
    return list(answer.json["deletions"])


def rows(answer: Answer) -> list[dict[str, Any]]:
    assert answer.status == 200, answer.body
    return [json.loads(line) for line in answer.body.splitlines()]


def listed(service: Service, project: str, kind: str = "scores") -> list[dict[str, Any]]:
    return rows(service.send("GET", f"/v2/acme/{project}/{kind}"))


def finished(service: Service, project: str) -> list[dict[str, Any]]:
    """Wait until the background has finished every deletion; return them."""
    deadline = time.monotonic() + SECONDS
    while deletions(service, project, "state=pending"):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return deletions(service, project)


def test_a_run_is_deleted_with_its_predictions_and_scores(
    any_service: Service, project: str
) -> None:
    fill(any_service, project)
    fill(any_service, project, "other")
    assert delete(any_service, project, f"runs?run={quote(RUN)}&run=nothing") == {
        "num_deleted": 1,
        "num_predictions": 2,
        "num_scores": 3,
        "num_pending": 0,
    }
    for kind in ("evaluation_runs", "predictions", "scores"):
        assert {each["evaluation_run_id"] for each in listed(any_service, project, kind)} == {
            "other"
        }
    again = delete(any_service, project, f"runs?run={quote(RUN)}")
    assert again == dict.fromkeys(again, 0)
    (found,) = deletions(any_service, project)
    moments = [
        datetime.fromisoformat(found.pop(f"{name}_at")) for name in ("requested", "finished")
    ]
    assert moments == sorted(moments)
    assert found.pop("deletion_id")
    assert found == {
        "evaluation_run_id": RUN,
        "requested_by": "admin",
        "state": "finished",
        "num_predictions": 2,
        "num_scores": 3,
        "num_cleared": 6,
    }


def test_a_run_that_only_scores_name_is_deleted(any_service: Service, project: str) -> None:
    add(any_service, project, evaluation_run_id="named")
    kept = add(any_service, project)
    query = "evaluation_runs?evaluation_run_ids=named&evaluation_run_ids="
    answer = any_service.send("DELETE", f"/v2/acme/{project}/{query}")
    assert answer.json == {"num_deleted": 1}
    assert [each["score_id"] for each in listed(any_service, project)] == [kept]


def test_weaves_delete_takes_the_scores_of_a_prediction_along(
    any_service: Service, project: str
) -> None:
    first, *_ = fill(any_service, project)
    unassigned = add(any_service, project, prediction_id=f"{RUN}/2")
    elsewhere = add(any_service, project, prediction_id=f"{RUN}/2", evaluation_run_id="other")
    query = f"prediction_ids={quote(RUN)}/2&prediction_ids=nothing"
    answer = any_service.send("DELETE", f"/v2/acme/{project}/predictions?{query}")
    assert answer.json == {"num_deleted": 1}
    assert [each["score_id"] for each in listed(any_service, project)] == [first, elsewhere]
    assert any_service.send("GET", f"/v2/acme/{project}/scores/{unassigned}").status == 404
    assert len(listed(any_service, project, "predictions")) == 1


def test_a_prediction_that_only_scores_name_is_deleted(any_service: Service, project: str) -> None:
    kept = [add(any_service, project), add(any_service, project, evaluation_run_id="other")]
    for _ in range(2):
        add(any_service, project, evaluation_run_id=RUN)
    deleted = delete(
        any_service, project, f"predictions?run={quote(RUN)}&prediction=p&prediction=q"
    )
    assert deleted == {"num_deleted": 1, "num_scores": 2}
    assert [each["score_id"] for each in listed(any_service, project)] == kept
    assert delete(any_service, project, "predictions?prediction=p")["num_scores"] == 1


def test_a_pending_deletion_is_hidden_and_finished_in_the_background(
    any_service: Service, project: str, store: Store
) -> None:
    score_ids = fill(any_service, project)
    cursor = any_service.send("GET", f"/v2/acme/{project}/scores/changes").headers[
        "Scoreline-Cursor"
    ]
    score = {"prediction_id": "p", "scorer": "s", "value": 1, "evaluation_run_id": RUN}
    batch = {"scores": [score] * 20}
    assert any_service.post(f"/v2/acme/{project}/scores/batch", batch).status == 200
    store.begin_deletions("acme", project, [RUN], "key")
    new = add(any_service, project, evaluation_run_id=RUN)
    path = f"/v2/acme/{project}/scores"
    assert [each["score_id"] for each in listed(any_service, project)] == [new]
    assert any_service.send("GET", f"{path}/{score_ids[0]}").status == 404
    changes = any_service.send("GET", f"{path}/changes?cursor={cursor}&limit=9")
    assert score_ids[0] not in changes.body.decode()
    summary = any_service.send("GET", f"{path}/summary?evaluation_run_id={quote(RUN)}").json
    assert [group["attempted"] for group in summary["groups"]] == [1]
    (found,) = finished(any_service, project)
    assert (found["num_scores"], found["num_cleared"]) == (23, 26)
    assert [each["score_id"] for each in listed(any_service, project)] == [new]


def test_an_import_into_a_run_finishes_its_deletion_first(
    any_service: Service, project: str, store: Store
) -> None:
    fill(any_service, project)
    path = f"/v2/acme/{project}/scores"
    exported = any_service.send("GET", f"{path}/export").body
    store.begin_deletions("acme", project, [RUN], "key")
    answer = any_service.send(
        "POST", f"{path}/import", exported, {"Content-Type": "application/jsonl"}
    )
    assert (answer.status, answer.json["num_created"]) == (200, 3), answer.body
    assert len(listed(any_service, project)) == 3
    assert [each["state"] for each in deletions(any_service, project)] == ["finished"]


def test_a_create_is_repeated_after_a_deletion(any_service: Service, project: str) -> None:
    body = {"prediction_id": "p", "scorer": "s", "value": 1, "evaluation_run_id": RUN}
    retries = ({"Idempotency-Key": "k"}, {"X-Stainless-Retry-Count": "1"})
    for headers in retries:
        ids = []
        for _ in range(2):
            answer = any_service.post(f"/v2/acme/{project}/scores", body, headers=headers)
            ids.append(answer.json["score_id"])
            delete(any_service, project, f"runs?run={quote(RUN)}")
        assert len(set(ids)) == 2


def test_deletions_are_listed_in_pages(any_service: Service, project: str) -> None:
    for run in ("1", "2", "3"):
        add(any_service, project, evaluation_run_id=run)
    delete(any_service, project, "runs?run=1&run=2&run=3")
    path, seen = f"/v1/acme/{project}/deletions?limit=2&state=finished", []
    while path:
        answer = any_service.send("GET", path)
        seen += [each["evaluation_run_id"] for each in answer.json["deletions"]]
        link = answer.headers["Link"]
        path = f"/v1/acme/{project}/deletions{link.partition('>')[0][1:]}" if link else ""
    assert seen == ["1", "2", "3"]


@pytest.mark.parametrize(
    ("method", "path", "kind"),
    [
        ("DELETE", "runs", "missing"),
        ("DELETE", "runs?run=r&cascade=1", "extra_forbidden"),
        ("DELETE", f"runs?{'&'.join(f'run={n}' for n in range(1_001))}", "too_long"),
        ("DELETE", "predictions", "missing"),
        ("DELETE", "predictions?prediction=p&run=a&run=b", "repeated_parameter"),
        ("GET", "deletions?state=done", "literal_error"),
        ("GET", "deletions?limit=0", "greater_than_equal"),
        ("GET", "deletions?after=x", "string_pattern_mismatch"),
        ("GET", "deletions?run=x", "extra_forbidden"),
    ],
)
def test_wrong_parameters_are_refused(service: Service, method: str, path: str, kind: str) -> None:
    answer = service.send(method, f"/v1/acme/demo/{path}")
    assert (answer.status, answer.json["detail"][0]["type"]) == (422, kind)


def test_a_deletion_is_in_the_audit_log(service: Service, project: str) -> None:
    fill(service, project)
    delete(service, project, f"runs?run={quote(RUN)}&run=nothing")
    delete(service, project, "predictions?prediction=p")
    lines = [each for each in service.log_lines() if each.get("project") == project]
    run, prediction = [each for each in lines if each["message"] == "audit"]
    assert (run["action"], run["outcome"]) == ("evaluation_runs.delete", "done")
    assert (run["evaluation_run_ids"], run["by_key_id"]) == ([RUN, "nothing"], "admin")
    assert (run["num_deleted"], run["num_predictions"], run["num_scores"]) == (1, 2, 3)
    assert (prediction["action"], prediction["prediction_ids"]) == ("predictions.delete", ["p"])


def test_deleted_scores_and_documents_are_counted(service: Service, project: str) -> None:
    def counts() -> dict[str, float]:
        text = service.send("GET", "/metrics").body.decode()
        lines = [line for line in text.splitlines() if line[:1] != "#" and "deleted_total" in line]
        return {name: float(count) for name, count in map(str.split, lines)}

    fill(service, project)
    before = counts()
    delete(service, project, f"runs?run={quote(RUN)}")
    grown = {name: count - before[name] for name, count in counts().items()}
    assert sorted(filter(None, grown.values())) == [1, 2, 3]
