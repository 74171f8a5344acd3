"""One current score over HTTP, on every engine: lists, history, summaries and exports."""

from __future__ import annotations

import csv
import io
import json
from typing import Any
from urllib.parse import urlencode

import pytest

from tests.processes import Answer, Service

_projects = iter(range(10**9))
VERSION_1, VERSION_2 = (f"weave:///acme/demo/op/Exact.score:v{number}" for number in (1, 2))


@pytest.fixture
def scores(any_service: Service) -> str:
    """Return the path of a new project."""
    return f"/v2/acme/current-{next(_projects)}/scores"


def score(value: Any, **fields: Any) -> dict[str, Any]:
    return {
        "prediction_id": "p",
        "scorer": VERSION_1,
        "value": value,
        "evaluation_run_id": "run",
        **fields,
    }


def add(service: Service, path: str, *items: dict[str, Any]) -> list[str]:
    """Create scores one after another, so that each is newer than the one before."""
    return [service.post(path, item).json["score_id"] for item in items]


def get(service: Service, path: str, **query: Any) -> Answer:
    answer = service.send("GET", f"{path}?{urlencode(query)}")
    assert answer.status == 200, answer.body
    return answer


def listed(service: Service, path: str, **query: Any) -> dict[str, str | None]:
    """Return what supersedes each score of a list, by id and in its order."""
    lines = map(json.loads, get(service, path, **query).body.splitlines())
    return {line["score_id"]: line.get("superseded_by") for line in lines}


def test_a_list_says_what_supersedes_a_score(any_service: Service, scores: str) -> None:
    first, second, other, current = add(
        any_service,
        scores,
        score(1),
        score(2, scorer=VERSION_2),
        score(3, annotator="olga"),
        score(4),
    )
    wanted = {first: current, second: current, other: None, current: None}
    assert listed(any_service, scores) == wanted
    assert list(listed(any_service, scores)) == list(wanted)
    assert listed(any_service, scores, limit=2) == {first: current, second: current}
    assert listed(any_service, scores, current="true") == {other: None, current: None}
    assert listed(any_service, scores, scorer_name="Exact", limit=3) == {
        first: current,
        second: current,
        other: None,
    }
    assert listed(any_service, scores, scorer_name="exact") == {}
    read = get(any_service, f"{scores}/{first}").json
    assert list(read)[-1] == "superseded_by"
    assert read["superseded_by"] == current
    assert "superseded_by" not in get(any_service, f"{scores}/{current}").json


def test_pages_of_current_scores_are_linked(any_service: Service, scores: str) -> None:
    items = [score(value, prediction_id=f"p{value // 2}") for value in range(8)]
    ids = add(any_service, scores, *items)[1::2]
    answer = get(any_service, scores, current="true", limit=3)
    found = [json.loads(line)["score_id"] for line in answer.body.splitlines()]
    following = answer.headers["Link"].partition(">")[0].removeprefix("<")
    rest = any_service.send("GET", f"{scores}{following}")
    assert found + [json.loads(line)["score_id"] for line in rest.body.splitlines()] == ids
    assert "Link" not in rest.headers


def test_history_is_the_same_whichever_id_is_asked(any_service: Service, scores: str) -> None:
    ids = add(any_service, scores, score(1), score(2, scorer=VERSION_2), score(3))
    add(any_service, scores, score(4, annotator="olga"), score(5, evaluation_run_id=None))
    wanted = {ids[2]: None, ids[1]: ids[2], ids[0]: ids[2]}
    for score_id in ids:
        answer = get(any_service, f"{scores}/{score_id}/history")
        assert answer.headers["Content-Type"] == "application/jsonl"
        found = listed(any_service, f"{scores}/{score_id}/history")
        assert found == wanted
        assert list(found) == list(wanted)


def test_the_history_of_an_unknown_score_is_a_404(any_service: Service, scores: str) -> None:
    unknown = "01a20901-1208-700a-886d-bd665d10c4ec"
    answer = any_service.send("GET", f"{scores}/{unknown}/history")
    assert answer.status == 404
    assert answer.json["reason"] == f"Score {unknown} not found"
    (only,) = add(any_service, scores, score(1))
    refused = any_service.send("GET", f"{scores}/{only}/history?limit=1")
    assert (refused.status, refused.json["detail"][0]["type"]) == (422, "extra_forbidden")


