"""Predictions and evaluation runs over HTTP: Weave's contract and the fields beyond it."""

from __future__ import annotations

import json
import re
import secrets
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import Any
from urllib.parse import quote

import pytest

from app.ids import is_uuid7
from tests.golden import golden_rows
from tests.processes import Answer, Service

PREDICTION: dict[str, Any] = {"model": "m", "inputs": {"q": 1}, "output": 2}
RUN: dict[str, Any] = {"evaluation": "e", "model": "m"}
BODIES = {"predictions": PREDICTION, "evaluation_runs": RUN}
IDS = {"predictions": "prediction_id", "evaluation_runs": "evaluation_run_id"}
NOUNS = {"predictions": "Prediction", "evaluation_runs": "Evaluation run"}
EXTENSIONS: dict[str, dict[str, Any]] = {
    "predictions": {
        "example_id": "row é",
        "trial": 2**53 - 1,
        "error": "it failed\n",
        "started_at": "2026-01-02T03:04:05.000006Z",
        "finished_at": "2026-01-02T03:04:05.100000Z",
        "usage": {"input_tokens": 3},
        "metadata": {"a": [1.0, None, 10**30], "": "\ud800"},
    },
    "evaluation_runs": {
        "name": "nightly",
        "description": "",
        "dataset": "weave:///a/b/object/d:1",
        "attributes": {"commit": "abc", "tags": ["a", 1.0]},
        "expected": 0,
    },
}
kinds = pytest.mark.parametrize("kind", BODIES)
UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}")
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{6})?Z")


@pytest.fixture
def project() -> str:
    """Return the path of a new project."""
    return f"/v2/acme/{secrets.token_hex(8)}"


def create(service: Service, path: str, kind: str, **fields: Any) -> str:
    answer = service.post(f"{path}/{kind}", {**BODIES[kind], **fields})
    assert answer.status == 200, answer.body
    assert list(answer.json) == [IDS[kind]]
    return str(answer.json[IDS[kind]])


def read(service: Service, path: str, kind: str, document_id: str) -> dict[str, Any]:
    answer = service.send("GET", f"{path}/{kind}/{document_id}")
    assert answer.status == 200, answer.body
    return dict(answer.json)


def lines(answer: Answer) -> list[dict[str, Any]]:
    assert answer.status == 200, answer.body
    assert answer.headers["Content-Type"] == "application/jsonl"
    return [json.loads(line) for line in answer.body.splitlines()]


def listed(service: Service, path: str, kind: str, query: str = "") -> list[str]:
    return [each[IDS[kind]] for each in lines(service.send("GET", f"{path}/{kind}?{query}"))]


# The recorded responses of Weave's own server


class Recording:
    """Maps the ids of recorded responses to those of this service."""

    def __init__(self) -> None:
        self.ids: dict[str, str] = {}
        self.outputs: dict[str, Any] = {}

    def ours(self, text: str) -> str:
        """Return a recorded text with the ids of this service."""
        return UUID.sub(lambda match: self.ids.get(match[0], match[0]), text)

    def note(self, row: dict[str, Any], answer: Answer) -> None:
        """Store the id of a new document, and the output of a prediction."""
        for name in IDS.values():
            if list(row["response"]) == [name]:
                self.ids[row["response"][name]] = answer.json[name]
                self.outputs[answer.json[name]] = (row["request"] or {}).get("output")

    def expected(self, row: dict[str, Any]) -> Any:
        """Return the recorded response, adapted where Scoreline differs on purpose."""
        found = json.loads(self.ours(json.dumps(row["response"])))
        wanted = re.search(r"evaluation_run_ids=([^&]+)", self.ours(row["query"]))
        if isinstance(found, list) and wanted and row["path"].endswith("evaluation_runs"):
            found = [each for each in found if each["evaluation_run_id"] == wanted[1]]
        for each in found if isinstance(found, list) else [found]:
            if "wb_user_id" in each:
                each["wb_user_id"] = "admin"
                each["output"] = self.outputs[each["prediction_id"]]
            if row["status"] == 404:
                reason = each["reason"].removeprefix("NotFoundError: ")
                each.clear()
                each |= {"detail": "Not Found", "reason": reason}
        return found


