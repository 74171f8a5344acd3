"""Read, list and delete scores, and create them in batches."""

from __future__ import annotations

import http.client
import json
import re
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlencode, urljoin

import pytest
from flask import Flask
from hypothesis import HealthCheck, given, settings

from app.errors import StoreUnavailable
from tests.api.test_auth import create as create_key
from tests.golden import difference, golden_rows, send_row
from tests.processes import ADMIN_KEY, Answer, Service, running
from tests.test_jsontext import any_json

SCORE = {"prediction_id": "p", "scorer": "s", "value": 1}
JSONL = {"Content-Type": "application/jsonl"}
_projects = iter(range(10**9))


@pytest.fixture
def scores() -> str:
    """Return the path of a new, empty project."""
    return f"/v2/acme/resource-{next(_projects)}/scores"


def add(service: Service, path: str, **fields: Any) -> str:
    answer = service.post(path, {**SCORE, **fields})
    assert answer.status == 200, answer.body
    return str(answer.json["score_id"])


def listed(answer: Answer) -> list[dict[str, Any]]:
    assert answer.status == 200, answer.body
    assert answer.headers["Content-Type"] == "application/jsonl"
    assert b"\n\n" not in answer.body
    assert answer.body == b"" or answer.body.endswith(b"\n")
    return [json.loads(line) for line in answer.body.splitlines()]


def ids(answer: Answer) -> list[str]:
    return [score["score_id"] for score in listed(answer)]


def next_page(answer: Answer) -> str | None:
    """Return the query of the Link to the next page, if there is one."""
    link = answer.headers["Link"]
    if link is None:
        return None
    match = re.fullmatch(r'<(\?[^>]*)>; rel="next"', link)
    assert match, link
    return match[1]


# Read


def test_a_score_is_read_as_documented(any_service: Service, scores: str) -> None:
    score_id = add(any_service, scores, value={"b": None, "a": [1, 1.0]}, evaluation_run_id="r")
    answer = any_service.send("GET", f"{scores}/{score_id}")
    assert (answer.status, answer.headers["Content-Type"]) == (200, "application/json")
    found = answer.json
    created_at = datetime.fromisoformat(found.pop("created_at"))
    assert abs(datetime.now(UTC) - created_at) < timedelta(minutes=1)
    assert list(found.items()) == [
        ("score_id", score_id),
        ("scorer", "s"),
        ("value", {"b": None, "a": [1, 1.0]}),
        ("evaluation_run_id", "r"),
        ("wb_user_id", "admin"),
        ("prediction_id", "p"),
    ]


@pytest.mark.parametrize("score_id", ["nope", "01a20901-1208-700a-886d-bd665d10c4ec", "%C3%BC%00"])
def test_a_missing_score_is_404_with_a_reason(
    any_service: Service, scores: str, score_id: str
) -> None:
    answer = any_service.send("GET", f"{scores}/{score_id}")
    reason = f"Score {unquote(score_id)} not found"
    assert (answer.status, answer.json) == (404, {"detail": "Not Found", "reason": reason})


def test_a_score_of_another_project_is_not_found(any_service: Service, scores: str) -> None:
    score_id = add(any_service, scores)
    for elsewhere in ("/v2/acme/other/scores", scores.replace("acme", "else")):
        answer = any_service.send("GET", f"{elsewhere}/{score_id}")
        assert (answer.status, answer.json["reason"]) == (404, f"Score {score_id} not found")


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(value=any_json)
def test_any_value_comes_back_exactly_as_it_was_sent(
    any_service: Service, scores: str, value: Any
) -> None:
    score_id = add(any_service, scores, value=value)
    sent = json.dumps(value)
    assert json.dumps(any_service.send("GET", f"{scores}/{score_id}").json["value"]) == sent


def nested(levels: int) -> Any:
    value: Any = 0
    for _ in range(levels):
        value = [value]
    return value


@pytest.mark.parametrize(
    "value",
    [
        None,
        10**400,
        -(10**4_000),
        {"a.b": 1, "$set": {"": {"\0": 2}}, "\ud800": "\udfff"},
        [1, 1.0, True, "1", 0, 0.0, -0.0, False, "", None, [], {}],
        [5e-324, 1.7976931348623157e308, 0.1, 1e22, 123456789012345678],
        '\ud83d\ude00 😀 \u2028 \x7f " \\ /',
        {"z": 1, "a": 2, "m": 3},
    ],
)
def test_unusual_values_come_back_exactly(any_service: Service, scores: str, value: Any) -> None:
    score_id = add(any_service, scores, value=value)
    one = any_service.send("GET", f"{scores}/{score_id}").json["value"]
    (line,) = listed(any_service.send("GET", scores))
    assert json.dumps(one) == json.dumps(line["value"]) == json.dumps(value)


