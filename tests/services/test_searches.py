"""Searches in many scores: pages that end before they are full, and limits."""

from __future__ import annotations

from typing import Any

import pytest

from app.errors import ClientGone, InvalidParameter
from app.leaves import leaves
from app.schemas.scores import ScoreListQuery
from app.services import searches
from app.services.lists import no_client_check
from app.services.searches import search_scores
from app.stores.base import Store
from tests.stores.test_contract import a_score


def fill(store: Store, *values: Any) -> list[str]:
    return [store.add_score(a_score(value_json="1", leaves=leaves(value))).id for value in values]


def search(store: Store, **given: Any) -> tuple[list[str], str | None]:
    wanted = ScoreListQuery().load(given)
    page = search_scores(store, "acme", "demo", wanted, no_client_check)
    return [score.score_id for score in page.items], page.next_after


@pytest.mark.parametrize("order", ["asc", "desc"])
def test_a_page_ends_after_some_scores_were_read(
    store: Store, monkeypatch: pytest.MonkeyPatch, order: str
) -> None:
    monkeypatch.setattr(searches, "SCANNED", 3)
    monkeypatch.setattr("app.services.lists.PAGE", 2)
    ids = fill(store, 1, 0, 0, 0, 1, 0, 0, 0, 0, 1)
    wanted = [ids[0], ids[4], ids[9]]
    found, pages = list[str](), 0
    more: dict[str, str] = {}
    while True:
        page, after = search(store, where=["=1"], limit="2", order=order, **more)
        assert len(page) <= 2
        found += page
        pages += 1
        if after is None:
            break
        more = {"after": after}
    assert found == (wanted if order == "asc" else wanted[::-1])
    assert pages == 4
    assert search(store, where=["=1"], order=order) == (found, None)


def test_a_page_reads_on_until_the_leaf_is_found(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(searches, "SCANNED", 2)
    ids = fill(store, *[{"a": 1}] * 5, {"b": 1}, *[{"a": 1}] * 5)
    assert search(store, where=["b=2"], limit="5") == ([], ids[5])
    assert search(store, where=["b=2"], limit="5", after=ids[5]) == ([], ids[7])
    with pytest.raises(InvalidParameter, match="the leaf 'c'"):
        search(store, where=["c=1"], limit="5")


def test_a_page_of_a_search_is_bounded(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(searches, "PAGE", 2)
    ids = fill(store, 1, 1, 1, 1, 1)
    assert search(store, where=["=1"], limit="1000") == (ids[:2], ids[1])
    assert search(store, sort_by="", limit="1000") == (ids[:2], ids[1])
    assert search(store, sort_by="", limit="1000", after=ids[3]) == (ids[4:], None)
    assert search(store, where=["=1"], limit="0") == ([], None)


def test_too_many_scores_are_not_sorted(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(searches, "MAX_SORTED", 3)
    fill(store, 1, 1, 1, 2)
    assert len(search(store, sort_by="", where=["=1"])[0]) == 3
    with pytest.raises(InvalidParameter, match="over 3 scores cannot be sorted"):
        search(store, sort_by="")


def test_a_search_ends_when_its_client_is_gone(store: Store) -> None:
    def gone() -> None:
        raise ClientGone

    fill(store, 1)
    wanted = ScoreListQuery().load({"where": ["=2"], "limit": "5"})
    with pytest.raises(ClientGone):
        search_scores(store, "acme", "demo", wanted, gone)


def test_an_old_name_of_a_leaf_is_refused_with_the_new_one(store: Store) -> None:
    fill(store, {"tags": [1]})
    with pytest.raises(InvalidParameter, match="is now named"):
        search(store, where=["tags.0=1"])