def without_times(content: Any) -> Any:
    """Check the times and latencies of runs, and return the rest."""
    for each in content if isinstance(content, list) else [content]:
        if "started_at" in each:
            finished_at = each["finished_at"]
            assert TIME.fullmatch(each["started_at"])
            assert finished_at is None or TIME.fullmatch(finished_at)
            latency = each["summary"]["weave"].get("latency_ms", 0)
            assert (type(latency), latency >= 0) == (int, True)
            each["started_at"] = each["finished_at"] = finished_at is None
            if "latency_ms" in each["summary"]["weave"]:
                each["summary"]["weave"]["latency_ms"] = 0
    return content


def test_every_answer_is_that_of_weaves_server(any_service: Service, project: str) -> None:
    recording = Recording()
    for row in golden_rows("weave_documents.jsonl"):
        path = recording.ours(row["path"]).replace("/v2/acme/v2", project)
        query = f"?{recording.ours(row['query'])}" if row["query"] else ""
        text = recording.ours(json.dumps(row["request"]))
        body = None if row["request"] is None else text.encode()
        headers = {"Accept": row["accept"], "X-Stainless-Retry-Count": "0"}
        if row["content_type"]:
            headers["Content-Type"] = row["content_type"]
        answer = any_service.send(row["method"], path + query, body, headers)
        recording.note(row, answer)
        found = lines(answer) if isinstance(row["response"], list) else answer.json
        assert answer.status == row["status"], (row, answer.body)
        wanted = without_times(recording.expected(row))
        # Compared as text, because the order of the fields is Weave's too.
        assert json.dumps(without_times(found)) == json.dumps(wanted), row


# Create and read


@kinds
def test_the_further_fields_are_read_as_they_were_sent(
    any_service: Service, project: str, kind: str
) -> None:
    plain = read(any_service, project, kind, create(any_service, project, kind))
    document_id = create(any_service, project, kind, **EXTENSIONS[kind])
    whole = read(any_service, project, kind, document_id)
    assert list(whole) == [*plain, *EXTENSIONS[kind]]
    assert {name: whole[name] for name in EXTENSIONS[kind]} == EXTENSIONS[kind]
    assert lines(any_service.send("GET", f"{project}/{kind}"))[1] == whole


@kinds
def test_a_null_field_is_absent(any_service: Service, project: str, kind: str) -> None:
    plain = read(any_service, project, kind, create(any_service, project, kind))
    nulls = dict.fromkeys([*EXTENSIONS[kind], IDS[kind], "started_at", "finished_at"])
    again = read(any_service, project, kind, create(any_service, project, kind, **nulls))
    assert list(plain) == list(again)
    assert is_uuid7(again[IDS[kind]])


@pytest.mark.parametrize("value", [None, 1, 1.0, -0.0, 2**70, "\ud800\0", [], {"a.b": {"$c": []}}])
def test_inputs_and_output_come_back_exactly(
    any_service: Service, project: str, value: Any
) -> None:
    fields = {"inputs": {"": value}, "output": value}
    found = read(
        any_service, project, "predictions", create(any_service, project, "predictions", **fields)
    )
    assert json.dumps([found["inputs"], found["output"]]) == json.dumps([{"": value}, value])


