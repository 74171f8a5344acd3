"""Imports: scores keep their ids and times, and a repeated import stores nothing."""

from __future__ import annotations

import json
import secrets
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

import pytest

from app.services.imports import import_scores
from app.services.keys import COMMAND_LINE
from app.stores.base import Kept, Store
from tests.api.test_auth import create as create_key
from tests.api.test_exports import VALUES, export, fill
from tests.api.test_resource import JSONL, SCORE, add, listed
from tests.api.test_resource import scores as scores  # noqa: PLC0414 - a fixture.
from tests.processes import Answer, Service
from tests.stores.test_contract import all_scores

NEW_YEAR = datetime(2024, 1, 1, tzinfo=UTC)
_seconds = count()


def id_at(moment: datetime) -> str:
    """Return a random UUIDv7 of a moment."""
    text = f"{int(moment.timestamp() * 1000):012x}7{secrets.token_hex(2)[:3]}8"
    text += secrets.token_hex(8)[:15]
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def taken(**fields: Any) -> dict[str, Any]:
    """Return a score with its own id and time."""
    moment = NEW_YEAR + timedelta(seconds=next(_seconds))
    mine = {"score_id": id_at(moment), "created_at": moment.isoformat()}
    return {**SCORE, "evaluation_run_id": None, **mine, **fields}


def send(service: Service, path: str, items: Sequence[Any], **options: Any) -> Answer:
    body = b"\n".join(json.dumps(item).encode() for item in items)
    return service.send("POST", f"{path}/import", body, JSONL, **options)


def counts(answer: Answer) -> tuple[int, int, int]:
    assert answer.status == 200, answer.body
    found = answer.json
    assert list(found) == ["num_created", "num_present", "num_failed", "results"]
    return found["num_created"], found["num_present"], found["num_failed"]


def reasons(answer: Answer) -> list[list[tuple[list[Any], str]]]:
    """Return the location and type of each error of each result."""
    return [
        [(error["loc"], error["type"]) for error in result.get("detail", ())]
        for result in answer.json["results"]
    ]


def without_owner(lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{name: line[name] for name in line if name != "wb_user_id"} for line in lines]


def test_an_export_is_imported_exactly_and_once(any_service: Service, scores: str) -> None:
    fill(any_service, scores, [*VALUES, "\ud800", {"é": 10**400}])
    add(any_service, scores, evaluation_run_id="r", prediction_id="\0", scorer="x" * 3_000)
    lines = export(any_service, scores, "").body
    there = listed(any_service.send("GET", scores))
    same = any_service.send("POST", f"{scores}/import", lines, JSONL)
    assert counts(same) == (0, len(there), 0)
    ids = [line["score_id"] for line in there]
    assert any_service.send("DELETE", f"{scores}?{'&'.join(f'score_ids={each}' for each in ids)}")
    assert listed(any_service.send("GET", scores)) == []
    back = any_service.send("POST", f"{scores}/import", lines, JSONL)
    assert counts(back) == (len(there), 0, 0)
    assert [result["score_id"] for result in back.json["results"]] == ids
    assert export(any_service, scores, "").body == lines
    again = any_service.send("POST", f"{scores}/import", lines, JSONL)
    assert counts(again) == (0, len(there), 0)
    assert listed(any_service.send("GET", scores)) == there


def test_an_owner_in_a_line_is_ignored(any_service: Service, scores: str) -> None:
    _, key = create_key(any_service, "write", "acme/*")
    item = taken(wb_user_id="somebody")
    assert counts(send(any_service, scores, [item], key=key)) == (1, 0, 0)
    (found,) = listed(any_service.send("GET", scores))
    assert found["wb_user_id"] == "olga"
    assert found["created_at"] == item["created_at"].replace("+00:00", ".000Z")


def test_imported_scores_are_listed_by_their_own_time(any_service: Service, scores: str) -> None:
    now = add(any_service, scores)
    first, second = taken(), taken()
    assert counts(send(any_service, scores, [second, first])) == (2, 0, 0)
    found = [line["score_id"] for line in listed(any_service.send("GET", scores))]
    assert found == [first["score_id"], second["score_id"], now]
    before = any_service.send("GET", f"{scores}?created_before=2025-01-01")
    assert [line["score_id"] for line in listed(before)] == found[:2]


