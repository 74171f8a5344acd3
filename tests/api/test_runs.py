"""Scoreline's own lists of runs, their predictions, scorers and projects, over HTTP."""

from __future__ import annotations

import json
import re
import secrets
from typing import Any
from urllib.parse import quote, urlencode

import pytest

from app.examples import row_digest
from app.services import runs as runs_service
from tests.processes import ADMIN_KEY, Answer, Service

EVALUATION_RUN: dict[str, Any] = {"evaluation": "e", "model": "m"}
PREDICTION: dict[str, Any] = {"model": "m", "inputs": {"q": 1}, "output": 2}
NAMED_ONLY: dict[str, Any] = {
    "name": None,
    "description": None,
    "explicit": False,
    "evaluation": None,
    "model": None,
    "dataset": None,
    "source_evaluation_run_id": None,
    "status": None,
    "started_at": None,
    "finished_at": None,
    "expected": None,
    "attributes": None,
    "archived": False,
    "approved": False,
    "wb_user_id": None,
}
"""The fields of a run that only others name, without its id, time and counts."""


@pytest.fixture
def project() -> str:
    """Return a new project."""
    return f"acme/{secrets.token_hex(8)}"


def send(service: Service, method: str, path: str, body: Any = None, **query: Any) -> Answer:
    sent = None if body is None else json.dumps(body).encode()
    return service.send(method, f"{path}?{urlencode(query, doseq=True)}", sent)


def lines(answer: Answer) -> list[dict[str, Any]]:
    assert answer.status == 200, answer.body
    assert answer.headers["Content-Type"] == "application/jsonl"
    return [json.loads(line) for line in answer.body.splitlines()]


def listed(service: Service, project: str, kind: str = "runs", **query: Any) -> list[Any]:
    return lines(send(service, "GET", f"/v1/{project}/{kind}", **query))


def names(service: Service, project: str, **query: Any) -> list[str]:
    return [each["evaluation_run_id"] for each in listed(service, project, **query)]


def paged(service: Service, path: str, query: str) -> list[list[dict[str, Any]]]:
    """Return all pages of a list, by following its links."""
    pages = []
    while query:
        answer = service.send("GET", f"{path}?{query}")
        pages.append(lines(answer))
        link = re.fullmatch(r'<\?(.+)>; rel="next"', answer.headers.get("Link", ""))
        query = link[1] if link else ""
    return pages


def add_run(service: Service, project: str, run_id: str, **fields: Any) -> None:
    body = {**EVALUATION_RUN, "evaluation_run_id": run_id, **fields}
    assert service.post(f"/v2/{project}/evaluation_runs", body).status == 200


def add_prediction(service: Service, project: str, run_id: str | None, **fields: Any) -> str:
    body = {**PREDICTION, "evaluation_run_id": run_id, **fields}
    return str(service.post(f"/v2/{project}/predictions", body).json["prediction_id"])


def add_score(
    service: Service, project: str, run_id: str | None, prediction_id: str = "p", **fields: Any
) -> str:
    body = {"prediction_id": prediction_id, "scorer": "s", "value": 1, **fields}
    answer = service.post(f"/v2/{project}/scores", {**body, "evaluation_run_id": run_id})
    return str(answer.json["score_id"])


def change(service: Service, project: str, run_id: str, **fields: Any) -> Answer:
    return send(service, "PATCH", f"/v1/{project}/runs", fields, run=run_id)


# Runs


def test_a_run_is_listed_with_what_is_known_of_it_and_its_counts(
    any_service: Service, project: str
) -> None:
    fields = {
        "name": "nightly",
        "description": "",
        "dataset": "d",
        "attributes": {"commit": "abc", "n": 10**30},
        "expected": 4,
        "started_at": "2026-01-02T03:04:05.000006Z",
        "finished_at": "2026-01-02T03:04:07Z",
        "source_evaluation_run_id": "x",
    }
    add_run(any_service, project, "ci/main/1", **fields)
    stored = add_prediction(any_service, project, "ci/main/1")
    for scorer in ("acc:v1", "acc:v2", "other:v1"):
        reference = f"weave:///{project}/object/{scorer}"
        add_score(any_service, project, "ci/main/1", stored, scorer=reference)
    add_score(any_service, project, "ci/main/1", "named", value=None)
    (run,) = listed(any_service, project)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", run.pop("created_at"))
    assert re.fullmatch("[0-9a-f]{32}", run.pop("revision"))
    assert run == {
        "evaluation_run_id": "ci/main/1",
        **EVALUATION_RUN,
        **fields,
        "explicit": True,
        "status": "completed",
        "archived": False,
        "approved": False,
        "wb_user_id": "admin",
        "predictions": 2,
        "scores": 3,
        "superseded": 1,
        "scorers": ["acc", "other", "s"],
        "num_scorers": 3,
    }


