"""Export and import of a project: runs, predictions and scores together, with ids and times."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from app.schemas.transfers import EvaluationRunLine, PredictionLine
from app.services.documents import ID_FIELDS
from app.stores.model import Document, EvaluationRun, Prediction
from tests.api.test_auth import create as create_key
from tests.api.test_documents import EXTENSIONS, create, lines, listed, read
from tests.api.test_documents import project as project  # noqa: PLC0414 - a fixture.
from tests.api.test_imports import counts, id_at, reasons, taken
from tests.api.test_resource import JSONL
from tests.processes import Answer, Service
from tests.stores.test_documents import WHOLE, kinds

AT = "2024-05-06T07:08:09.123Z"
RUN: dict[str, Any] = {
    "kind": "evaluation_run",
    "evaluation_run_id": "ci/1",
    "evaluation": "e",
    "model": "m",
    "created_at": AT,
}
PREDICTION: dict[str, Any] = {
    "kind": "prediction",
    "prediction_id": "p",
    "evaluation_run_id": "ci/1",
    "model": "m",
    "inputs": {"q": 1},
    "output": None,
    "created_at": AT,
}


def a_score(**changes: Any) -> dict[str, Any]:
    return {"kind": "score", **taken(evaluation_run_id="ci/1"), **changes}


def send(service: Service, project: str, items: Sequence[Any] | bytes, **options: Any) -> Answer:
    """Import lines."""
    if not isinstance(items, bytes):
        items = b"\n".join(json.dumps(item).encode() for item in items)
    return service.send("POST", f"{project}/import", items, JSONL, **options)


def export(service: Service, project: str) -> bytes:
    answer = service.send("GET", f"{project}/export?format=jsonl")
    assert answer.status == 200, answer.body
    assert answer.headers["Content-Type"] == "application/jsonl"
    return answer.body


def fill(service: Service, project: str) -> None:
    """Store runs, predictions and scores with all their fields, finished ones too."""
    for number in range(2):
        run = create(
            service, project, "evaluation_runs", **EXTENSIONS["evaluation_runs"] if number else {}
        )
    named = create(service, project, "evaluation_runs", evaluation_run_id="ci/main-1")
    service.post(f"{project}/evaluation_runs/{run}/finish", {"summary": {"weave": 1.0}})
    service.send("POST", f"{project}/evaluation_runs/{named.replace('/', '%2F')}/finish")
    body = b'{"archived": true, "description": "d"}'
    service.send("PATCH", f"{project.replace('v2', 'v1')}/runs?run={run}", body)
    for output in (1.0, None, {"a.b": "\ud800", "n": 10**30}):
        batch = [
            {"model": "m", "inputs": {}, "output": output, "evaluation_run_id": each}
            for each in (run, "", None)
        ]
        answer = service.post(f"{project}/predictions/batch", {"predictions": batch})
        assert answer.status == 200
    prediction = create(
        service, project, "predictions", prediction_id="é/1", **EXTENSIONS["predictions"]
    )
    service.send("POST", f"{project}/predictions/%C3%A9%2F1/finish")
    headers = {"Idempotency-Key": "k"}
    scores = [
        {"prediction_id": prediction, "scorer": "s", "value": value, "reason": "é"}
        for value in (1, 1.0, None, {"b": [True]})
    ]
    assert (
        service.post(f"{project}/scores/batch", {"scores": scores}, headers=headers).status == 200
    )


def test_an_export_is_imported_into_an_empty_store_byte_for_byte(
    any_service: Service, service: Service, mongodb_service: Service, project: str
) -> None:
    fill(any_service, project)
    text = export(any_service, project)
    found = [json.loads(line) for line in text.splitlines()]
    assert [line["kind"] for line in found] == (
        ["evaluation_run"] * 3 + ["prediction"] * 10 + ["score"] * 4
    )
    target = mongodb_service if any_service is service else service
    assert counts(send(target, project, text)) == (17, 0, 0)
    assert export(target, project) == text
    for path in ("evaluation_runs", "predictions", "scores"):
        ours, theirs = (each.send("GET", f"{project}/{path}") for each in (any_service, target))
        assert theirs.body == ours.body
    for each in (any_service, target):
        again = send(each, project, text)
        assert counts(again) == (0, 17, 0)
        assert export(each, project) == text
    assert again.json["results"] == [
        {name: line[name]} for line in found for name in [f"{line['kind']}_id"]
    ]


def test_an_export_is_imported_into_another_project(any_service: Service, project: str) -> None:
    fill(any_service, project)
    text, other = export(any_service, project), f"{project}-copy"
    assert counts(send(any_service, other, text)) == (17, 0, 0)
    for path in ("evaluation_runs", "predictions", "scores"):
        ours, theirs = (any_service.send("GET", f"{each}/{path}") for each in (project, other))
        assert theirs.body == ours.body
    assert counts(send(any_service, other, text)) == (0, 17, 0)


def test_lines_are_stored_in_any_order(any_service: Service, project: str) -> None:
    items = [RUN, PREDICTION, {**PREDICTION, "prediction_id": "q"}, a_score(), a_score()]
    random.Random(7).shuffle(items)
    answer = send(any_service, project, items)
    assert counts(answer) == (5, 0, 0)
    assert answer.json["results"] == [
        {f"{item['kind']}_id": item[f"{item['kind']}_id"]} for item in items
    ]
    predictions = [item["prediction_id"] for item in items if item["kind"] == "prediction"]
    assert listed(any_service, project, "predictions") == predictions
    run = read(any_service, project, "evaluation_runs", "ci%2F1")
    assert (run["status"], run["started_at"]) == ("running", "2024-05-06T07:08:09.123000Z")
    (score, _) = lines(any_service.send("GET", f"{project}/scores"))
    assert score["evaluation_run_id"] == "ci/1"


def test_each_line_has_its_own_result(any_service: Service, project: str) -> None:
    soon, late = (datetime.now(UTC) + timedelta(seconds=each) for each in (30, 90))
    score = a_score()
    items: list[Any] = [
        RUN,
        1,
        {**RUN, "kind": "evaluation"},
        {**score, "kind": None},
        {"score_id": "x"},
        {**PREDICTION, "evaluation_run_id": None, "model": 7},
        PREDICTION,
        {**PREDICTION, "evaluation_run_id": "other"},
        PREDICTION,
        {**RUN, "evaluation": "other"},
        {**RUN, "dataset": "also other"},
        score,
        {**score, "value": "other"},
        {**PREDICTION, "prediction_id": "late", "created_at": late.isoformat()},
        {**PREDICTION, "prediction_id": "soon", "created_at": soon.isoformat()},
        {**PREDICTION, "prediction_id": "a", "sort_id": id_at(soon)},
        {**PREDICTION, "prediction_id": "b", "sort_id": "1"},
        {**PREDICTION, "prediction_id": "c", "created_at": "1969-12-31T23:59:59Z"},
        {**PREDICTION, "prediction_id": "d", "created_at": "2024-01-01T00:00:00"},
        {**RUN, "evaluation_run_id": "", "status": "done", "summary": 1},
        {**RUN, "evaluation_run_id": "r", "finished_at": AT, "started_at": "2025-01-01T00:00:00Z"},
    ]
    answer = send(any_service, project, items)
    assert counts(answer) == (4, 1, 16)
    assert [[(loc[-1], kind) for loc, kind in each] for each in reasons(answer)] == [
        [],
        [(1, "model_attributes_type")],
        [("kind", "literal_error")],
        [("kind", "literal_error")],
        [("kind", "missing")],
        [("model", "string_type")],
        [],
        [("prediction_id", "prediction_id_taken")],
        [],
        [("evaluation_run_id", "evaluation_run_id_taken")],
        [("evaluation_run_id", "evaluation_run_id_taken")],
        [],
        [("score_id", "score_id_taken")],
        [("created_at", "datetime_past")],
        [],
        [("sort_id", "sort_id_time")],
        [("sort_id", "string_pattern_mismatch")],
        [("created_at", "greater_than_equal")],
        [("created_at", "timezone_aware")],
        [
            ("evaluation_run_id", "string_too_short"),
            ("status", "literal_error"),
            ("summary", "dict_type"),
        ],
        [("finished_at", "value_error")],
    ]
    assert answer.json["results"][9]["detail"][0]["msg"] == (
        "Another evaluation run has this evaluation_run_id"
    )
    assert answer.json["results"][2]["detail"][0]["msg"] == (
        "Input should be 'evaluation_run', 'prediction' or 'score'"
    )
    assert listed(any_service, project, "predictions") == ["p", "soon"]


def test_a_line_that_is_no_json_is_refused_alone(service: Service, project: str) -> None:
    text = b"\n".join([b'{"kind":', json.dumps(RUN).encode(), b"", b'{"kind":"score","value":NaN}'])
    answer = send(service, project, text)
    assert counts(answer) == (1, 0, 2)
    assert reasons(answer)[0] == [(["body", 0, 8], "json_invalid")]
    assert "finite_number" in {kind for _, kind in reasons(answer)[2]} or reasons(answer)[2]


def test_an_import_replaces_nothing(any_service: Service, project: str) -> None:
    assert counts(send(any_service, project, [RUN, PREDICTION])) == (2, 0, 0)
    any_service.post(f"{project}/evaluation_runs/ci%2F1/finish", {"summary": {"a": 1}})
    before = export(any_service, project)
    assert counts(send(any_service, project, [RUN, PREDICTION])) == (0, 2, 0)
    assert export(any_service, project) == before
    finished = {**RUN, "evaluation_run_id": "ci/2", "finished_at": AT, "status": "failed"}
    assert counts(send(any_service, project, [{**finished, "summary": {"b": 2.0}}])) == (1, 0, 0)
    run = read(any_service, project, "evaluation_runs", "ci%2F2")
    assert (run["status"], run["summary"]["b"]) == ("failed", 2.0)


def test_ids_that_only_scores_name_are_adopted(any_service: Service, project: str) -> None:
    score = {"prediction_id": "p", "scorer": "s", "value": 1, "evaluation_run_id": "ci/1"}
    any_service.post(f"{project}/scores", score)
    assert counts(send(any_service, project, [RUN, PREDICTION])) == (2, 0, 0)


def test_the_owner_is_the_importer_and_unknown_fields_are_named(
    any_service: Service, project: str
) -> None:
    _, key = create_key(any_service, "write", "acme/*")
    items = [{**each, "wb_user_id": "somebody", "x y": 1} for each in (RUN, PREDICTION, a_score())]
    answer = send(any_service, project, items, key=key)
    assert counts(answer) == (3, 0, 0)
    assert answer.headers["Scoreline-Ignored"].split(",") == ["wb_user_id", "x%20y"]
    owners = [
        line.get("wb_user_id")
        for line in map(json.loads, export(any_service, project).splitlines())
    ]
    assert owners == ["olga"] * 3


@pytest.mark.parametrize("header", ["Idempotency-Key", "X-Weave-Retry-Id"])
def test_a_repeated_import_with_a_key_gets_the_first_response(
    any_service: Service, project: str, header: str
) -> None:
    def call(key: str, items: Sequence[Any]) -> Answer:
        body = b"\n".join(json.dumps(item).encode() for item in items)
        return any_service.send("POST", f"{project}/import", body, {**JSONL, header: key})

    there = a_score()
    send(any_service, project, [there])
    items = [RUN, PREDICTION, a_score(), there, {**there, "value": "other"}, {}]
    first = call("k", items)
    assert counts(first) == (3, 1, 2)
    assert "Idempotent-Replayed" not in first.headers
    stored = export(any_service, project)
    again = call("k", [dict(reversed(item.items())) for item in items])
    assert again.body == first.body
    assert again.headers["Idempotent-Replayed"] == "true"
    later = {**PREDICTION, "prediction_id": "later"}
    for other in (items[:2], [*items, later], [later], [a_score()], [{**RUN, "name": "n"}]):
        refused = call("k", other)
        assert (refused.status, refused.json["detail"][0]["type"]) == (
            422,
            "idempotency_key_reused",
        )
        assert refused.json["detail"][0]["loc"] == ["header", header.lower()]
    assert export(any_service, project) == stored
    assert call("~" * 256, items).status == 422
    any_service.send("DELETE", f"{project}/evaluation_runs?evaluation_run_ids=ci%2F1")
    assert counts(call("k", [later])) == (1, 0, 0)


def test_only_write_and_admin_may_import(service: Service, project: str) -> None:
    for role, status in {"create": 403, "read": 403, "write": 200, "admin": 200}.items():
        _, key = create_key(service, role, "acme/*")
        assert send(service, project, [RUN], key=key).status == status
    for role, status in {"create": 403, "read": 200, "write": 200, "admin": 200}.items():
        _, key = create_key(service, role, "acme/*")
        assert service.send("GET", f"{project}/export", key=key).status == status


def test_an_import_is_audited(service: Service, project: str) -> None:
    send(service, project, [RUN, RUN, PREDICTION, a_score(), {}])
    done = [line for line in service.log_lines() if line.get("action") == "project.import"]
    assert done[-1]["project"] == project.split("/")[3]
    assert (done[-1]["outcome"], done[-1]["by_key_id"]) == ("done", "admin")
    assert (done[-1]["num_sent"], done[-1]["num_created"]) == (4, 3)


def test_an_import_is_bounded_and_checked(service: Service, project: str) -> None:
    many = send(service, project, [{}] * 10_001)
    assert (many.status, many.json["detail"][0]["type"]) == (422, "too_long")
    for method, path in (("POST", "import?a=1"), ("GET", "export?a=1")):
        answer = service.send(method, f"{project}/{path}")
        (error,) = answer.json["detail"]
        assert (answer.status, error["type"]) == (422, "extra_forbidden")
    answer = service.send("GET", f"{project}/export?format=csv")
    assert answer.json["detail"][0]["msg"] == "Input should be 'jsonl'"
    assert counts(send(service, project, [])) == (0, 0, 0)
    encoded = service.send("POST", f"{project}/import", b"{}", {"Content-Encoding": "gzip"})
    assert encoded.status == 415


def test_the_body_is_read_as_lines_whatever_its_type_is(service: Service, project: str) -> None:
    body = json.dumps(RUN).encode()
    for kind in ("application/json", "text/plain", "application/x-www-form-urlencoded"):
        answer = service.send("POST", f"{project}/import", body, {"Content-Type": kind})
        assert counts(answer)[2] == 0


def test_the_file_is_named_after_the_project(service: Service, project: str) -> None:
    header = service.send("GET", f"{project}/export").headers["Content-Disposition"]
    name = project.split("/")[3]
    assert header == f'attachment; filename="evaluations-acme-{name}.jsonl"'


def test_concurrent_imports_store_nothing_twice(any_service: Service, project: str) -> None:
    items = [RUN, *({**PREDICTION, "prediction_id": str(n)} for n in range(200))]
    items += [a_score(prediction_id=str(n)) for n in range(200)]

    def call(_: int) -> Answer:
        # One key may not have 8 imports under way: as a client, ask again until it may.
        while (answer := send(any_service, project, items)).status == 503:
            pass
        return answer

    with ThreadPoolExecutor(8) as pool:
        found = [counts(answer) for answer in pool.map(call, range(8))]
    assert all(failed == 0 and new + there == 401 for new, there, failed in found), found
    assert sum(new for new, _, _ in found) == 401
    assert len(export(any_service, project).splitlines()) == 401


@kinds
def test_every_field_of_a_document_is_in_its_line(kind: type[Document]) -> None:
    schema: Any = {EvaluationRun: EvaluationRunLine, Prediction: PredictionLine}[kind]()
    kept = {each.name.removesuffix("_json") for each in fields(kind)}
    kept -= {"id", "entity", "project", "idempotency_key", "body_hash", "retry_hash"}
    kept -= {"example_key", "awaited_row"}  # What a store looks for.
    kept |= {"kind", ID_FIELDS[kind], "created_at"}
    document = replace(WHOLE[kind], wb_user_id="olga")
    assert json.loads(schema.dumps(document)).keys() == kept
    assert schema.load_fields.keys() == kept - {"wb_user_id"}