def test_an_object_with_a_list_is_accepted_too(service: Service, scores: str) -> None:
    items = [taken(), {"score_id": 1}]
    answer = service.post(f"{scores}/import", {"scores": items})
    assert counts(answer) == (1, 0, 1)
    assert reasons(answer)[1][0] == (["body", "scores", 1, "prediction_id"], "missing")


def test_each_line_has_its_own_result_in_order(any_service: Service, scores: str) -> None:
    good, other = taken(), taken()
    soon = datetime.now(UTC) + timedelta(seconds=30)
    late = datetime.now(UTC) + timedelta(seconds=90)
    items = [
        good,
        "no object",
        taken(prediction_id=7),
        taken(score_id=good["score_id"].upper()),
        taken(score_id="018cc251-f400-4000-8000-000000000001"),
        taken(score_id=good["score_id"], created_at=other["created_at"]),
        taken(created_at="2024-01-01T00:00:00"),
        taken(created_at=1_704_067_200_000),
        taken(created_at=None),
        taken(score_id=id_at(late), created_at=late.isoformat()),
        taken(score_id=id_at(soon), created_at=soon.isoformat()),
        good,
        {**good, "value": 2},
        other,
    ]
    answer = send(any_service, scores, items)
    assert counts(answer) == (3, 1, 10)
    assert reasons(answer) == [
        [],
        [(["body", 1], "model_attributes_type")],
        [(["body", 2, "prediction_id"], "string_type")],
        [(["body", 3, "score_id"], "string_pattern_mismatch")],
        [(["body", 4, "score_id"], "string_pattern_mismatch")],
        [(["body", 5, "score_id"], "score_id_time")],
        [(["body", 6, "created_at"], "timezone_aware")],
        [(["body", 7, "created_at"], "datetime_type")],
        [(["body", 8, "created_at"], "datetime_type")],
        [(["body", 9, "created_at"], "datetime_past")],
        [],
        [],
        [(["body", 12, "score_id"], "score_id_taken")],
        [],
    ]
    ids = [result.get("score_id") for result in answer.json["results"]]
    assert [ids[0], ids[11], ids[13]] == [good["score_id"], good["score_id"], other["score_id"]]


@pytest.mark.parametrize("zone", ["Z", "+00:00", "+02:00", "-11:30"])
def test_times_in_any_zone_are_accepted(service: Service, scores: str, zone: str) -> None:
    text = f"2024-06-01T12:00:00.123987{zone}"
    item = taken(score_id=id_at(datetime.fromisoformat(text)), created_at=text)
    assert counts(send(service, scores, [item])) == (1, 0, 0)
    (found,) = listed(service.send("GET", scores))
    assert found["created_at"].endswith(":00.123Z")


@pytest.mark.parametrize(
    "change",
    [
        {"value": 1.0},
        {"value": True},
        {"value": {"b": 1, "a": 2}},
        {"scorer": "t"},
        {"prediction_id": "q"},
        {"evaluation_run_id": ""},
    ],
)
def test_other_content_under_the_same_id_is_refused(
    any_service: Service, scores: str, change: dict[str, Any]
) -> None:
    item = taken(value={"a": 2, "b": 1} if isinstance(change.get("value"), dict) else 1)
    assert counts(send(any_service, scores, [item])) == (1, 0, 0)
    there = export(any_service, scores, "").body
    refused = send(any_service, scores, [{**item, **change}])
    assert counts(refused) == (0, 0, 1)
    assert refused.json["results"] == [
        {
            "detail": [
                {
                    "type": "score_id_taken",
                    "loc": ["body", 0, "score_id"],
                    "msg": "Another score has this score_id",
                    "input": item["score_id"],
                }
            ]
        }
    ]
    assert export(any_service, scores, "").body == there


def test_an_id_that_another_project_has_may_be_imported(any_service: Service, scores: str) -> None:
    elsewhere = scores.replace("acme", "globex")
    item = taken()
    assert counts(send(any_service, elsewhere, [item])) == (1, 0, 0)
    there = export(any_service, elsewhere, "").body
    assert counts(send(any_service, scores, [{**item, "value": 2}])) == (1, 0, 0)
    assert counts(send(any_service, scores, [{**item, "value": 2}])) == (0, 1, 0)
    assert counts(send(any_service, scores, [item])) == (0, 0, 1)
    assert export(any_service, elsewhere, "").body == there
    assert [score["value"] for score in listed(any_service.send("GET", scores))] == [2]