def test_a_run_that_only_others_name_is_listed_once(any_service: Service, project: str) -> None:
    add_score(any_service, project, "a/1")
    add_score(any_service, project, None)
    add_score(any_service, project, "")
    add_prediction(any_service, project, "b")
    add_prediction(any_service, project, None)
    add_score(any_service, project, "b")
    found = listed(any_service, project)
    assert [each.pop("evaluation_run_id") for each in found] == ["b", "a/1"]
    counts = {"superseded": 0, "scorers": ["s"], "num_scorers": 1, "scores": 1}
    for run, predictions in zip(found, (2, 1), strict=True):
        assert run.pop("created_at")
        assert run.pop("revision")
        assert run == {**NAMED_ONLY, **counts, "predictions": predictions}
    add_run(any_service, project, "a/1")
    assert names(any_service, project) == ["a/1", "b"]
    assert lines(any_service.send("GET", f"/v2/{project}/evaluation_runs"))[0]["model"] == "m"


def test_runs_are_paged_newest_first(any_service: Service, project: str) -> None:
    wanted: list[str] = []
    for number in range(7):
        wanted.insert(0, f"r/{number}&é")
        (add_run if number % 2 else add_score)(any_service, project, wanted[0])
    for limit in (1, 2, 3, 7, 1_000):
        pages = paged(any_service, f"/v1/{quote(project)}/runs", f"limit={limit}")
        assert [each["evaluation_run_id"] for page in pages for each in page] == wanted
        assert [len(page) for page in pages[:-1]] == [limit] * (len(pages) - 1)
    assert names(any_service, project) == wanted


def test_runs_are_filtered(any_service: Service, project: str) -> None:
    add_run(any_service, project, "a", name="The NIGHTLY one", dataset="d")
    add_run(any_service, project, "b", model="other", attributes={"tags": ["x", 1], "n": 1})
    add_run(any_service, project, "c", evaluation="f", attributes={"n": 2, "t": "a=b"})
    add_score(any_service, project, "nightly/2")
    any_service.send("POST", f"/v2/{project}/evaluation_runs/c/finish")
    assert change(any_service, project, "a", archived=True).status == 200
    for query, wanted in (
        ({}, ["nightly/2", "c", "b"]),
        ({"archived": "true"}, ["a"]),
        ({"archived": "all"}, ["nightly/2", "c", "b", "a"]),
        ({"name": "nightly"}, ["nightly/2"]),
        ({"name": "nightly", "archived": "all"}, ["nightly/2", "a"]),
        ({"name": "NIGHTLY", "archived": "all", "dataset": "d"}, ["a"]),
        ({"status": "completed"}, ["c"]),
        ({"status": "running"}, ["b"]),
        ({"model": "other"}, ["b"]),
        ({"model": "", "evaluation": "", "dataset": "", "name": ""}, ["nightly/2", "c", "b"]),
        ({"evaluation": "f"}, ["c"]),
        ({"attribute": "n"}, ["c", "b"]),
        ({"attribute": "n=2"}, ["c"]),
        ({"attribute": "tags=x"}, ["b"]),
        ({"attribute": ["tags=1", "n=1"]}, ["b"]),
        ({"attribute": ["tags=1", "n=2"]}, []),
        ({"attribute": "t=a=b"}, ["c"]),
        ({"attribute": "nothing"}, []),
        ({"run": "a"}, ["a"]),
        ({"run": "a", "archived": "false"}, []),
        ({"run": "nightly/2"}, ["nightly/2"]),
        ({"run": "nightly/2", "status": "running"}, []),
        ({"run": "nobody"}, []),
        ({"created_at_from": "2020-01-01"}, ["nightly/2", "c", "b"]),
        ({"created_at_to": "2020-01-01"}, []),
        ({"created_at_from": "2100-01-01"}, []),
    ):
        assert names(any_service, project, **query) == wanted, query
    first = listed(any_service, project, run="b")[0]["created_at"]
    assert names(any_service, project, created_at_from=first)[-1] == "b"
    assert "b" not in names(any_service, project, created_at_to=first)