def test_900_levels_of_nesting_come_back(any_service: Service, scores: str) -> None:
    text = "[" * 900 + "]" * 900
    body = f'{{"prediction_id":"p","scorer":"s","value":{text}}}'.encode()
    score_id = any_service.send("POST", scores, body).json["score_id"]
    assert f'"value":{text},' in any_service.send("GET", f"{scores}/{score_id}").body.decode()


# List


def test_an_empty_project_has_an_empty_list(any_service: Service, scores: str) -> None:
    answer = any_service.send("GET", scores)
    assert (answer.status, answer.body, answer.headers["Link"]) == (200, b"", None)


def test_a_list_is_oldest_first_with_limit_and_offset(any_service: Service, scores: str) -> None:
    sent = [add(any_service, scores, value=number) for number in range(8)]
    add(any_service, "/v2/acme/elsewhere/scores")

    def get(query: str) -> list[str]:
        return ids(any_service.send("GET", f"{scores}?{query}"))

    assert get("") == sent
    assert get("limit=3") == sent[:3]
    assert get("limit=3&offset=2") == sent[2:5]
    assert get("offset=6") == sent[6:]
    assert get("limit=0") == []
    assert get("limit=5&offset=99999999999999999999") == []
    assert get("limit=99999999999999999999&offset=7") == sent[7:]


def test_filters_narrow_a_list(any_service: Service, scores: str) -> None:
    sent = [
        add(
            any_service,
            scores,
            evaluation_run_id=f"run/{number % 2}" if number else None,
            prediction_id=f"p&{number % 3}",
            scorer=f"s {number % 4}",
        )
        for number in range(12)
    ]

    def get(query: str) -> list[int]:
        return [sent.index(each) for each in ids(any_service.send("GET", f"{scores}?{query}"))]

    assert get("evaluation_run_id=run%2F0") == [2, 4, 6, 8, 10]
    assert get("prediction_id=p%261") == [1, 4, 7, 10]
    assert get("scorer=s+3") == [3, 7, 11]
    assert get("evaluation_run_id=run/1&prediction_id=p%262&scorer=s%201") == [5]
    assert get("evaluation_run_id=nobody") == []
    assert get("evaluation_run_id=&prediction_id=&scorer=") == list(range(12))


def test_created_after_and_before_are_exclusive(any_service: Service, scores: str) -> None:
    add(any_service, scores)
    (first,) = listed(any_service.send("GET", scores))
    at = datetime.fromisoformat(first["created_at"])
    step = timedelta(milliseconds=1)

    def found(name: str, moment: datetime) -> int:
        text = moment.isoformat().replace("+", "%2B")
        return len(ids(any_service.send("GET", f"{scores}?{name}={text}")))

    assert [found("created_after", at + delta) for delta in (-step, 0 * step, step)] == [1, 0, 0]
    assert [found("created_before", at + delta) for delta in (-step, 0 * step, step)] == [0, 0, 1]
    half = timedelta(microseconds=500)
    assert (found("created_after", at - half), found("created_before", at + half)) == (1, 1)
    window = f"created_after=1970-01-01&created_before={at.year + 1}-01-01T00:00:00Z"
    assert len(ids(any_service.send("GET", f"{scores}?{window}"))) == 1
    for edge in ("created_after=9999-12-31", "created_before=0001-01-01T00:00%2B23:59"):
        assert ids(any_service.send("GET", f"{scores}?{edge}")) == []


