"""`POST /v2/{entity}/{project}/scores`: the golden responses, and the stored score."""

from __future__ import annotations

import base64
import json
import re
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import pytest

from tests.golden import difference, golden_rows, send_row
from tests.processes import Service, running

PATH = "/v2/acme/scores-test/scores"
SCORE = {"prediction_id": "p", "scorer": "s", "value": 1}
UUID7 = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
PARSE_ERROR = {"detail": "There was an error parsing the body"}


def test_golden_responses_are_fastapis(any_service: Service) -> None:
    rows = golden_rows("create.jsonl")
    found = {row["name"]: difference(row, send_row(any_service, row)) for row in rows}
    assert {name: text for name, text in found.items() if text} == {}
    assert len(rows) > 150


def test_a_score_is_stored_as_documented(tmp_path: Path) -> None:
    body = {
        "prediction_id": "p-1",
        "scorer": "weave:///acme/demo/object/Accuracy:v0",
        "value": {"accuracy": {"f1": 0.5}, "ok": True, "why": "é", "none": None},
        "evaluation_run_id": "run-1",
    }
    with running(tmp_path) as service:
        score_id = service.post("/v2/acme/demo/scores", body).json["score_id"]
        service.kill()
    with sqlite3.connect(tmp_path / "scoreline.db") as connection:
        connection.row_factory = sqlite3.Row
        (row,) = [dict(row) for row in connection.execute("SELECT * FROM scores")]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", row.pop("created_at"))
    assert re.fullmatch(r"[0-9a-f]{64}", row.pop("body_hash"))
    assert re.fullmatch(r"[0-9a-f]{64}", row.pop("retry_hash"))
    assert isinstance(row.pop("checksum"), int)
    assert row.pop("sequence") == 1
    assert json.loads(row.pop("leaves")) == [
        {"path": "accuracy.f1", "kind": "number", "number": 0.5},
        {"path": "ok", "kind": "boolean", "number": 1.0},
        {"path": "why", "kind": "text", "text": "é"},
        {"path": "none", "kind": "null"},
    ]
    assert row == {
        "_id": score_id,
        "entity": "acme",
        "project": "demo",
        "evaluation_run_id": "run-1",
        "prediction_id": "p-1",
        "scorer": "weave:///acme/demo/object/Accuracy:v0",
        "scorer_name": "Accuracy",
        "value_json": '{"accuracy":{"f1":0.5},"ok":true,"why":"é","none":null}',
        "wb_user_id": "admin",
        "idempotency_key": None,
        **dict.fromkeys(("reason", "error", "metadata_json", "annotator")),
    }


def test_score_ids_are_uuid7_unique_and_ordered(service: Service) -> None:
    with ThreadPoolExecutor(16) as pool:
        answers = pool.map(lambda _: service.post(PATH, SCORE), range(400))
        found = [answer.json["score_id"] for answer in answers]
    assert all(UUID7.fullmatch(score_id) for score_id in found)
    assert len(set(found)) == 400
    one_after_another = [service.post(PATH, SCORE).json["score_id"] for _ in range(2)]
    assert max(found) < min(one_after_another)


@pytest.mark.parametrize(
    ("body", "status", "answer"),
    [
        (b"[" * 100_000 + b"]" * 100_000, 400, PARSE_ERROR),
        (b'{"a":' * 100_000, 400, PARSE_ERROR),
        (b'{"prediction_id":"p","scorer":"s","value":' + b"7" * 4_000 + b"}", 200, None),
        (b'{"prediction_id":"p","scorer":"s","value":"' + b"x" * 1_000_000 + b'"}', 200, None),
        (b'{"prediction_id":"' + b"x" * 1_000_000 + b'","scorer":"s","value":1}', 200, None),
        (b'{"prediction_id":"p","scorer":"s","value":' + b"[" * 939 + b"]" * 939 + b"}", 200, None),
        (
            b'{"prediction_id":"p","scorer":"s","value":' + b"[" * 940 + b"]" * 940 + b"}",
            400,
            PARSE_ERROR,
        ),
    ],
    ids=["deep list", "deep open", "4000 digits", "1 MB", "1 MB id", "939 levels", "940 levels"],
)
def test_extreme_bodies_get_the_right_response(
    any_service: Service, body: bytes, status: int, answer: Any
) -> None:
    found = any_service.send("POST", PATH, body)
    assert found.status == status, found.body[:300]
    assert answer is None or found.json == answer