def test_a_filtered_list_ends_no_page_without_a_link_before_its_end(
    any_service: Service, project: str
) -> None:
    for number in range(6):
        add_run(any_service, project, f"{number}", model=f"m{number % 3}")
    pages = paged(any_service, f"/v1/{project}/runs", "limit=1&model=m0")
    assert [each["evaluation_run_id"] for page in pages for each in page] == ["3", "0"]


@pytest.mark.parametrize(
    ("method", "query", "kind"),
    [
        ("GET", "limit=0", "greater_than_equal"),
        ("GET", "limit=1001", "less_than_equal"),
        ("GET", "after=x", "string_pattern_mismatch"),
        ("GET", "status=ended", "literal_error"),
        ("GET", "archived=yes", "literal_error"),
        ("GET", "run=", "string_too_short"),
        ("GET", "run=a&run=b", "repeated_parameter"),
        ("GET", "created_at_from=x", "datetime_from_date_parsing"),
        ("GET", "offset=1", "extra_forbidden"),
        ("PATCH", "", "missing"),
        ("PATCH", "run=a&name=b", "extra_forbidden"),
    ],
)
def test_a_wrong_query_is_refused(
    service: Service, project: str, method: str, query: str, kind: str
) -> None:
    body = b'{"name":"n"}' if method == "PATCH" else None
    answer = service.send(method, f"/v1/{project}/runs?{query}", body)
    assert (answer.status, answer.json["detail"][0]["type"]) == (422, kind)


# Changes of a run


def approve(service: Service, project: str, **body: Any) -> Answer:
    return send(service, "POST", f"/v1/{project}/runs/approvals", body)


def test_a_run_is_approved(any_service: Service, project: str) -> None:
    assert listed(any_service, project, "runs/approvals") == []
    add_run(any_service, project, "a", name="The first")
    add_score(any_service, project, "b")
    for run in ("The first", "b", "a"):
        assert approve(any_service, project, run=run, reason=f"as {run} 😀").status == 200
    approvals = listed(any_service, project, "runs/approvals")
    assert [each["evaluation_run_id"] for each in approvals] == ["a", "b", "a"]
    newest = approvals[0]
    assert re.fullmatch(r"[0-9T:.Z-]+", newest.pop("created_at"))
    assert re.fullmatch("[0-9a-f-]{36}", newest.pop("approval_id"))
    assert newest == {
        "evaluation_run_id": "a",
        "reason": "as a 😀",
        "wb_user_id": "admin",
    }
    pages = paged(any_service, f"/v1/{project}/runs/approvals", "limit=2")
    assert [len(page) for page in pages] == [2, 1]
    shown = {each["evaluation_run_id"]: each["approved"] for each in listed(any_service, project)}
    assert shown == {"a": True, "b": False}
    assert change(any_service, project, "a", description="d").json["approved"] is True


@pytest.mark.parametrize(
    ("body", "status", "type_"),
    [
        ({"run": "a"}, 422, "missing"),
        ({"run": "a", "reason": ""}, 422, "string_too_short"),
        ({"run": "a", "reason": "r" * 1_001}, 422, "string_too_long"),
        ({"run": "a", "reason": "r", "why": "r"}, 422, "extra_forbidden"),
        ({"run": "latest:", "reason": "r"}, 422, "value_error"),
        ({"run": "none", "reason": "r"}, 404, None),
    ],
)
def test_what_cannot_be_approved_is_refused(
    any_service: Service, project: str, body: dict[str, Any], status: int, type_: str | None
) -> None:
    add_run(any_service, project, "a")
    answer = approve(any_service, project, **body)
    assert answer.status == status
    if type_:
        (error,) = answer.json["detail"]
        assert (error["type"], error["loc"][0]) == (type_, "body")
    assert listed(any_service, project, "runs/approvals") == []