def test_consecutive_windows_hold_every_score_exactly_once(
    any_service: Service, scores: str
) -> None:
    midnight = datetime(2026, 1, 2, tzinfo=UTC)
    sent = []
    for offset in (-1, 0, 1, 2):
        at = midnight + timedelta(milliseconds=offset)
        time = f"{round(at.timestamp() * 1000):012x}"
        for rest in ("7000-8000-000000000000", "7fff-bfff-ffffffffffff"):
            score_id = f"{time[:8]}-{time[8:]}-{rest}"
            score = {"prediction_id": score_id, "scorer": "s", "value": offset}
            sent.append({**score, "score_id": score_id, "created_at": at.isoformat()})
    imported = any_service.post(f"{scores}/import", {"scores": sent})
    assert (imported.status, imported.json["num_created"]) == (200, 8)

    def found(**window: str) -> list[int]:
        page = any_service.send("GET", f"{scores}?{urlencode(window)}")
        return [score["value"] for score in listed(page)]

    def since(text: str) -> list[int]:
        """Return the scores from the time `text` on, and check that the others are before it."""
        later = found(created_at_from=text)
        assert [*found(created_at_to=text), *later] == [-1, -1, 0, 0, 1, 1, 2, 2]
        return later[::2]

    assert since("2026-01-02") == [0, 1, 2]
    assert since("2026-01-02T00:00:00.001Z") == [1, 2]
    assert since("2026-01-02T00:00:00.0005Z") == [1, 2]
    assert since("2026-01-01T23:59:59.9995Z") == [0, 1, 2]
    assert since("2026-01-02T01:00:00.002+01:00") == [2]
    assert since("1969-01-01") == [-1, 0, 1, 2]
    assert since("9999-12-31T23:59:59.999999Z") == []
    days = ["2026-01-01", "2026-01-02", "2026-01-03"]
    held = [found(created_at_from=a, created_at_to=b) for a, b in pairwise(days)]
    assert held == [[-1, -1], [0, 0, 1, 1, 2, 2]]
    assert found(created_at_from="2026-01-02", created_at_to="2026-01-02") == []
    # The narrowest of all four, and of a cursor, counts.
    narrow = {
        "created_at_from": "2026-01-01",
        "created_after": "2026-01-02",
        "created_at_to": "2026-01-02T00:00:00.002Z",
        "created_before": "2026-01-03",
    }
    assert found(**narrow) == [1, 1]
    assert found(**narrow, after=str(sent[4]["score_id"])) == [1]
    window = "created_at_from=2026-01-02&created_at_to=2026-01-02T00:00:00.001Z"
    exported = any_service.send("GET", f"{scores}/export?{window}")
    assert len(exported.body.splitlines()) == 2
    summary = any_service.send("GET", f"{scores}/summary?{window}")
    assert summary.json["groups"][0]["attempted"] == 2


def walk(service: Service, path: str) -> Iterator[list[str]]:
    """Yield pages of ids by following each Link."""
    following: str | None = path
    while following:
        answer = service.send("GET", following)
        yield ids(answer)
        query = next_page(answer)
        following = urljoin(path, query) if query else None


def test_a_link_leads_to_the_next_page_and_the_last_page_has_none(
    any_service: Service, scores: str
) -> None:
    sent = [add(any_service, scores, scorer=f"s{number % 2}") for number in range(12)]
    assert list(walk(any_service, f"{scores}?limit=5")) == [sent[:5], sent[5:10], sent[10:]]
    assert list(walk(any_service, f"{scores}?limit=12")) == [sent]
    assert list(walk(any_service, f"{scores}?limit=5&offset=4")) == [sent[4:9], sent[9:]]
    assert list(walk(any_service, f"{scores}?scorer=s1&limit=4")) == [sent[1:9:2], sent[9::2]]
    assert any_service.send("GET", scores).headers["Link"] is None


def test_the_cursor_of_a_deleted_score_still_works(any_service: Service, scores: str) -> None:
    sent = [add(any_service, scores) for _ in range(6)]
    any_service.send("DELETE", f"{scores}?score_ids={sent[2]}")
    assert ids(any_service.send("GET", f"{scores}?after={sent[2]}")) == sent[3:]


@pytest.mark.parametrize("limit", [3, 700, 1_500])
def test_following_links_misses_and_repeats_nothing_while_others_write(
    service: Service, scores: str, limit: int
) -> None:
    total = 4_000
    batch = {"scores": [SCORE] * total}
    sent = service.post(f"{scores}/batch", batch).json["score_ids"]
    stop = threading.Event()

    def write() -> None:
        while not stop.is_set():
            service.post(f"{scores}/batch", {"scores": [SCORE] * 5})

    writers = [threading.Thread(target=write) for _ in range(2)]
    for writer in writers:
        writer.start()
    seen: list[str] = []
    for page in walk(service, f"{scores}?limit={limit}"):
        seen += page
        if set(sent[:300]) <= set(seen) and (limit == 3 or set(sent) <= set(seen)):
            break
    stop.set()
    for writer in writers:
        writer.join()
    assert len(seen) == len(set(seen))
    assert seen == sorted(seen)
    assert [each for each in seen if each in set(sent)] == sent[: len(seen)][: len(sent)]