@pytest.mark.parametrize(
    ("body", "loc", "given"),
    [
        ('{"prediction_id":"p","scorer":"s","value":NaN}', ["body", "value"], "NaN"),
        ('{"value":{"a":[1,-Infinity]}}', ["body", "value", "a", 1], "-Infinity"),
        ('{"prediction_id":"p","scorer":"s","value":1e400}', ["body", "value"], "Infinity"),
        ("[Infinity]", ["body", 0], "Infinity"),
        (
            '{"prediction_id":"p","scorer":"s","value":NaN,"value":1}',
            ["body"],
            "a number that is not finite",
        ),
    ],
)
def test_a_number_that_is_not_json_is_refused_by_name(
    service: Service, body: str, loc: list[Any], given: str
) -> None:
    answer = service.send("POST", PATH, body.encode())
    wanted = {
        "type": "finite_number",
        "loc": loc,
        "msg": "Input should be a finite number",
        "input": given,
    }
    assert (answer.status, answer.json) == (422, {"detail": [wanted]})


def test_an_id_with_a_lone_surrogate_is_refused(service: Service) -> None:
    body = b'{"prediction_id":"a\\ud800","scorer":"s","value":1,"evaluation_run_id":"\\udfff"}'
    answer = service.send("POST", PATH, body)
    assert answer.status == 422
    assert [(error["type"], error["loc"], error["input"]) for error in answer.json["detail"]] == [
        ("string_unicode", ["body", "prediction_id"], "a\ud800"),
        ("string_unicode", ["body", "evaluation_run_id"], "\udfff"),
    ]


def test_a_trailing_slash_is_redirected_as_in_fastapi(service: Service) -> None:
    for slashes, location in (("/", "../scores?x=1"), ("///", "/v2/a%20b/c/scores?x=1")):
        path = f"/v2/a%20b/c/scores{slashes}?x=1"
        answer = service.post(path, SCORE)
        assert (answer.status, answer.headers["Location"]) == (307, location)
        assert answer.headers["Content-Type"] is None
    behind_a_prefix = urljoin("http://x/prefix/v2/a%20b/c/scores/?x=1", "../scores?x=1")
    assert behind_a_prefix == "http://x/prefix/v2/a%20b/c/scores?x=1"


def test_requests_of_four_generations_of_weaves_client_work(service: Service) -> None:
    basic = base64.b64encode(f"api:{service.key}".encode()).decode()
    rows = [
        row
        for row in golden_rows("weave_clients.jsonl")
        if row["method"] == "POST" and row["status"] == 200
    ]
    for row in rows:
        headers = {**dict(row["headers"]), "Authorization": f"Basic {basic}"}
        answer = service.send("POST", row["path"], row["body"].encode(), headers, key=None)
        assert answer.status == 200, row
    assert len({row["client"] for row in rows}) == 4


def test_a_score_with_names_too_large_for_mongodb_is_413(tmp_path: Path, mongodb_uri: str) -> None:
    large = {**SCORE, "prediction_id": "p" * 9_000_000, "scorer": "s" * 8_000_000}
    detail = {"detail": "The score is too large for the store"}
    with running(tmp_path, mongodb_uri, SCORELINE_MAX_BODY_BYTES="40000000") as service:
        answer = service.post(PATH, large)
        assert (answer.status, answer.json) == (413, detail)
        answer = service.post(f"{PATH}/batch", {"scores": [SCORE, large]})
        assert (answer.status, answer.json) == (413, detail)
        answer = service.post(f"{PATH}/batch?partial=true", {"scores": [SCORE, large]})
        assert answer.status == 200
        kept, refused = answer.json["results"]
        assert refused["detail"][0]["type"] == "too_large"
        listed = service.send("GET", PATH).body.splitlines()
        assert [json.loads(line)["score_id"] for line in listed] == [kept["score_id"]]