WRONG: list[tuple[str, dict[str, Any], str]] = [
    ("predictions", {"inputs": None}, "dict_type inputs"),
    ("predictions", {"inputs": [], "model": 1}, "string_type model, dict_type inputs"),
    ("predictions", {"evaluation_run_id": 1}, "string_type evaluation_run_id"),
    ("predictions", {"prediction_id": ""}, "string_too_short prediction_id"),
    ("predictions", {"prediction_id": "x" * 1_001}, "string_too_long prediction_id"),
    ("predictions", {"example_id": 7}, "string_type example_id"),
    ("predictions", {"trial": True}, "int_type trial"),
    ("predictions", {"trial": "1"}, "int_type trial"),
    ("predictions", {"trial": 1.0}, "int_type trial"),
    ("predictions", {"trial": -1}, "greater_than_equal trial"),
    ("predictions", {"trial": 2**53}, "less_than_equal trial"),
    ("predictions", {"error": {}}, "string_type error"),
    ("predictions", {"error": "\ud800"}, "string_unicode error"),
    ("predictions", {"started_at": 5}, "datetime_type started_at"),
    ("predictions", {"started_at": "2026-01-02T03:04:05"}, "timezone_aware started_at"),
    ("predictions", {"started_at": "0001-01-01T00:00:00+01:00"}, "datetime_type started_at"),
    (
        "predictions",
        {"started_at": "2026-01-02T00:00:00Z", "finished_at": "2026-01-02T00:00:00+01:00"},
        "value_error finished_at",
    ),
    ("predictions", {"usage": 3, "metadata": []}, "dict_type usage, dict_type metadata"),
    ("evaluation_runs", {"model": None}, "string_type model"),
    (
        "evaluation_runs",
        {"evaluation_run_id": "", "source_evaluation_run_id": 1},
        "string_type source_evaluation_run_id, string_too_short evaluation_run_id",
    ),
    ("evaluation_runs", {"name": 1, "attributes": "a"}, "string_type name, dict_type attributes"),
    ("evaluation_runs", {"expected": -1}, "greater_than_equal expected"),
    (
        "evaluation_runs",
        {"dataset": [], "description": 0},
        "string_type description, string_type dataset",
    ),
]


@pytest.mark.parametrize(("kind", "fields", "found"), WRONG)
def test_a_wrong_field_is_refused(
    service: Service, project: str, kind: str, fields: dict[str, Any], found: str
) -> None:
    answer = service.post(f"{project}/{kind}", {**BODIES[kind], **fields})
    assert answer.status == 422, answer.body
    errors = answer.json["detail"]
    assert ", ".join(f"{each['type']} {each['loc'][1]}" for each in errors) == found
    assert [each["input"] for each in errors] == [fields[each["loc"][1]] for each in errors]
    assert listed(service, project, kind) == []


@pytest.mark.parametrize(
    ("kind", "names"),
    [("predictions", ["model", "inputs", "output"]), ("evaluation_runs", ["evaluation", "model"])],
)
def test_missing_fields_are_reported_in_weaves_order(
    service: Service, project: str, kind: str, names: list[str]
) -> None:
    errors = service.post(f"{project}/{kind}", {}).json["detail"]
    assert [(each["type"], each["loc"][1]) for each in errors] == [("missing", n) for n in names]


# Ids


@kinds
@pytest.mark.parametrize(
    "name", ["ci/main/1", "é ü", "a%2Fb", "finish", "x/finish/y", "batch", "../x", "?#", "a\nb\n"]
)
def test_an_id_that_is_sent_is_the_id(
    any_service: Service, project: str, kind: str, name: str
) -> None:
    path, field = f"{project}/{kind}", IDS[kind]
    assert create(any_service, project, kind, **{field: name}) == name
    assert read(any_service, project, kind, quote(name, safe=""))[field] == name
    finished = any_service.send("POST", f"{path}/{quote(name, safe='')}/finish")
    assert finished.json == {"success": True}
    ids = f"{field}s={quote(name, safe='')}"
    assert any_service.send("DELETE", f"{path}?{ids}").json == {"num_deleted": 1}
    assert listed(any_service, project, kind) == []


@kinds
def test_an_id_that_is_taken_is_a_422(any_service: Service, project: str, kind: str) -> None:
    field = IDS[kind]
    create(any_service, project, kind, **{field: "x"})
    for fields, headers in (
        ({}, {}),
        ({"model": "other"}, {}),
        ({}, {"Idempotency-Key": "k"}),
        ({}, {"X-Stainless-Retry-Count": "0"}),
    ):
        body = {**BODIES[kind], field: "x", **fields}
        answer = any_service.post(f"{project}/{kind}", body, headers=headers)
        (error,) = answer.json["detail"]
        assert (answer.status, error["type"]) == (422, f"{field}_taken")
        assert (error["loc"], error["input"]) == (["body", field], "x")
    assert listed(any_service, project, kind) == ["x"]
    other = f"{project}-other"
    assert (
        create(any_service, other, kind, **{field: "x"}) == "x"
    )  # Ids are unique only within a project.


