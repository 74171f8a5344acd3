"""The fields of a score beyond Weave's: reason, error, metadata and annotator."""

from __future__ import annotations

import csv
import io
import json
import secrets
from typing import Any

import pytest

from tests.processes import Answer, Service

SCORE: dict[str, Any] = {"prediction_id": "p", "scorer": "s", "value": 1}
EXTENSIONS: dict[str, Any] = {
    "reason": "because é\n",
    "metadata": {"a": [1.0, None, {"deep": 10**30}], "": "\ud800"},
    "annotator": "olga",
}
FAILED: dict[str, Any] = {**SCORE, "value": None, "error": "the judge timed out"}


@pytest.fixture
def scores() -> str:
    """Return the path of a new project."""
    return f"/v2/acme/{secrets.token_hex(8)}/scores"


def create(service: Service, scores: str, **fields: Any) -> dict[str, Any]:
    """Create a score, read it, and return the response."""
    answer = service.post(scores, {**SCORE, **fields})
    assert answer.status == 200, answer.body
    read = service.send("GET", f"{scores}/{answer.json['score_id']}")
    return dict(read.json)


def lines(answer: Answer) -> list[dict[str, Any]]:
    assert answer.status == 200, answer.body
    return [json.loads(line) for line in answer.body.splitlines()]


def test_the_fields_are_read_as_they_were_sent(any_service: Service, scores: str) -> None:
    first = create(any_service, scores, **EXTENSIONS)
    assert {name: first[name] for name in EXTENSIONS} == EXTENSIONS
    failed = create(any_service, scores, **FAILED)
    assert (failed["error"], failed["value"]) == (FAILED["error"], None)
    assert lines(any_service.send("GET", scores)) == [first, failed]
    assert lines(any_service.send("GET", f"{scores}/changes?cursor=start")) == [first, failed]


def test_a_null_field_is_absent(any_service: Service, scores: str) -> None:
    plain = create(any_service, scores)
    nulls = create(any_service, scores, reason=None, error=None, metadata=None, annotator=None)
    assert plain.keys() == nulls.keys()
    assert not plain.keys() & {*EXTENSIONS, "error"}
    assert create(any_service, scores, reason="", metadata={})["metadata"] == {}


@pytest.mark.parametrize(
    ("body", "found"),
    [
        ({**SCORE, "reason": 1}, [("string_type", "reason", 1)]),
        ({**SCORE, "error": {}}, [("string_type", "error", {})]),
        ({**SCORE, "metadata": [1]}, [("dict_type", "metadata", [1])]),
        ({**SCORE, "annotator": True}, [("string_type", "annotator", True)]),
        ({**SCORE, "reason": "\ud800"}, [("string_unicode", "reason", "\ud800")]),
        ({**SCORE, "error": "failed"}, [("value_error", "error", "failed")]),
        (
            {"scorer": "s", "value": 1, "evaluation_run_id": 2, "metadata": "m", "reason": 3},
            [
                ("missing", "prediction_id", None),
                ("string_type", "evaluation_run_id", 2),
                ("string_type", "reason", 3),
                ("dict_type", "metadata", "m"),
            ],
        ),
    ],
)
def test_a_wrong_field_is_refused_after_weaves_fields(
    service: Service, scores: str, body: dict[str, Any], found: list[tuple[str, str, Any]]
) -> None:
    answer = service.post(scores, body)
    assert answer.status == 422
    errors = [(error["type"], error["loc"], error["input"]) for error in answer.json["detail"]]
    assert errors == [
        (type_, ["body", name], body if type_ == "missing" else given)
        for type_, name, given in found
    ]
    (result,) = service.post(f"{scores}/batch?partial=true", {"scores": [body]}).json["results"]
    assert [error["loc"][-1] for error in result["detail"]] == [name for _, name, _ in found]


def test_a_number_in_metadata_that_is_not_finite_is_refused(service: Service, scores: str) -> None:
    body = json.dumps({**SCORE, "metadata": {"x": float("nan")}}).encode()
    answer = service.send("POST", scores, body)
    assert (answer.status, answer.json["detail"][0]["type"]) == (422, "finite_number")


