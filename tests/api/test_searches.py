"""The list of scores with filters by content and in other orders, on every engine."""

from __future__ import annotations

import secrets
from typing import Any
from urllib.parse import urlencode

import pytest

from tests.api.test_resource import add, ids, listed, next_page
from tests.processes import Answer, Service

VALUES: list[Any] = [
    {"accuracy": {"f1": 0.25}, "label": "good"},
    {"accuracy": {"f1": 0.75}, "label": "Very bad", "ok": True},
    {"accuracy": {"f1": None}, "label": 1},
    None,
    {"accuracy": {"f1": 0.5}, "a.b<c": 7, "ok": False},
    0.5,
]


@pytest.fixture
def scores(any_service: Service) -> str:
    """Return the path of the scores of a project with VALUES, each with its place as reason."""
    path = f"/v2/acme/{secrets.token_hex(8)}/scores"
    for place, value in enumerate(VALUES):
        error = {"error": "timeout"} if value is None else {}
        add(any_service, path, value=value, reason=f"Reason {place}", **error)
    return path


def search(service: Service, path: str, *given: tuple[str, Any], **more: Any) -> Answer:
    return service.send("GET", f"{path}?{urlencode([*given, *more.items()])}")


def places(answer: Answer) -> list[int]:
    return [int(score["reason"].split()[1]) for score in listed(answer)]


def where(*conditions: str) -> list[tuple[str, str]]:
    return [("where", condition) for condition in conditions]


@pytest.mark.parametrize(
    ("conditions", "wanted"),
    [
        (["accuracy.f1<0.5"], [0]),
        (["accuracy.f1<=0.5"], [0, 4]),
        (["accuracy.f1>=0.5", "ok=true"], [1]),
        (["accuracy.f1>0.1", "accuracy.f1<0.7"], [0, 4]),
        (["accuracy.f1=null"], [2]),
        (["accuracy.f1!=null"], [0, 1, 4]),
        (["label=good"], [0]),
        (["label~VERY"], [1]),
        (["label!=good"], [1, 2]),
        (['label="Very bad"'], [1]),
        (["label=1"], [2]),
        ([r'"a\\.b<c"=7'], [4]),
        (["=null"], [3]),
        (["<1"], [5]),
        (["ok=true", "ok=false"], []),
    ],
)
def test_scores_are_filtered_by_their_leaves(
    any_service: Service, scores: str, conditions: list[str], wanted: list[int]
) -> None:
    assert places(search(any_service, scores, *where(*conditions))) == wanted
    paged = search(any_service, scores, *where(*conditions), limit=1)
    assert places(paged) == wanted[:1]


def test_scores_are_filtered_by_failure_and_reason(any_service: Service, scores: str) -> None:
    assert places(search(any_service, scores, failed="true")) == [3]
    assert places(search(any_service, scores, failed="false")) == [0, 1, 2, 4, 5]
    assert places(search(any_service, scores, reason_contains="SON 4")) == [4]
    assert places(search(any_service, scores, reason_contains="nothing")) == []
    assert places(search(any_service, scores, reason_contains="", prediction_id="p")) == [*range(6)]
    assert places(search(any_service, scores, failed="false", prediction_id="other")) == []


def test_scores_are_listed_newest_first(any_service: Service, scores: str) -> None:
    for more in ({}, {"reason_contains": "reason"}):
        assert places(search(any_service, scores, order="desc", **more)) == [5, 4, 3, 2, 1, 0]
        assert places(search(any_service, scores, order="asc", **more)) == [0, 1, 2, 3, 4, 5]
    assert places(search(any_service, scores, order="desc", offset=1, limit=2)) == [4, 3]


def follow(service: Service, path: str, *given: tuple[str, Any], **more: Any) -> list[list[int]]:
    """Return the places on each page."""
    answer = search(service, path, *given, **more)
    pages = [places(answer)]
    while (following := next_page(answer)) is not None:
        answer = service.send("GET", path + following)
        pages.append(places(answer))
    return pages


def test_links_lead_through_all_that_pass(any_service: Service, scores: str) -> None:
    assert follow(any_service, scores, order="desc", limit=4) == [[5, 4, 3, 2], [1, 0]]
    two = where("accuracy.f1>0.1", "accuracy.f1<0.7")
    assert follow(any_service, scores, *two, limit=1) == [[0], [4], []]
    assert follow(any_service, scores, *two, order="desc", limit=1) == [[4], [0], []]
    assert follow(any_service, scores, sort_by="accuracy.f1", limit=2) == [[0, 4], [1, 2], [3, 5]]