def test_an_id_that_only_scores_name_is_adopted(any_service: Service, project: str) -> None:
    score = {"prediction_id": "p", "scorer": "s", "value": 1, "evaluation_run_id": "r"}
    score_id = any_service.post(f"{project}/scores", score).json["score_id"]
    for kind, name in (("predictions", "p"), ("evaluation_runs", "r")):
        assert any_service.send("GET", f"{project}/{kind}/{name}").status == 404
        assert create(any_service, project, kind, **{IDS[kind]: name}) == name
    ids = f"{project}/evaluation_runs?evaluation_run_ids=r"
    assert any_service.send("DELETE", ids).json == {"num_deleted": 1}
    assert any_service.send("GET", f"{project}/scores/{score_id}").status == 404


# A second push of a run


def create_run(service: Service, project: str, if_exists: str, **more: Any) -> Answer:
    headers = more.pop("headers", {})
    path = f"{project}/evaluation_runs?if_exists={if_exists}"
    return service.post(path, {**RUN, "evaluation_run_id": "x", **more}, headers=headers)


def test_a_second_push_appends_to_a_run_and_leaves_it_as_it_is(
    any_service: Service, project: str
) -> None:
    first = create_run(any_service, project, "append", attributes={"commit": "a"}, name="one")
    assert (first.status, first.json) == (200, {"evaluation_run_id": "x"})
    create(any_service, project, "predictions", evaluation_run_id="x")
    stored = read(any_service, project, "evaluation_runs", "x")
    again = create_run(any_service, project, "append", attributes={"commit": "a"})
    assert (again.status, again.json) == (200, {"evaluation_run_id": "x"})
    assert "Scoreline-Ignored" not in again.headers
    other = create_run(any_service, project, "append", attributes={"commit": "b"}, model="n")
    assert other.headers["Scoreline-Ignored"] == "model,attributes"
    assert read(any_service, project, "evaluation_runs", "x") == stored
    assert len(listed(any_service, project, "predictions")) == 1


def test_a_second_push_replaces_a_run_with_all_that_is_in_it(
    any_service: Service, project: str
) -> None:
    create_run(any_service, project, "replace", model="old")
    create(any_service, project, "predictions", evaluation_run_id="x")
    score = {"prediction_id": "p", "scorer": "s", "value": 1, "evaluation_run_id": "x"}
    any_service.post(f"{project}/scores", score)
    answers = [
        create_run(any_service, project, "replace", model="new", headers={"Idempotency-Key": "k"})
        for _ in range(2)
    ]
    assert [answer.json for answer in answers] == [{"evaluation_run_id": "x"}] * 2
    assert answers[1].headers["Idempotent-Replayed"] == "true"
    assert read(any_service, project, "evaluation_runs", "x")["model"] == "new"
    assert listed(any_service, project, "predictions") == []
    assert any_service.send("GET", f"{project}/scores").body == b""


def test_a_key_that_may_not_delete_replaces_no_run(service: Service, project: str) -> None:
    wanted = {"name": "ci", "role": "create", "scope": project.removeprefix("/v2/")}
    key = service.post("/v1/keys", wanted).json["key"]
    create_run(service, project, "append")
    body = {**RUN, "evaluation_run_id": "x", "model": "new"}
    path = f"{project}/evaluation_runs?if_exists"
    assert service.post(f"{path}=replace", body, key=key).status == 403
    assert service.post(f"{path}=append", body, key=key).status == 200
    assert read(service, project, "evaluation_runs", "x")["model"] == "m"


def test_another_word_for_a_second_push_is_refused(service: Service, project: str) -> None:
    (error,) = create_run(service, project, "pool").json["detail"]
    assert (error["type"], error["loc"]) == ("literal_error", ["query", "if_exists"])


# Retries