def test_a_run_is_named_described_and_archived(any_service: Service, project: str) -> None:
    add_run(any_service, project, "a/1", attributes={"commit": "abc"})
    before = listed(any_service, project)[0]
    for fields in (
        {"name": "n", "description": "d"},
        {"attributes": {"tags": ["x"]}, "archived": True},
        {"name": None, "archived": False},
        {"description": None, "attributes": None},
    ):
        answer = change(any_service, project, "a/1", **fields)
        assert answer.status == 200
        assert answer.json["revision"] != before["revision"]
        before |= {**fields, "revision": answer.json["revision"]}
        assert answer.json == before
        assert listed(any_service, project, run="a/1") == [before]
    done = [each for each in any_service.log_lines() if each.get("action", "").endswith(".change")]
    assert (done[-1]["evaluation_run_id"], done[-1]["by_owner"]) == ("a/1", "admin")
    assert done[-1]["fields"] == ["attributes", "description"]


def test_a_change_of_a_run_shows_in_weaves_resource(any_service: Service, project: str) -> None:
    add_run(any_service, project, "a")
    before = any_service.send("GET", f"/v2/{project}/evaluation_runs/a").json
    change(any_service, project, "a", name="n", attributes={"a": 1.0}, archived=True)
    after = any_service.send("GET", f"/v2/{project}/evaluation_runs/a").json
    assert after == {**before, "name": "n", "attributes": {"a": 1.0}}
    assert lines(any_service.send("GET", f"/v2/{project}/evaluation_runs")) == [after]


def test_a_run_that_only_scores_name_becomes_explicit_when_it_is_named(
    any_service: Service, project: str
) -> None:
    add_score(any_service, project, "a/1")
    add_score(any_service, project, "b")
    (before,) = listed(any_service, project, run="a/1")
    changed = change(any_service, project, "a/1", name="n").json
    own = {"explicit": True, "name": "n", "evaluation": "", "model": "", "status": "running"}
    own |= {"wb_user_id": "admin"}
    assert changed["started_at"].removesuffix("Z")[:19] == before["created_at"][:19]
    new = {name: changed[name] for name in ("started_at", "revision")}
    assert changed == {**before, **own, **new}
    assert names(any_service, project) == ["b", "a/1"]
    listed_by_weave = lines(any_service.send("GET", f"/v2/{project}/evaluation_runs"))
    assert [each["evaluation_run_id"] for each in listed_by_weave] == ["a/1"]


def test_a_run_that_nobody_names_is_a_404(any_service: Service, project: str) -> None:
    add_score(any_service, project, "a")
    before = len(any_service.log_lines())
    answer = change(any_service, project, "b/1", name="n")
    assert answer.status == 404
    assert answer.json == {"detail": "Not Found", "reason": "Evaluation run b/1 not found"}
    assert names(any_service, project) == ["a"]
    assert not [each for each in any_service.log_lines()[before:] if "action" in each]


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        ({}, "value_error"),
        ({"name": 1}, "string_type"),
        ({"attributes": []}, "dict_type"),
        ({"archived": "maybe"}, "bool_type"),
        ({"archived": None}, "bool_type"),
        ({"archived": 1}, "bool_type"),
        ({"status": "completed"}, "extra_forbidden"),
    ],
)
def test_a_wrong_change_is_refused(service: Service, project: str, body: Any, kind: str) -> None:
    add_score(service, project, "a")
    answer = change(service, project, "a", **body)
    assert (answer.status, answer.json["detail"][0]["type"]) == (422, kind)
    assert listed(service, project)[0]["explicit"] is False


def test_a_change_without_a_field_is_refused_at_the_body(service: Service, project: str) -> None:
    add_score(service, project, "a")
    (error,) = change(service, project, "a").json["detail"]
    assert (error["loc"], error["input"]) == (["body"], {})


# Predictions of a run


