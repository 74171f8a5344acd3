"""A run is found by its id, its name, `latest:KEY=VALUE` or `approved`, on every engine."""

from __future__ import annotations

import logging
import re
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from app.errors import InvalidParameter, NotFound
from app.ids import new_id
from app.services import run_references
from app.services.approvals import approve_run, list_approvals
from app.services.clearing import clear
from app.services.keys import COMMAND_LINE
from app.services.run_references import RunFinder
from app.services.runs import newest_approval
from app.stores.base import Store
from tests.analysis.test_comparisons import add, numbered
from tests.stores.test_documents import a_run

OLGA = replace(COMMAND_LINE, key_id="k1", owner="olga")
MAIN = '{"branch":"main"}'


def find(store: Store, given: str, besides: tuple[str, ...] = ()) -> str:
    return RunFinder(store, "acme", "demo").find("baseline", given, besides).run_id


def add_run(store: Store, run_id: str, **fields: Any) -> None:
    fields = {"status": "completed", "attributes_json": MAIN, **fields}
    store.add_documents([a_run(id=run_id, **fields)])


def approve(store: Store, run_id: str, reason: str = "good") -> None:
    approve_run(store, "acme", "demo", {"run": run_id, "reason": reason}, OLGA)


def delete(store: Store, run_id: str) -> None:
    for deletion in store.begin_deletions("acme", "demo", [run_id], "k"):
        clear(store, deletion, 1e12, "w")


# Ids and names


def test_an_id_comes_before_a_name(store: Store) -> None:
    add_run(store, "a", name="b")
    add_run(store, "b", name="c")
    add_run(store, "other", name="d", project="other")
    assert [find(store, given) for given in ("a", "b", "c")] == ["a", "b", "b"]


def test_a_run_that_only_scores_name_is_found(store: Store) -> None:
    add(store, "A", numbered([1.0]))
    add_run(store, "x", name="A")
    assert find(store, "A") == "A"


def test_an_archived_run_is_found_by_its_id_only(store: Store) -> None:
    add_run(store, "old", name="nightly", archived_at=datetime.now(UTC))
    assert find(store, "old") == "old"
    with pytest.raises(NotFound, match="'nightly' is archived: give its id, old"):
        find(store, "nightly")
    add_run(store, "new", name="nightly")
    assert find(store, "nightly") == "new"


def test_a_name_of_several_runs_is_refused_with_their_ids(store: Store) -> None:
    for run_id in ("a", "b"):
        add_run(store, run_id, name="nightly")
    message = "several runs have this name; give the id of one: b and a"
    with pytest.raises(InvalidParameter, match=f"^{message}$") as error:
        find(store, "nightly")
    assert (error.value.name, error.value.given) == ("baseline", "nightly")
    for number in range(10):
        add_run(store, f"run/{number}", name="nightly")
    with pytest.raises(InvalidParameter, match=r"give the id of one: run/9 and .*, and others$"):
        find(store, "nightly")


def test_an_unknown_run_is_not_found_and_similar_ones_are_named(store: Store) -> None:
    add_run(store, "x", name="nightly-1")
    add(store, "nightly-22", numbered([1.0]))
    message = "id or the name 'nightly-2'; there is 'nightly-22' and 'nightly-1'"
    with pytest.raises(NotFound, match=message):
        find(store, "nightly-2")
    with pytest.raises(NotFound, match=r"name 'z'$"):
        find(store, "z")
    with pytest.raises(NotFound, match=r"name 'n+'$"):
        find(store, "n" * 100_000)


@pytest.mark.parametrize("run_id", ["approved", "latest:branch=main", "id:a"])
def test_a_run_whose_id_is_such_a_word_is_found_behind_id(store: Store, run_id: str) -> None:
    add_run(store, run_id, attributes_json=None)
    add_run(store, "a", name="latest:branch=main")
    approve(store, "a")
    assert find(store, f"id:{run_id}") == run_id
    assert find(store, run_id) == "a"


def test_behind_id_there_is_no_name(store: Store) -> None:
    add_run(store, "a", name="b")
    assert find(store, "id:a") == "a"
    with pytest.raises(NotFound, match="No evaluation run has the id 'b'"):
        find(store, "id:b")


# Latest


def test_latest_is_the_newest_completed_run_with_the_attributes(store: Store) -> None:
    add_run(store, "first")
    add_run(store, "second")
    add_run(store, "feature", attributes_json='{"branch":"feature"}')
    add_run(store, "archived", archived_at=datetime.now(UTC))
    add_run(store, "running", status="running")
    add_run(store, "failed", status="failed")
    add_run(store, "other", project="other")
    add(store, "named", numbered([1.0]))
    assert find(store, "latest:branch=main") == "second"
    assert find(store, "latest:branch") == "feature"