def test_deleting_the_current_score_brings_the_one_before_back(
    any_service: Service, scores: str
) -> None:
    first, second, current = add(any_service, scores, score(1), score(2), score(3))
    assert any_service.send("DELETE", f"{scores}?score_ids={current}").status == 200
    assert listed(any_service, scores) == {first: second, second: None}
    assert mean(get(any_service, f"{scores}/summary")) == 2
    assert any_service.send("DELETE", f"{scores}?score_ids={second}").status == 200
    assert listed(any_service, scores) == {first: None}


def mean(answer: Answer) -> float:
    (group,) = answer.json["groups"]
    found: float = group["number"]["mean"]
    return found


def test_an_import_of_an_older_score_supersedes_nothing(any_service: Service, scores: str) -> None:
    (current,) = add(any_service, scores, score(1))
    past = {"score_id": "018cc251-f400-7000-8000-000000000001", "created_at": "2024-01-01T00:00Z"}
    lines = json.dumps({**score(9), **past}).encode()
    answer = any_service.send(
        "POST", f"{scores}/import", lines, {"Content-Type": "application/jsonl"}
    )
    assert answer.json["num_created"] == 1
    assert listed(any_service, scores) == {past["score_id"]: current, current: None}
    assert mean(get(any_service, f"{scores}/summary")) == 1


def test_a_summary_counts_current_scores_and_says_how_many_it_left_out(
    any_service: Service, scores: str
) -> None:
    add(any_service, scores, score(1), score(3, scorer=VERSION_2), score(4, prediction_id="q"))
    add(any_service, scores, *(score(value, evaluation_run_id="B") for value in (5, 6, 7)))
    whole = get(any_service, f"{scores}/summary", group_by="scorer_name,leaf").json
    assert (whole["repeats"], whole["superseded"]) == ("current", 3)
    (group,) = whole["groups"]
    assert (group["scorer_name"], group["attempted"], group["number"]["n"]) == ("Exact", 3, 3)
    assert "superseded" not in group
    for group_by in ("evaluation_run_id", "evaluation_run_id,leaf"):
        by_run = get(any_service, f"{scores}/summary", group_by=group_by).json
        figures = {
            each["evaluation_run_id"]: (each["attempted"], each["superseded"])
            for each in by_run["groups"]
        }
        assert figures == {"run": (2, 1), "B": (1, 2)}
        assert by_run["superseded"] == 3
    everything = get(any_service, f"{scores}/summary", repeats="all", group_by="scorer_name").json
    assert (everything["repeats"], everything["superseded"]) == ("all", 0)
    assert everything["groups"][0]["attempted"] == 6


def test_a_group_with_only_superseded_scores_is_left_out(any_service: Service, scores: str) -> None:
    add(any_service, scores, score(1), score(2, scorer=VERSION_2))
    found = get(any_service, f"{scores}/summary", group_by="scorer").json
    assert [group["scorer"] for group in found["groups"]] == [VERSION_2]
    assert found["superseded"] == 1
    filtered = get(any_service, f"{scores}/summary", scorer=VERSION_1).json
    assert (filtered["groups"], filtered["superseded"]) == ([], 1)
    by_name = get(any_service, f"{scores}/summary", scorer_name="Exact").json
    assert (by_name["groups"][0]["attempted"], by_name["superseded"]) == (1, 1)


def rows(answer: Answer) -> list[str]:
    """Return the ids in a CSV export."""
    return [row[0] for row in list(csv.reader(io.StringIO(answer.body.decode(), newline="")))[1:]]


def test_tables_have_current_scores_and_json_lines_have_all(
    any_service: Service, scores: str
) -> None:
    first, other, current = add(
        any_service, scores, score(1), score({"a": 2}, prediction_id="q"), score(3)
    )
    path = f"{scores}/export"
    assert rows(get(any_service, path, format="csv")) == [other, current]
    assert rows(get(any_service, path, format="csv", columns="a", limit=1)) == [other]
    assert rows(get(any_service, path, format="csv", repeats="all")) == [first, other, current]
    lines = get(any_service, path, format="jsonl")
    assert [json.loads(line)["score_id"] for line in lines.body.splitlines()] == [
        first,
        other,
        current,
    ]
    assert b"superseded" not in lines.body
    refused = any_service.send("GET", f"{path}?format=jsonl&repeats=current")
    assert (refused.status, refused.json["detail"][0]["loc"]) == (422, ["query", "repeats"])