def test_predictions_of_a_run_are_listed_with_their_current_scores(
    any_service: Service, project: str
) -> None:
    fields = {
        "inputs": {"a.b": 1.0},
        "output": "é😀",
        "error": "e",
        "trial": 7,
        "example_id": "x/1",
        "started_at": "2026-01-02T03:04:05.000006Z",
        "finished_at": "2026-01-02T03:04:06Z",
        "usage": {"input_tokens": 3},
        "metadata": {"a": None},
        "prediction_id": "p/1",
    }
    add_prediction(any_service, project, "r/1", **fields)
    add_score(any_service, project, "r/1", "p/1", scorer="b", value=0)
    for value in (None, {"a": 1.0}):
        add_score(any_service, project, "r/1", "p/1", scorer="b", value=value)
    add_score(any_service, project, "r/1", "p/1", scorer="a", annotator="olga", reason="why")
    add_score(any_service, project, "q", "p/1", scorer="c")
    add_score(any_service, project, "r/1", "named")
    named, stored = listed(any_service, project, "predictions", run="r/1")
    scores = stored.pop("scores")
    assert stored.pop("created_at")
    assert stored == {
        **fields,
        "model": "m",
        "evaluation_run_id": "r/1",
        "explicit": True,
        "wb_user_id": "admin",
        "num_scores": 2,
    }
    assert [(each["scorer_name"], each["value"]) for each in scores] == [
        ("a", 1),
        ("b", {"a": 1.0}),
    ]
    for score in scores:
        assert score.pop("scorer_name")
        assert score == any_service.send("GET", f"/v2/{project}/scores/{score['score_id']}").json
    assert named["created_at"] == named["scores"][0]["created_at"]
    assert {name for name, value in named.items() if value is not None} == {
        *("prediction_id", "evaluation_run_id", "explicit", "created_at", "scores", "num_scores")
    }
    assert (named["prediction_id"], named["explicit"], named["num_scores"]) == ("named", False, 1)


def test_a_prediction_has_its_example_and_its_trial(any_service: Service, project: str) -> None:
    def add(inputs: Any, started_at: str | None = None, **fields: Any) -> str:
        return add_prediction(
            any_service, project, "r", inputs=inputs, started_at=started_at, **fields
        )

    made = [
        add({"q": 1}, "2026-01-02T00:00:00Z"),
        add({}),
        add({"q": 1}, "2026-01-01T00:00:00Z"),
        add({"q": 1}, "2026-01-03T00:00:00Z", trial=9),
        add({"q": 2}, example_id="given"),
        add({"q": 3}, example_id="given"),
    ]
    add_prediction(any_service, project, "other", inputs={"q": 1})
    digest = row_digest({"q": 1})
    wanted = {
        made[0]: (digest, 1),
        made[1]: (made[1], 0),
        made[2]: (digest, 0),
        made[3]: (digest, 9),
        made[4]: ("given", 0),
        made[5]: ("given", 1),
    }
    for limit in (1, 2, 10):
        pages = paged(any_service, f"/v1/{project}/predictions", f"run=r&limit={limit}")
        found = [each for page in pages for each in page]
        assert [each["prediction_id"] for each in found] == made[::-1]
        for each in found:
            assert (each["example_id"], each["trial"]) == wanted[each["prediction_id"]]


def test_predictions_are_told_apart_by_run(any_service: Service, project: str) -> None:
    add_prediction(any_service, project, "a", prediction_id="p")
    add_score(any_service, project, "b", "p")
    for run_id, explicit in (("a", True), ("b", False)):
        (found,) = listed(any_service, project, "predictions", run=run_id)
        assert (found["prediction_id"], found["explicit"]) == ("p", explicit)


def test_predictions_of_a_run_that_is_not_there_are_a_404(
    any_service: Service, project: str
) -> None:
    add_run(any_service, project, "empty")
    assert listed(any_service, project, "predictions", run="empty") == []
    answer = send(any_service, "GET", f"/v1/{project}/predictions", run="no/run")
    assert answer.status == 404
    assert answer.json == {"detail": "Not Found", "reason": "Evaluation run no/run not found"}
    assert send(any_service, "GET", f"/v1/{project}/predictions").status == 422
    assert send(any_service, "GET", f"/v1/{project}/predictions", run="").status == 422