def test_latest_is_never_the_run_that_is_compared(store: Store) -> None:
    add_run(store, "first")
    add_run(store, "second")
    assert find(store, "latest:branch=main", besides=("second",)) == "first"
    with pytest.raises(NotFound, match=r"has branch=main besides first and second$"):
        find(store, "latest:branch=main", besides=("second", "first"))


def test_latest_has_all_attributes(store: Store) -> None:
    add_run(store, "both", attributes_json='{"branch":"main","tags":["nightly","gpu"],"n":3}')
    add_run(store, "one")
    assert find(store, "latest:branch=main,tags=gpu,n=3") == "both"
    with pytest.raises(NotFound, match=r"has branch=main and tags=cpu$"):
        find(store, "latest:branch=main,tags=cpu")


@pytest.mark.parametrize("given", ["latest:", "latest:a=b,", "latest:" + ",".join("a" * 21)])
def test_latest_without_attributes_or_with_too_many_is_refused(store: Store, given: str) -> None:
    with pytest.raises(InvalidParameter, match="write latest:KEY=VALUE"):
        find(store, given)


def test_latest_looks_at_a_bounded_number_of_runs(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_references, "MAX_EXAMINED", 2)
    for run_id in ("a", "b", "c"):
        add_run(store, run_id, attributes_json=f'{{"branch":"{run_id}"}}')
    assert find(store, "latest:branch=b") == "b"
    with pytest.raises(InvalidParameter, match="no match among the newest 2 runs: give the id"):
        find(store, "latest:branch=a")
    delete(store, "c")
    with pytest.raises(NotFound, match="has branch=c"):
        find(store, "latest:branch=c")


# Approved


def test_approved_is_the_run_that_was_approved_last(store: Store) -> None:
    with pytest.raises(NotFound, match="No evaluation run of this project is approved"):
        find(store, "approved")
    add_run(store, "a")
    add(store, "B", numbered([1.0]))
    for run_id in ("a", "B"):
        approve(store, run_id)
        assert find(store, "approved") == run_id
    approve(store, "a")
    assert find(store, "approved") == "a"


def test_an_approved_run_that_was_deleted_is_no_older_one(store: Store) -> None:
    for run_id in ("a", "b"):
        add_run(store, run_id)
        approve(store, run_id)
    delete(store, "b")
    message = "The evaluation run that was approved last, b, was deleted since"
    with pytest.raises(NotFound, match=message):
        find(store, "approved")
    approve(store, "a")
    assert find(store, "approved") == "a"


def test_a_new_run_with_the_id_of_the_approved_one_is_not_approved(store: Store) -> None:
    add_run(store, "a")
    approve(store, "a")
    approval = newest_approval(store, "acme", "demo")
    assert approval is not None
    delete(store, "a")
    while new_id()[:13] <= approval.id[:13]:  # It is made in a later millisecond.
        pass
    add_run(store, "a")
    with pytest.raises(NotFound, match="approved last, a, was deleted since"):
        find(store, "approved")
    approve(store, "a")
    assert find(store, "approved") == "a"


def test_an_approval_keeps_who_when_and_why_and_is_audited(
    store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    add_run(store, "a")
    before = datetime.now(UTC)
    with caplog.at_level(logging.INFO, logger="scoreline.audit"):
        approve(store, "a", "for 1.0")
    page = list_approvals(store, "acme", "demo", {"limit": 2, "after": None})
    (found,) = page.items
    assert (found.evaluation_run_id, found.reason, found.wb_user_id) == ("a", "for 1.0", "olga")
    assert abs((found.created_at - before).total_seconds()) < 60
    assert [each.__dict__["scoreline_fields"] for each in caplog.records] == [
        {
            "action": "evaluation_runs.approve",
            "outcome": "done",
            "by_key_id": "k1",
            "by_owner": "olga",
            "entity": "acme",
            "project": "demo",
            "evaluation_run_id": "a",
            "reason": "for 1.0",
        }
    ]


def test_the_same_approval_again_is_the_same_one(store: Store) -> None:
    add_run(store, "a")
    add_run(store, "b", name="the b")
    for run_id, reason in (("a", "x"), ("a", "x"), ("a", "y"), ("b", "y"), ("the b", "y")):
        approve(store, run_id, reason)
    page = list_approvals(store, "acme", "demo", {"limit": 9, "after": None})
    shown = [(each.evaluation_run_id, each.reason) for each in page.items]
    assert shown == [("b", "y"), ("a", "y"), ("a", "x")]


def test_approvals_are_listed_page_by_page_newest_first(store: Store) -> None:
    add_run(store, "a")
    for reason in "abc":
        approve(store, "a", reason)
    first = list_approvals(store, "acme", "demo", {"limit": 2, "after": None})
    assert [each.reason for each in first.items] == ["c", "b"]
    second = list_approvals(store, "acme", "demo", {"limit": 2, "after": first.next_after})
    assert ([each.reason for each in second.items], second.next_after) == (["a"], None)
    assert re.fullmatch("[0-9a-f-]{36}", str(first.next_after))