def test_a_retry_with_another_reason_is_another_body(any_service: Service, scores: str) -> None:
    headers = {"Idempotency-Key": "a"}
    first = any_service.post(scores, {**SCORE, "reason": "x"}, headers=headers)
    again = any_service.post(scores, {**SCORE, "reason": "x"}, headers=headers)
    assert again.json == first.json
    assert again.headers["Idempotent-Replayed"] == "true"
    for other in (SCORE, {**SCORE, "reason": "y"}, {**SCORE, "annotator": "x"}):
        assert any_service.post(scores, other, headers=headers).status == 422


def test_a_batch_keeps_them(any_service: Service, scores: str) -> None:
    sent = [{**SCORE, **EXTENSIONS}, FAILED, SCORE]
    assert any_service.post(f"{scores}/batch", {"scores": sent}).status == 200
    read = lines(any_service.send("GET", scores))
    assert [each.get("reason") for each in read] == [EXTENSIONS["reason"], None, None]
    assert [each.get("error") for each in read] == [None, FAILED["error"], None]


def test_an_export_is_imported_with_them(any_service: Service, scores: str) -> None:
    create(any_service, scores, **EXTENSIONS)
    create(any_service, scores, **FAILED)
    exported = any_service.send("GET", f"{scores}/export").body
    other = f"/v2/acme/{secrets.token_hex(8)}/scores"
    before = lines(any_service.send("GET", scores))
    ids = "&".join(f"score_ids={each['score_id']}" for each in before)
    assert any_service.send("DELETE", f"{scores}?{ids}").json == {"num_deleted": 2}
    headers = {"Content-Type": "application/jsonl"}
    for number in (2, 0):
        answer = any_service.send("POST", f"{other}/import", exported, headers)
        assert (answer.json["num_created"], answer.json["num_failed"]) == (number, 0)
    after = lines(any_service.send("GET", other))
    assert [{**each, "wb_user_id": None} for each in after] == [
        {**each, "wb_user_id": None} for each in before
    ]
    changed = exported.replace(b"olga", b"oleg")
    assert any_service.send("POST", f"{other}/import", changed, headers).json["num_failed"] == 1


def test_tables_have_columns_for_them(service: Service, scores: str) -> None:
    create(service, scores, **{**EXTENSIONS, "reason": "=1+1"})
    create(service, scores, **FAILED)
    body = service.send("GET", f"{scores}/export?format=csv").body.decode()
    first, failed = csv.DictReader(io.StringIO(body, newline=""))
    assert (first["reason"], first["annotator"], first["error"]) == ("'=1+1", "olga", "")
    assert json.loads(first["metadata_json"]) == EXTENSIONS["metadata"]
    assert (failed["error"], failed["metadata_json"]) == (FAILED["error"], "")


def test_a_failed_judgement_is_counted_and_never_averaged(service: Service, scores: str) -> None:
    create(service, scores)
    create(service, scores, **{**FAILED, "prediction_id": "q"})
    (summary,) = service.send("GET", f"{scores}/summary").json["groups"]
    assert (summary["attempted"], summary["number"]["mean"]) == (2, 1.0)
    assert summary["coverage"] == 0.5


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({}, None),
        (EXTENSIONS, None),
        ({"run_id": "r"}, "run_id"),
        ({"résumé, é": 1, "": 2}, "r%C3%A9sum%C3%A9%2C%20%C3%A9,"),
        ({"\ud800": 1, "x" * 101: 2, "é" * 17: 3}, f"%3F,{'x' * 100},{'%C3%A9' * 16}"),
        ({f"f{number}": 0 for number in range(30)}, ",".join(f"f{n}" for n in range(20))),
    ],
)
def test_ignored_fields_are_named_in_a_header(
    service: Service, scores: str, fields: dict[str, Any], named: str | None
) -> None:
    answer = service.post(scores, {**SCORE, **fields})
    assert answer.status == 200, answer.body
    assert answer.headers["Scoreline-Ignored"] == named


def test_a_batch_and_an_import_name_the_ignored_fields_of_all_their_scores(
    service: Service, scores: str
) -> None:
    sent = [{**SCORE, "b": 1}, {**SCORE, "a": 1, "b": 2}, {"c": 1}]
    for route in ("batch?partial=true", "import"):
        answer = service.post(f"{scores}/{route}", {"scores": sent, "d": 1})
        assert answer.status == 200, answer.body
        assert answer.headers["Scoreline-Ignored"] == "d,b,a,c"