@kinds
@pytest.mark.parametrize("named", [False, True])
@pytest.mark.parametrize("header", ["Idempotency-Key", "X-Weave-Retry-Id"])
def test_a_retry_with_a_key_gets_the_first_response(
    any_service: Service, project: str, kind: str, header: str, named: bool
) -> None:
    path, headers = f"{project}/{kind}", {header: "k"}
    body = {**BODIES[kind], **({IDS[kind]: "x"} if named else {}), **EXTENSIONS[kind]}
    first = any_service.post(path, body, headers=headers)
    assert "Idempotent-Replayed" not in first.headers
    again = any_service.post(path, body, headers=headers)
    assert (again.status, again.body) == (200, first.body)
    assert again.headers["Idempotent-Replayed"] == "true"
    for other in ({**body, "model": "other"}, {**body, next(iter(EXTENSIONS[kind])): None}):
        refused = any_service.post(path, other, headers=headers)
        assert refused.status == 422
        assert refused.json["detail"][0]["type"] == "idempotency_key_reused"
    assert any_service.send("POST", path, b"{}", {header: "no key"}).status == 422
    assert listed(any_service, project, kind) == [first.json[IDS[kind]]]


@kinds
@pytest.mark.parametrize("named", [False, True])
def test_a_counted_retry_gets_the_first_response(
    any_service: Service, project: str, kind: str, named: bool
) -> None:
    path = f"{project}/{kind}"
    body = {**BODIES[kind], **({IDS[kind]: "x"} if named else {})}

    def send(count: str, **more: str) -> Answer:
        return any_service.post(path, body, headers={"X-Stainless-Retry-Count": count, **more})

    first = send("0")
    again = send("1")
    assert (again.status, again.body) == (200, first.body)
    assert again.headers["Idempotent-Replayed"] == "true"
    # This client keeps sending an old retry id, which is ignored if there is a count.
    assert send("2", **{"X-Weave-Retry-Id": "old"}).body == first.body
    assert send("0").status == (422 if named else 200)
    assert len(listed(any_service, project, kind)) == (1 if named else 2)


@kinds
def test_of_many_retries_at_once_one_creates(any_service: Service, project: str, kind: str) -> None:
    def send(_: int) -> Answer:
        return any_service.post(f"{project}/{kind}", BODIES[kind], headers={"Idempotency-Key": "k"})

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(send, range(16)))
    assert {answer.status for answer in answers} == {200}
    assert len({answer.body for answer in answers}) == 1
    assert sum("Idempotent-Replayed" not in answer.headers for answer in answers) == 1
    assert len(listed(any_service, project, kind)) == 1


# Lists


@kinds
def test_a_list_has_limit_offset_and_links(any_service: Service, project: str, kind: str) -> None:
    names = [create(any_service, project, kind, **{IDS[kind]: f"x{n}"}) for n in (3, 1, 4, 0, 2)]
    for query, wanted in (
        ("", names),
        ("limit=2", names[:2]),
        ("limit=0", []),
        ("limit=2&offset=2", names[2:4]),
        ("offset=4", names[4:]),
        ("offset=5", []),
        (f"offset={10**30}", []),
        (f"limit={10**30}", names),
        ("unknown=1", names),
    ):
        assert listed(any_service, project, kind, query) == wanted, query
    found, query = [], "limit=2&offset=1"
    while query:
        answer = any_service.send("GET", f"{project}/{kind}?{query}")
        found += [each[IDS[kind]] for each in lines(answer)]
        link = re.fullmatch(r'<\?(.+)>; rel="next"', answer.headers.get("Link", ""))
        query = link[1] if link else ""
    assert found == names[1:]
    for wrong in ("limit=-1", "offset=x", "after=x"):
        assert any_service.send("GET", f"{project}/{kind}?{wrong}").status == 422


def test_predictions_are_filtered_by_run(any_service: Service, project: str) -> None:
    runs = ["r/1&ü", None, "r2", "r/1&ü", ""]
    made = [create(any_service, project, "predictions", evaluation_run_id=run) for run in runs]
    filtered = "evaluation_run_id=r/1%26%C3%BC"
    assert listed(any_service, project, "predictions", filtered) == [made[0], made[3]]
    assert listed(any_service, project, "predictions", f"{filtered}&limit=1&offset=1") == [made[3]]
    assert listed(any_service, project, "predictions", "evaluation_run_id=nobody") == []
    assert listed(any_service, project, "predictions", "evaluation_run_id=") == made
    assert read(any_service, project, "predictions", made[4])["evaluation_run_id"] == ""