def test_an_incomplete_list_is_recognisable(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    client = app.test_client()
    headers = {"Authorization": f"Bearer {ADMIN_KEY}"}
    body = {"scores": [{**SCORE, "value": "x" * 1_000}] * 500}
    assert client.post("/v2/a/b/scores/batch", json=body, headers=headers).status_code == 200
    store = app.extensions["scoreline"].store
    read_scores = store.read_scores

    def break_off(entity: str, project: str, score_ids: list[str], **options: Any) -> Iterator[Any]:
        yield from read_scores(entity, project, score_ids[:300], **options)
        raise StoreUnavailable("the disk is gone")

    monkeypatch.setattr(store, "read_scores", break_off)
    answer = client.get("/v2/a/b/scores", headers=headers, buffered=False)
    assert answer.status_code == 200
    with pytest.raises(ConnectionResetError):
        answer.get_data()


# Delete


def test_only_scores_of_the_project_are_deleted_and_counted(
    any_service: Service, scores: str
) -> None:
    mine = [add(any_service, scores) for _ in range(3)]
    elsewhere = scores.replace("acme", "else")
    theirs = add(any_service, elsewhere)
    wanted = "&".join(f"score_ids={each}" for each in (mine[0], mine[0], theirs, "nope", mine[1]))
    answer = any_service.send("DELETE", f"{scores}?{wanted}")
    assert (answer.status, answer.body) == (200, b'{"num_deleted":2}')
    assert any_service.send("DELETE", f"{scores}?{wanted}").json == {"num_deleted": 0}
    assert ids(any_service.send("GET", scores)) == [mine[2]]
    assert ids(any_service.send("GET", elsewhere)) == [theirs]


def test_at_most_a_thousand_ids_are_deleted_at_once(service: Service, scores: str) -> None:
    sent = service.post(f"{scores}/batch", {"scores": [SCORE] * 1_001}).json["score_ids"]
    query = "&".join(f"score_ids={each}" for each in sent)
    refused = service.send("DELETE", f"{scores}?{query}")
    assert (refused.status, refused.json["detail"][0]["type"]) == (422, "too_long")
    deleted = service.send("DELETE", f"{scores}?{query.rpartition('&')[0]}")
    assert deleted.json == {"num_deleted": 1_000}


# Queries


def test_golden_responses_to_queries_are_fastapis(any_service: Service) -> None:
    rows = golden_rows("query.jsonl")
    found = {row["name"]: difference(row, send_row(any_service, row)) for row in rows}
    assert {name: text for name, text in found.items() if text} == {}
    assert len(rows) > 100


def test_a_read_a_list_and_a_delete_of_real_clients_work(service: Service) -> None:
    rows = [row for row in golden_rows("weave_clients.jsonl") if row["method"] != "POST"]
    for row in rows:
        headers = {**dict(row["headers"]), "Authorization": f"Bearer {service.key}"}
        answer = service.send(row["method"], row["path"], headers=headers, key=None)
        missing = row["status"] == 200 and "/scores/" in row["path"]
        assert answer.status == (404 if missing else row["status"]), row
    assert len(rows) > 15


# Batches


def test_a_batch_is_stored_in_the_order_sent(any_service: Service, scores: str) -> None:
    sent = [{**SCORE, "value": number, "extra": 1} for number in range(50)]
    answer = any_service.post(f"{scores}/batch", {"scores": sent})
    assert answer.status == 200
    assert list(answer.json) == ["score_ids", "num_created"]
    assert answer.json["num_created"] == 50
    found = listed(any_service.send("GET", scores))
    assert [score["score_id"] for score in found] == answer.json["score_ids"]
    assert [score["value"] for score in found] == list(range(50))


@pytest.mark.parametrize("mimetype", ["application/jsonl", "application/x-ndjson; charset=utf-8"])
def test_a_batch_of_lines_is_stored_in_the_order_sent(
    any_service: Service, scores: str, mimetype: str
) -> None:
    lines = [json.dumps({**SCORE, "value": number}) for number in range(5)]
    body = "\r\n".join([*lines, "", "  ", ""]).encode()
    answer = any_service.send("POST", f"{scores}/batch", body, headers={"Content-Type": mimetype})
    assert answer.json["num_created"] == 5
    assert [score["value"] for score in listed(any_service.send("GET", scores))] == list(range(5))


def bad_batch() -> list[Any]:
    """Return scores of which only those at 0 and 4 are valid."""
    return [
        SCORE,
        {"prediction_id": "p", "scorer": 3},
        "no object",
        {**SCORE, "evaluation_run_id": 7},
        SCORE,
        {**SCORE, "prediction_id": "\ud800"},
    ]


BAD = [(1, "scorer", "string_type"), (1, "value", "missing"), (2, None, "model_attributes_type")]
BAD += [(3, "evaluation_run_id", "string_type"), (5, "prediction_id", "string_unicode")]


@pytest.mark.parametrize("lines", [False, True])
def test_one_invalid_score_prevents_the_whole_batch(
    any_service: Service, scores: str, lines: bool
) -> None:
    answer = send_batch(any_service, scores, bad_batch(), lines)
    assert answer.status == 422
    where = ["body"] if lines else ["body", "scores"]
    assert [(error["loc"], error["type"]) for error in answer.json["detail"]] == [
        ([*where, number, *([name] if name else [])], type_) for number, name, type_ in BAD
    ]
    assert answer.json["detail"][1]["input"] == bad_batch()[1]
    assert ids(any_service.send("GET", scores)) == []


@pytest.mark.parametrize("lines", [False, True])
def test_a_partial_batch_stores_valid_scores_and_reports_invalid_ones(
    any_service: Service, scores: str, lines: bool
) -> None:
    answer = send_batch(any_service, f"{scores}", bad_batch(), lines, "?partial=true")
    assert answer.status == 200
    found = answer.json
    assert (found["num_created"], found["num_failed"]) == (2, 4)
    assert [list(result) for result in found["results"]] == [
        ["score_id"] if number in (0, 4) else ["detail"] for number in range(6)
    ]
    where = ["body"] if lines else ["body", "scores"]
    assert found["results"][3]["detail"] == [
        {
            "type": "string_type",
            "loc": [*where, 3, "evaluation_run_id"],
            "msg": "Input should be a valid string",
            "input": 7,
        }
    ]
    stored = [found["results"][number]["score_id"] for number in (0, 4)]
    assert ids(any_service.send("GET", scores)) == stored


def send_batch(
    service: Service, scores: str, items: list[Any], lines: bool, query: str = ""
) -> Answer:
    path = f"{scores}/batch{query}"
    if not lines:
        return service.post(path, {"scores": items})
    return service.send("POST", path, "\n".join(map(json.dumps, items)).encode(), headers=JSONL)


@pytest.mark.parametrize(
    ("line", "type_", "loc"),
    [
        (b'{"prediction_id": x}', "json_invalid", ["body", 1, 18]),
        (b"\xff", "json_invalid", ["body", 1]),
        (b"[" * 5_000, "json_invalid", ["body", 1]),
        (b"7" * 5_000, "json_invalid", ["body", 1]),
        (
            b'{"prediction_id":"p","scorer":"s","value":[NaN]}',
            "finite_number",
            ["body", 1, "value", 0],
        ),
        (b"null", "model_attributes_type", ["body", 1]),
    ],
)
def test_an_invalid_line_fails_alone(
    service: Service, scores: str, line: bytes, type_: str, loc: list[Any]
) -> None:
    good = json.dumps(SCORE).encode()
    body = b"\n".join([good, line, good])
    refused = service.send("POST", f"{scores}/batch", body, headers=JSONL)
    assert (refused.status, len(refused.json["detail"])) == (422, 1)
    assert (refused.json["detail"][0]["type"], refused.json["detail"][0]["loc"]) == (type_, loc)
    partial = service.send("POST", f"{scores}/batch?partial=1", body, headers=JSONL).json
    assert (partial["num_created"], partial["num_failed"]) == (2, 1)
    assert partial["results"][1]["detail"] == refused.json["detail"]


@pytest.mark.parametrize(
    ("body", "type_", "loc"),
    [
        (b"", "missing", ["body"]),
        (b"null", "missing", ["body"]),
        (b"{}", "missing", ["body", "scores"]),
        (b"[]", "model_attributes_type", ["body"]),
        (b'{"scores": {}}', "list_type", ["body", "scores"]),
        (b'{"scores": null}', "list_type", ["body", "scores"]),
        (b'{"scores": [{]}', "json_invalid", ["body", 13]),
        (b'{"scores": [], "x": NaN}', "finite_number", ["body", "x"]),
        (b'{"scores": NaN}', "finite_number", ["body", "scores"]),
        (b'{"score": 1e400}', "finite_number", ["body", "score"]),
        (b"[NaN]", "finite_number", ["body", 0]),
        (b"-Infinity", "finite_number", ["body"]),
        (b'{"scores": [%s 1]}' % (b"NaN," * 10_000), "finite_number", ["body", "scores", 0]),
    ],
)
def test_a_body_that_is_not_a_batch_is_refused(
    service: Service, scores: str, body: bytes, type_: str, loc: list[Any]
) -> None:
    for query in ("", "?partial=true"):
        answer = service.send("POST", f"{scores}/batch{query}", body)
        assert answer.status == 422
        (error,) = answer.json["detail"]
        assert (error["type"], error["loc"]) == (type_, loc)


def test_a_number_that_is_not_json_fails_only_its_score(service: Service, scores: str) -> None:
    good = json.dumps(SCORE)
    bad = good.replace("1}", "[1, -Infinity]}")
    body = f'{{"scores": [{good}, {bad}]}}'.encode()
    answer = service.send("POST", f"{scores}/batch?partial=1", body)
    assert answer.json["num_created"] == 1
    (error,) = answer.json["results"][1]["detail"]
    assert (error["loc"], error["input"]) == (["body", "scores", 1, "value", 1], "-Infinity")
    assert service.send("POST", f"{scores}/batch", body).status == 422


@pytest.mark.parametrize("lines", [False, True])
def test_a_batch_has_at_most_ten_thousand_scores(
    service: Service, scores: str, lines: bool
) -> None:
    answer = send_batch(service, scores, [SCORE] * 10_000, lines)
    assert answer.json["num_created"] == 10_000
    refused = send_batch(service, scores, [SCORE] * 10_001, lines)
    assert (refused.status, refused.json["detail"][0]["type"]) == (422, "too_long")
    assert len(ids(service.send("GET", scores))) == 10_000


def test_an_empty_batch_stores_nothing(any_service: Service, scores: str) -> None:
    answer = any_service.post(f"{scores}/batch", {"scores": []})
    assert (answer.status, answer.body) == (200, b'{"score_ids":[],"num_created":0}')


def test_kill_9_during_a_batch_stores_all_of_it_or_nothing(tmp_path: Path) -> None:
    body = {"scores": [{**SCORE, "value": "x" * 500}] * 8_000}
    sizes = set()
    with running(tmp_path, WEB_CONCURRENCY="1") as service:
        for delay in (0.2, 0.4):
            path = f"/v2/a/{delay}/scores"
            sender = threading.Thread(target=_send_and_be_cut, args=(service, path, body))
            sender.start()
            threading.Event().wait(delay)  # Anywhere in the batch will do.
            service.kill()
            sender.join()
            service.start_again()
            sizes.add(len(ids(service.send("GET", path))))
    assert sizes <= {0, 8_000}


def _send_and_be_cut(service: Service, path: str, body: Any) -> None:
    try:
        service.post(f"{path}/batch", body)
    except (OSError, http.client.HTTPException):
        return


# Who may


@pytest.mark.parametrize(
    ("role", "statuses"),
    [
        ("create", (200, 200, 403, 403, 403)),
        ("read", (403, 403, 200, 404, 403)),
        ("write", (200, 200, 200, 404, 200)),
        ("admin", (200, 200, 200, 404, 200)),
    ],
)
def test_roles_and_scopes_protect_every_call(
    any_service: Service, role: str, statuses: tuple[int, ...]
) -> None:
    _, mine = create_key(any_service, role, "acme/guarded")
    _, elsewhere = create_key(any_service, role, "acme/elsewhere")
    scores = "/v2/acme/guarded/scores"
    calls = [
        ("POST", scores, json.dumps(SCORE).encode()),
        ("POST", f"{scores}/batch", json.dumps({"scores": [SCORE]}).encode()),
        ("GET", scores, None),
        ("GET", f"{scores}/nope", None),
        ("DELETE", f"{scores}?score_ids=nope", None),
    ]
    assert tuple(any_service.send(*call, key=mine).status for call in calls) == statuses
    for call in calls:
        answer = any_service.send(*call, key=elsewhere)
        assert (answer.status, answer.json["detail"]) == (403, "Forbidden")
        assert any_service.send(*call, key=None).status == 401