def test_a_score_of_a_batch_with_a_key_is_recognised(any_service: Service, scores: str) -> None:
    headers = {"Idempotency-Key": "all of them"[:3]}
    any_service.post(f"{scores}/batch", {"scores": [SCORE] * 3}, headers=headers)
    lines = export(any_service, scores, "").body
    assert counts(any_service.send("POST", f"{scores}/import", lines, JSONL)) == (0, 3, 0)


def test_a_repeated_import_with_a_key_gets_the_first_response(
    any_service: Service, scores: str
) -> None:
    def call(*items: Any) -> Answer:
        body, key = {"scores": items}, {"Idempotency-Key": "k"}
        return any_service.post(f"{scores}/import", body, headers=key)

    items = [taken(), taken()]
    first = call(*items)
    assert counts(first) == (2, 0, 0)
    assert call(*items).body == first.body
    refused = call(items[0])
    assert (refused.status, refused.json["detail"][0]["type"]) == (422, "idempotency_key_reused")
    assert counts(send(any_service, scores, items)) == (0, 2, 0)


def test_only_write_and_admin_may_import(any_service: Service, scores: str) -> None:
    for role, status in {"create": 403, "read": 403, "write": 200, "admin": 200}.items():
        _, key = create_key(any_service, role, "acme/*")
        assert send(any_service, scores, [taken()], key=key).status == status


def test_an_import_is_audited(service: Service, scores: str) -> None:
    send(service, scores, [taken(), taken(), {}])
    lines = [line for line in service.log_lines() if line.get("action") == "scores.import"]
    assert lines[-1]["project"] == scores.split("/")[3]
    assert (lines[-1]["outcome"], lines[-1]["by_key_id"]) == ("done", "admin")
    assert (lines[-1]["num_sent"], lines[-1]["num_created"]) == (2, 2)


def test_concurrent_imports_store_nothing_twice(any_service: Service, scores: str) -> None:
    items = [taken(value=number) for number in range(600)]
    answers: list[Answer] = []

    def run() -> None:
        answers.append(send(any_service, scores, items))

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = [counts(answer) for answer in answers]
    assert all(failed == 0 and new + there == 600 for new, there, failed in found), found
    assert [line["value"] for line in listed(any_service.send("GET", scores))] == list(range(600))


# Stores


def a_body(**fields: Any) -> dict[str, Any]:
    """Return a loaded ScoreImportLine."""
    item = taken(**fields)
    return {**item, "created_at": datetime.fromisoformat(item["created_at"])}


def run_import(store: Store, bodies: list[dict[str, Any]]) -> list[Kept]:
    return [each.kept for each in import_scores(store, "e", "p", COMMAND_LINE, bodies)]


def test_a_line_with_a_stored_id_is_present_only_with_the_same_content(store: Store) -> None:
    body = a_body()
    assert run_import(store, [body]) == [Kept.CREATED]
    other = {**body, "value": 2}
    assert run_import(store, [other, body, a_body(), other]) == [
        Kept.ID_TAKEN,
        Kept.PRESENT,
        Kept.CREATED,
        Kept.ID_TAKEN,
    ]


def test_many_lines_with_one_id_are_one_score(store: Store) -> None:
    body = a_body()
    outcomes = run_import(store, [body] * 50 + [{**body, "value": "other"}])
    assert outcomes == [Kept.CREATED, *[Kept.PRESENT] * 49, Kept.ID_TAKEN]


def test_concurrent_imports_of_the_same_scores_create_each_once(store: Store) -> None:
    bodies = [a_body(value=number) for number in range(20)]
    with ThreadPoolExecutor(8) as pool:
        runs = [pool.submit(run_import, store, bodies) for _ in range(8)]
        outcomes = [run.result(60) for run in runs]
    for of_one_score in zip(*outcomes, strict=True):
        assert sorted(of_one_score, key=str).count(Kept.CREATED) == 1
        assert set(of_one_score) <= {Kept.CREATED, Kept.PRESENT}
    assert len(all_scores(store)) == 20