def test_runs_are_filtered_by_evaluations_models_and_ids(
    any_service: Service, project: str
) -> None:
    made = [
        create(any_service, project, "evaluation_runs", evaluation=f"e{n % 2}", model=f"m{n % 3}")
        for n in range(6)
    ]
    for query, wanted in (
        ("evaluations=e0", made[::2]),
        ("evaluations=e0&evaluations=e1", made),
        ("evaluations=e0&models=m1&models=m2", [made[4], made[2]][::-1]),
        (f"evaluation_run_ids={made[5]}&evaluation_run_ids={made[1]}", [made[1], made[5]]),
        (f"evaluation_run_ids={made[5]}&models=m0", []),
        ("models=m0&limit=1&offset=1", [made[3]]),
        ("models=nobody", []),
        ("models=&evaluations=", made),
    ):
        assert listed(any_service, project, "evaluation_runs", query) == wanted, query


# Finish and delete


def test_a_run_that_is_finished_again_keeps_its_time(any_service: Service, project: str) -> None:
    run_id = create(any_service, project, "evaluation_runs")
    path = f"{project}/evaluation_runs/{run_id}"
    assert any_service.send("POST", f"{path}/finish").json == {"success": True}
    first = any_service.send("GET", path).json
    assert (first["status"], list(first["summary"])) == ("completed", ["weave"])
    assert any_service.post(f"{path}/finish", {"summary": {"a": 1.0}}).status == 200
    again = any_service.send("GET", path).json
    assert again["summary"].pop("a") == 1.0
    assert again == first
    for body in ({}, {"summary": None}):
        assert any_service.post(f"{path}/finish", body).status == 200
        assert any_service.send("GET", path).json["summary"]["a"] == 1.0


def test_the_times_of_a_run_may_be_sent(any_service: Service, project: str) -> None:
    times = {"started_at": "2026-01-02T04:04:05.5+01:00", "finished_at": "1767323047"}
    run_id = create(any_service, project, "evaluation_runs", **times)
    found = read(any_service, project, "evaluation_runs", run_id)
    assert found["started_at"] == "2026-01-02T03:04:05.500000Z"
    assert found["finished_at"] == "2026-01-02T03:04:07Z"
    weave = {"status": "success", "trace_name": "Evaluation.evaluate", "latency_ms": 1500}
    assert (found["status"], found["summary"]) == ("completed", {"weave": weave})
    any_service.send("POST", f"{project}/evaluation_runs/{run_id}/finish")
    assert read(any_service, project, "evaluation_runs", run_id) == found
    ended = create(any_service, project, "evaluation_runs", finished_at="2026-01-02T03:04:07Z")
    assert (
        read(any_service, project, "evaluation_runs", ended)["summary"]["weave"]["latency_ms"] == 0
    )


def test_a_summary_may_be_as_deep_as_a_body(service: Service, project: str) -> None:
    deep: Any = {}
    for _ in range(900):
        deep = {"a": deep}
    run_id = create(service, project, "evaluation_runs", attributes=deep)
    path = f"{project}/evaluation_runs/{run_id}"
    assert service.post(f"{path}/finish", {"summary": deep}).status == 200
    found = service.send("GET", path).json
    assert (found["summary"]["a"], found["attributes"]) == (deep["a"], deep)
    assert len(lines(service.send("GET", f"{project}/evaluation_runs"))) == 1


def test_a_finish_changes_nothing_of_a_prediction(any_service: Service, project: str) -> None:
    prediction_id = create(any_service, project, "predictions")
    before = read(any_service, project, "predictions", prediction_id)
    for _ in range(2):
        path = f"{project}/predictions/{prediction_id}/finish"
        assert any_service.send("POST", path, b'{"output":3}').json == {"success": True}
    assert read(any_service, project, "predictions", prediction_id) == before


@kinds
def test_the_methods_of_a_path_are_named(service: Service, project: str, kind: str) -> None:
    for path, allowed in (
        ("", "DELETE, GET, HEAD, POST"),
        ("/a/b", "GET, HEAD"),
        ("/a/b/finish", "POST"),
    ):
        answer = service.send("PUT", f"{project}/{kind}{path}")
        assert answer.status == 405
        assert ", ".join(sorted(answer.headers["Allow"].split(", "))) == allowed