def test_scores_are_sorted_by_a_leaf_with_those_without_it_last(
    any_service: Service, scores: str
) -> None:
    assert places(search(any_service, scores, sort_by="accuracy.f1")) == [0, 4, 1, 2, 3, 5]
    down = {"sort_by": "accuracy.f1", "order": "desc"}
    assert places(search(any_service, scores, **down)) == [1, 4, 0, 2, 3, 5]
    assert places(search(any_service, scores, **down, failed="false", limit=2)) == [1, 4]
    # Numbers before texts.
    assert places(search(any_service, scores, sort_by="label"))[:3] == [2, 1, 0]
    assert places(search(any_service, scores, sort_by="ok"))[:2] == [4, 1]
    assert places(search(any_service, scores, sort_by="")) == [5, 0, 1, 2, 3, 4]


def error_of(answer: Answer) -> tuple[Any, str]:
    assert answer.status == 422, answer.body
    (error,) = answer.json["detail"]
    return error["loc"], error["msg"]


def test_a_page_behind_a_deleted_score_is_refused(any_service: Service, scores: str) -> None:
    first = ids(search(any_service, scores, sort_by="accuracy.f1"))[0]
    any_service.send("DELETE", f"{scores}?score_ids={first}")
    loc, message = error_of(search(any_service, scores, sort_by="accuracy.f1", after=first))
    assert loc == ["query", "after"]
    assert "begin again without after" in message


def test_a_leaf_that_no_score_has_is_refused_with_similar_ones(
    any_service: Service, scores: str
) -> None:
    loc, message = error_of(search(any_service, scores, *where("ok=true", "acuracy.f1<1")))
    assert loc == ["query", "where"]
    assert message == (
        "Value error, none of the scores has the leaf 'acuracy.f1'; there is 'accuracy.f1'"
    )
    for limit in ({}, {"limit": 2}):
        loc, message = error_of(search(any_service, scores, sort_by="zzz", **limit))
        assert loc == ["query", "sort_by"]
        assert "has the leaf 'zzz'; there is '' (the whole value) and 'a\\.b<c' and" in message
    _, message = error_of(search(any_service, scores, *where("a.b<c=7")))
    assert "none of the scores has the leaf 'a.b'" in message
    assert places(search(any_service, scores, *where("zzz=1"), evaluation_run_id="none")) == []


@pytest.mark.parametrize(
    ("given", "loc", "message"),
    [
        (
            [("where", "a=1"), ("where", "a 1")],
            ["query", "where", 1],
            "Value error, one of the operators = != < <= > >= ~ is expected at character 4",
        ),
        ([("where", "a<true")], ["query", "where", 0], "Value error, at character 3"),
        ([("where", "a=1")] * 21, ["query", "where"], "List should have at most 20 items"),
        ([("failed", "maybe")], ["query", "failed"], "Input should be a valid boolean"),
        ([("order", "up")], ["query", "order"], "Input should be 'asc' or 'desc'"),
        (
            [("where", "a=1"), ("offset", "1")],
            ["query", "offset"],
            "Value error, this cannot be used with a filter by content",
        ),
        ([("sort_by", "a"), ("offset", "1")], ["query", "offset"], "Value error, this cannot"),
    ],
)
def test_what_cannot_be_used_is_refused(
    service: Service, given: list[tuple[str, str]], loc: list[Any], message: str
) -> None:
    path = "/v2/acme/searches/scores"
    found, text = error_of(service.send("GET", f"{path}?{urlencode(given)}"))
    assert found == loc
    assert text.startswith(message)


def test_a_parameter_that_is_ignored_is_named(service: Service) -> None:
    path = "/v2/acme/searches-ignored/scores"
    answer = service.send("GET", f"{path}?were=a%3C1&limit=1&were=b&x%0Ay=1")
    assert (answer.status, answer.headers["Scoreline-Ignored"]) == (200, "were,x%0Ay")
    assert service.send("GET", f"{path}?limit=1").headers["Scoreline-Ignored"] is None