# Scorers


def test_scorers_are_listed_with_references_and_leaves(any_service: Service, project: str) -> None:
    old, new = (f"weave:///{project}/object/Acc:{version}" for version in ("v1", "v2"))
    add_score(any_service, project, "r", "p1", scorer=old, value={"f1": 1, "why": "x"})
    add_score(any_service, project, "r", "p2", scorer=old, value={"f1": True, "n": None})
    add_score(any_service, project, "r", "p2", scorer=new, value={"f1": 0.5})
    add_score(any_service, project, "q", "p2", scorer="plain", value=[1, 2])
    plain, acc = listed(any_service, project, "scorers")
    assert acc.pop("created_at") <= plain.pop("created_at")
    assert acc == {
        "scorer_name": "Acc",
        "scores": 2,
        "superseded": 1,
        "references": [{"scorer": old, "scores": 1}, {"scorer": new, "scores": 1}],
        "num_references": 2,
        "leaves": [{"leaf": "f1", "kinds": {"number": 2}}, {"leaf": "why", "kinds": {"text": 1}}],
        "num_leaves": 2,
    }
    assert plain["leaves"] == [
        {"leaf": "[0]", "kinds": {"number": 1}},
        {"leaf": "[1]", "kinds": {"number": 1}},
    ]
    for query, wanted in (
        ({"run": "q"}, ["plain"]),
        ({"scorer_name": "Acc"}, ["Acc"]),
        ({"run": "q", "scorer_name": "Acc"}, []),
        ({"scorer_name": ""}, ["plain", "Acc"]),
    ):
        found = listed(any_service, project, "scorers", **query)
        assert [each["scorer_name"] for each in found] == wanted, query
    pages = paged(any_service, f"/v1/{project}/scorers", "limit=1")
    assert [[each["scorer_name"] for each in page] for page in pages] == [["plain"], ["Acc"]]


# Projects


def test_a_key_lists_the_projects_that_it_may_read(any_service: Service) -> None:
    entity = secrets.token_hex(8)
    for project in ("a", "b ü", "c"):
        add_score(any_service, quote(f"{entity}/{project}"), "r")
    add_prediction(any_service, f"{entity}/c", "s")

    def projects(scope: str, role: str = "read", query: str = "") -> list[str]:
        made = any_service.post("/v1/keys", {"name": "n", "role": role, "scope": scope}).json
        path = f"/v1/projects?{query}"
        return [
            f"{each['entity']}/{each['project']}"
            for each in lines(any_service.send("GET", path, key=made["key"]))
        ]

    whole = [f"{entity}/{name}" for name in ("c", "b ü", "a")]
    assert projects(f"{entity}/*") == whole
    assert projects(f"{entity}/b ü", "write") == [f"{entity}/b ü"]
    assert projects(f"{entity}/nothing") == []
    assert projects("*", query=f"entity={entity}") == whole
    assert projects(f"{entity}/*", query="entity=another") == []
    pages = paged(any_service, "/v1/projects", f"limit=2&entity={entity}")
    assert [len(page) for page in pages] == [2, 1]
    found = {each["project"]: each for page in pages for each in page}
    counts = {name: found["c"][name] for name in ("runs", "predictions", "scores")}
    assert counts == {"runs": 2, "predictions": 1, "scores": 1}


def test_a_filter_examines_a_bounded_number_of_runs(
    monkeypatch: pytest.MonkeyPatch, app: Any
) -> None:
    monkeypatch.setattr(runs_service, "MAX_EXAMINED", 2)
    client = app.test_client()
    headers = {"Authorization": f"Bearer {ADMIN_KEY}"}
    for number in range(5):
        body = {**EVALUATION_RUN, "model": f"m{number}"}
        client.post("/v2/a/b/evaluation_runs", json=body, headers=headers)
    query, found = "model=m0", []
    while query:
        answer = client.get(f"/v1/a/b/runs?{query}", headers=headers)
        found.append(len(answer.data.splitlines()))
        query = answer.headers.get("Link", "<?>")[2:].partition(">")[0]
    assert found == [0, 0, 1]
