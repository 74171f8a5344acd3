"""What a run lacks, over HTTP: predictions without a score, and examples of another run."""

from __future__ import annotations

from typing import Any

import pytest

from app.services import gaps
from app.services.lists import no_client_check
from app.stores.base import Store
from tests.api.test_runs import (
    add_prediction,
    add_run,
    add_score,
    listed,
    paged,
    project,
    send,
)
from tests.processes import Service
from tests.stores.test_contract import a_score
from tests.stores.test_documents import a_prediction

__all__ = ["project"]  # A fixture.

SCORER = "weave:///acme/demo/object/Exact:v1"


def missing(service: Service, project: str, run: str, what: str, **more: Any) -> list[Any]:
    return listed(service, project, "predictions", run=run, missing=what, limit=1_000, **more)


def test_predictions_without_a_score_by_a_scorer_are_listed(
    any_service: Service, project: str
) -> None:
    one, two, three = (add_prediction(any_service, project, "r", inputs={"q": n}) for n in range(3))
    add_score(any_service, project, "r", one, scorer=SCORER)
    add_score(any_service, project, "r", one, scorer=SCORER.replace("v1", "v2"))
    add_score(any_service, project, "r", two, scorer="other")
    add_score(any_service, project, "again", two, scorer=SCORER)
    add_score(any_service, project, "r", three, scorer=SCORER, value=None, error="timeout")
    add_score(any_service, project, "r", "named", scorer="other")
    found = missing(any_service, project, "r", "scorer:Exact")
    assert [each["prediction_id"] for each in found] == ["named", two]
    assert found[1]["inputs"] == {"q": 1}
    assert [score["scorer"] for score in found[1]["scores"]] == ["other"]
    assert missing(any_service, project, "r", f"scorer:{SCORER}") == found
    assert len(missing(any_service, project, "r", "scorer:new")) == 4
    score_id = add_score(any_service, project, "r", two, scorer=SCORER)
    add_score(any_service, project, "r", "named", scorer=SCORER)
    assert missing(any_service, project, "r", "scorer:Exact") == []
    send(any_service, "DELETE", f"/v2/{project}/scores", score_ids=score_id)
    (left,) = missing(any_service, project, "r", "scorer:Exact")
    assert left["prediction_id"] == two


def test_pages_of_what_is_missing_follow_each_other(any_service: Service, project: str) -> None:
    made = [add_prediction(any_service, project, "r", inputs={"q": n}) for n in range(7)]
    for prediction_id in made[::3]:
        add_score(any_service, project, "r", prediction_id, scorer="s")
    pages = paged(any_service, f"/v1/{project}/predictions", "run=r&limit=2&missing=scorer%3As")
    found = [each["prediction_id"] for page in pages for each in page]
    assert found == [made[5], made[4], made[2], made[1]]
    assert max(map(len, pages)) == 2
    add_run(any_service, project, "empty")
    path = f"/v1/{project}/predictions"
    pages = paged(any_service, path, "run=empty&missing=example&of=r&limit=3")
    assert [each["prediction_id"] for page in pages for each in page] == made[::-1]
    assert [len(page) for page in pages] == [3, 3, 1]


def test_examples_of_another_run_are_listed_once_each(any_service: Service, project: str) -> None:
    for number in (1, 2, 2, 3):
        add_prediction(any_service, project, "old", inputs={"q": number})
    add_prediction(any_service, project, "old", inputs={"q": 9}, example_id="row/9")
    add_prediction(any_service, project, "old", inputs={})
    add_score(any_service, project, "old", "named")
    add_prediction(any_service, project, "new", inputs={"q": 1})
    found = missing(any_service, project, "new", "example", of="old")
    assert [each["inputs"]["q"] for each in found] == [9, 3, 2]
    assert [each["trial"] for each in found] == [0, 0, 0]
    assert {each["evaluation_run_id"] for each in found} == {"old"}
    for each in found:
        sent = {"inputs": {"other": "fields"}, "example_id": each["example_id"]}
        add_prediction(any_service, project, "new", **sent)
    assert missing(any_service, project, "new", "example", of="old") == []
    assert len(missing(any_service, project, "old", "example", of="new")) == 0


@pytest.mark.parametrize(
    ("query", "loc"),
    [
        ({"missing": "score"}, "missing"),
        ({"missing": "scorer:"}, "missing"),
        ({"missing": "example"}, "of"),
        ({"missing": "scorer:s", "of": "r"}, "of"),
        ({"of": "r"}, "of"),
    ],
)
def test_what_cannot_be_missing_is_refused(
    service: Service, project: str, query: dict[str, str], loc: str
) -> None:
    answer = send(service, "GET", f"/v1/{project}/predictions", run="r", **query)
    assert answer.status == 422, answer.body
    assert answer.json["detail"][0]["loc"] == ["query", loc]


def test_a_run_that_is_not_there_is_a_404(any_service: Service, project: str) -> None:
    add_prediction(any_service, project, "r")
    path = f"/v1/{project}/predictions"
    for query in (
        {"run": "no", "missing": "scorer:s"},
        {"run": "no", "missing": "example", "of": "r"},
        {"run": "r", "missing": "example", "of": "no"},
    ):
        answer = send(any_service, "GET", path, **query)
        assert (answer.status, answer.json["reason"]) == (404, "Evaluation run no not found")


def test_a_page_ends_after_some_predictions_were_looked_at(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gaps, "PAGE", 2)
    monkeypatch.setattr(gaps, "SCANNED", 4)
    store.add_documents([a_prediction(id=str(n), evaluation_run_id="r") for n in range(10)])
    judged = [a_score(evaluation_run_id="r", prediction_id=str(n)) for n in range(1, 9)]
    store.add_missing(judged, partial=False)
    found, after = list[list[str]](), None
    while True:
        wanted = {"run": "r", "missing": "scorer:s", "of": None, "limit": 5, "after": after}
        page = gaps.find_predictions(store, "acme", "demo", wanted, no_client_check)
        found.append([each.prediction_id for each in page.items])
        after = page.next_after
        if after is None:
            break
    assert found == [["9"], [], ["0"]]