def test_a_body_of_null_does_not_finish_a_run(service: Service, project: str) -> None:
    run_id = create(service, project, "evaluation_runs")
    answer = service.send("POST", f"{project}/evaluation_runs/{run_id}/finish", b"null")
    (error,) = answer.json["detail"]
    assert (answer.status, error["type"], error["loc"]) == (422, "missing", ["body"])
    assert read(service, project, "evaluation_runs", run_id)["status"] == "running"


@pytest.mark.parametrize("summary", [1, [], "x"])
def test_a_summary_that_is_no_object_is_refused(
    service: Service, project: str, summary: Any
) -> None:
    run_id = create(service, project, "evaluation_runs")
    answer = service.post(f"{project}/evaluation_runs/{run_id}/finish", {"summary": summary})
    (error,) = answer.json["detail"]
    assert (answer.status, error["type"]) == (422, "dict_type")
    assert read(service, project, "evaluation_runs", run_id)["status"] == "running"


@kinds
def test_an_unknown_id_is_a_404_with_a_reason(
    any_service: Service, project: str, kind: str
) -> None:
    elsewhere = create(any_service, f"{project}-other", kind)
    for name in ("nope", elsewhere):
        for method, path in (("GET", f"{kind}/{name}"), ("POST", f"{kind}/{name}/finish")):
            answer = any_service.send(method, f"{project}/{path}")
            assert answer.status == 404
            reason = f"{NOUNS[kind]} {name} not found"
            assert answer.json == {"detail": "Not Found", "reason": reason}


@kinds
def test_a_delete_returns_how_many_existed(any_service: Service, project: str, kind: str) -> None:
    first, second = (create(any_service, project, kind) for _ in range(2))
    elsewhere = create(any_service, f"{project}-other", kind)
    ids = "&".join(f"{IDS[kind]}s={each}" for each in (first, "nope", elsewhere, first, ""))
    assert any_service.send("DELETE", f"{project}/{kind}?{ids}").json == {"num_deleted": 1}
    assert any_service.send("DELETE", f"{project}/{kind}?{ids}").json == {"num_deleted": 0}
    assert listed(any_service, project, kind) == [second]
    assert any_service.send("DELETE", f"{project}/{kind}").status == 422
    many = "&".join(f"{IDS[kind]}s={n}" for n in range(1_001))
    assert any_service.send("DELETE", f"{project}/{kind}?{many}").status == 422
    done = [line for line in any_service.log_lines() if line.get("action") == f"{kind}.delete"]
    assert first in done[-2][f"{IDS[kind]}s"]
    assert [line["num_deleted"] for line in done[-2:]] == [1, 0]


@kinds
def test_metrics_count_created_and_deleted_documents(
    service: Service, project: str, kind: str
) -> None:
    def counted(name: str) -> float:
        text = service.send("GET", "/metrics").body.decode()
        found = re.search(rf'scoreline_documents_{name}_total{{kind="{kind}"}} (\S+)', text)
        return float(found[1]) if found else 0.0

    before = counted("created"), counted("deleted")
    document_id = create(service, project, kind)
    service.send("DELETE", f"{project}/{kind}?{IDS[kind]}s={document_id}")
    assert (counted("created"), counted("deleted")) == (before[0] + 1, before[1] + 1)


def test_a_run_begins_when_it_is_created(any_service: Service, project: str) -> None:
    run_id = create(any_service, project, "evaluation_runs", source_evaluation_run_id="other")
    found = read(any_service, project, "evaluation_runs", run_id)
    assert found["source_evaluation_run_id"] == "other"
    began = datetime.fromisoformat(found["started_at"]).timestamp()
    made = int(run_id[:8] + run_id[9:13], 16) / 1000
    assert abs(began - made) < 60


def test_a_field_that_is_not_kept_is_named(service: Service, project: str) -> None:
    body = {**PREDICTION, "genai_span_ref": [{"trace_id": "a", "span_id": "b"}]}
    answer = service.post(f"{project}/predictions", body)
    assert (answer.status, answer.headers["Scoreline-Ignored"]) == (200, "genai_span_ref")
