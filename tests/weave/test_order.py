"""Pages of calls in the order of their start are read by the index of that order."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from app.errors import InvalidParameter
from app.ids import new_id_at
from app.services.lists import no_client_check
from app.stores.base import Store
from app.stores.model import Prediction
from app.stores.weave import Call
from app.weave import queries
from app.weave.call_queries import CallQuery
from app.weave.contents import Place
from app.weave.queries import Counts
from tests.stores.test_contract import a_score
from tests.stores.test_documents import a_prediction, a_run
from tests.stores.test_weave import a_call, fill

PLACE = Place("acme", "demo")
BEGIN = datetime(2026, 1, 1, tzinfo=UTC)


def ask(store: Store, first: int, limit: int | None, **wanted: Any) -> list[str]:
    """Return the ids of a page of calls."""
    body = {"project_id": "acme/demo", "filter": None, "query": None, "expand_columns": None}
    return CallQuery(store, PLACE, body | wanted, Counts(no_client_check)).page(first, limit)


def moments() -> Iterator[datetime]:
    """Yield times in an order that is not theirs, each once."""
    for number in range(100):
        yield BEGIN + timedelta(milliseconds=number * 37 % 100)


def fill_with_all(store: Store) -> list[tuple[datetime, str]]:
    """Add calls, runs, predictions and scores, and return the starts and the ids of all calls."""
    times, found = moments(), list[tuple[datetime, str]]()
    for number, began in zip(range(5), times, strict=False):
        call = a_call(f"call {number}", op_name="f", started_at=began)
        store.upsert_documents([call], fill)
        found.append((began, call.id))
    for number, began in zip(range(5), times, strict=False):
        run = a_run(id=f"run {number}", started_at=began, finished_at=next(times))
        store.add_documents([run])
        found += [(began, run.id), (run.finished_at or began, f"{run.id}:summarize")]
    for number, began in zip(range(10), times, strict=False):
        start = began if number % 2 else None
        made = a_prediction(
            id=f"{number}", evaluation_run_id="r", started_at=start, sort_id=new_id_at(began)
        )
        store.add_documents([made])
        found += [(began, made.predict_and_score_call_id), (began, made.id)]
    for began in (next(times) for _ in range(5)):
        score = a_score(score_id=new_id_at(began), created_at=began)
        store.add_missing([score], partial=False)
        found.append((began, score.score_id))
    return found


def in_order(found: list[tuple[datetime, str]], *, newest_first: bool = False) -> list[str]:
    ordered = sorted(found, key=lambda each: each[0], reverse=newest_first)
    return [call_id for _, call_id in ordered]


@pytest.mark.parametrize("page", [2, 1_000])
def test_pages_in_order_of_start_have_all_calls_once(
    store: Store, monkeypatch: pytest.MonkeyPatch, page: int
) -> None:
    for engine in ("mongo", "sqlite"):
        monkeypatch.setattr(f"app.stores.{engine}.listing.PAGE", page)
    found = fill_with_all(store)
    for direction in ("asc", "desc"):
        wanted = in_order(found, newest_first=direction == "desc")
        order = [{"field": "started_at", "direction": direction}]
        pages = [ask(store, first, 7, sort_by=order) for first in range(0, 49, 7)]
        assert [each for page in pages for each in page] == wanted
        assert ask(store, 0, None, sort_by=order) == wanted


def test_a_page_is_bounded_only_if_calls_may_be_left_out(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(queries.LIMITS, "documents", 10)
    whole = in_order(fill_with_all(store))
    assert ask(store, 20, 5) == whole[20:25]
    with pytest.raises(InvalidParameter, match="over 10 documents"):
        ask(store, 0, 5, filter={"wb_user_ids": ["nobody"]})
    with pytest.raises(InvalidParameter, match="over 10 documents"):
        ask(store, 0, None)


@pytest.mark.parametrize("kind", [Call, Prediction])
def test_a_page_reads_no_more_than_itself(
    store: Store, monkeypatch: pytest.MonkeyPatch, kind: type[Any]
) -> None:
    for engine in ("mongo", "sqlite"):
        monkeypatch.setattr(f"app.stores.{engine}.listing.PAGE", 10)
    times = [BEGIN + timedelta(seconds=number) for number in range(1_000)]
    if kind is Call:
        calls = [a_call(str(each), op_name="f", started_at=each) for each in times]
        store.upsert_documents(calls, fill)
    else:
        store.add_documents([a_prediction(id=str(each), started_at=each) for each in times])
    rows = 0
    read = store.read_by_start

    def counting(*args: Any, **options: Any) -> Iterator[list[Any]]:
        nonlocal rows
        for page in read(*args, **options):
            rows += len(page)
            yield page

    monkeypatch.setattr(store, "read_by_start", counting)
    assert ask(store, 0, 5) == [str(each) for each in times[:5]]
    assert rows < 500
