"""Leaves are read score by score or counted, on every engine."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app import jsontext
from app.errors import Repeated, StoreDamaged
from app.leaves import leaves
from app.stores.base import FIELDS, Key, ScoreQuery, Store, Tally
from app.stores.model import Leaf
from app.stores.sqlite import leaves as sqlite_leaves
from app.stores.sqlite.leaves import Tallies, to_page
from tests.stores.test_contract import a_score
from tests.test_jsontext import any_json

ALL = ScoreQuery("acme", "demo")
VALUES: list[Any] = [1, 0.5, True, "yes", None, {"a": 1, "b": [None, False]}, {}, [], "],[", 1]


def fill(store: Store, values: Iterable[Any]) -> None:
    for place, value in enumerate(values):
        store.add_score(
            a_score(
                leaves=leaves(value),
                scorer=f"s{place % 2}",
                prediction_id=f"p{place}",
                evaluation_run_id="run" if place % 3 else None,
            )
        )


def text(leaf: Leaf) -> str:
    return jsontext.write(leaf)


def counted(tallies: Iterable[Tally]) -> dict[Key, tuple[int, Counter[str]]]:
    """Return the number of scores and of each leaf for each key, summed over all tallies."""
    found: dict[Key, tuple[int, Counter[str]]] = {}
    for tally in tallies:
        scores, seen = found.setdefault(tally.key, (0, Counter()))
        for leaf, times in zip(tally.leaves, tally.counts, strict=True):
            seen[text(leaf)] += times
        found[tally.key] = (scores + tally.scores, seen)
    return found


def test_leaves_are_read_with_fields_in_the_order_of_the_ids(store: Store) -> None:
    fill(store, VALUES)
    fields = ("prediction_id", "evaluation_run_id", "scorer")
    keys: list[Key] = []
    found: list[Any] = []
    for page_keys, page, _ in store.read_leaves(ALL, fields):
        keys += page_keys
        found += page
    assert found == [leaves(value) for value in VALUES]
    assert keys == [
        (f"p{place}", "run" if place % 3 else None, f"s{place % 2}") for place in range(len(VALUES))
    ]


def test_a_page_of_large_values_is_bounded(store: Store) -> None:
    value_json = f'"{"x" * 1_000_000}"'
    for _ in range(9):
        store.add_score(a_score(value_json=value_json))
    pages = [page.keys for page in store.read_leaves(ALL, ["value_json"])]
    assert [key for page in pages for key in page] == [(value_json,)] * 9
    assert max(map(len, pages)) <= 5


def test_days_and_hours_are_those_of_created_at(store: Store) -> None:
    for moment in (
        datetime(2026, 3, 1, 23, 59, 59, 999_000, UTC),
        datetime(2026, 3, 2, 0, 0, 0, 0, UTC),
    ):
        store.add_score(a_score(created_at=moment))
    (page,) = store.read_leaves(ALL, ("day", "hour"))
    assert page[0] == [("2026-03-01", "2026-03-01T23:00Z"), ("2026-03-02", "2026-03-02T00:00Z")]


@pytest.mark.parametrize("fields", [(), ("scorer",), ("scorer", "evaluation_run_id"), FIELDS])
def test_counted_leaves_are_the_same_as_read_ones(store: Store, fields: tuple[str, ...]) -> None:
    fill(store, VALUES * 3)
    expected: dict[Key, tuple[int, Counter[str]]] = {}
    for keys, page, _ in store.read_leaves(ALL, fields):
        for key, found in zip(keys, page, strict=True):
            scores, seen = expected.setdefault(key, (0, Counter()))
            seen.update(map(text, found))
            expected[key] = (scores + 1, seen)
    assert counted(store.tally_leaves(ALL, fields)) == expected


@pytest.mark.parametrize("only_current", [True, False])
@pytest.mark.parametrize("fields", [("scorer",), tuple(set(FIELDS) - {"value_json"})])
def test_leaves_of_single_scores_are_counted_the_same(
    monkeypatch: pytest.MonkeyPatch, store: Store, only_current: bool, fields: tuple[str, ...]
) -> None:
    monkeypatch.setattr("app.stores.mongo.leaves.PAGE", 7)
    fill(store, VALUES * 3)
    store.add_score(a_score(annotator="olga", leaves=leaves("x" * 300), value_json='"x"'))
    query = replace(ALL, only_current=only_current)
    for asked in (query, replace(query, scorer="s0"), replace(query, evaluation_run_id="run")):
        for by in (("prediction_id",), ("prediction_id", "evaluation_run_id", "scorer_name")):
            found = counted(store.tally_single(asked, fields, by))
            assert found == counted(store.tally_leaves(asked, fields))


def test_numbers_are_counted_as_they_were_sent(store: Store) -> None:
    numbers = [0.0, -0.0, 1.7e308, -1.7e308, 5e-324, 2**53 + 1, 1e15 + 0.125]
    values = [*numbers, 10**400, 7]
    store.add_missing(
        [
            a_score(prediction_id=f"p{place}", leaves=leaves([value, -0.0]))
            for place, value in enumerate(values)
        ],
        partial=False,
    )
    found = Counter[str]()
    for tally in store.tally_single(ALL, (), ("prediction_id",)):
        for leaf, times in zip(tally.leaves, tally.counts, strict=True):
            found[repr(leaf)] += times
    assert found == Counter(repr(leaf) for value in values for leaf in leaves([value, -0.0]))


@pytest.mark.parametrize("repeat", [2, 25])
def test_scores_that_are_not_single_are_refused(store: Store, repeat: int) -> None:
    fill(store, [1] * 30)
    store.add_score(a_score(prediction_id=f"p{repeat}", scorer_name="another"))
    by_scorer = ("prediction_id", "scorer_name")
    assert sum(each.scores for each in store.tally_single(ALL, (), by_scorer)) == 31
    with pytest.raises(Repeated):
        list(store.tally_single(ALL, (), ("prediction_id",)))


def test_a_score_that_another_filter_hides_still_supersedes(store: Store) -> None:
    store.add_score(a_score(scorer="s:v0", scorer_name="s"))
    store.add_score(a_score(scorer="s:v1", scorer_name="s"))
    query = replace(ALL, scorer="s:v0", only_current=True)
    (tally,) = store.tally_single(query, (), ("prediction_id",))
    assert (tally.scores, tally.superseded) == (0, 1)


def test_a_missing_run_is_the_same_as_an_empty_one(store: Store) -> None:
    store.add_score(a_score(evaluation_run_id=None))
    store.add_score(a_score(evaluation_run_id=""))
    query = replace(ALL, only_current=True)
    with pytest.raises(Repeated):
        list(store.tally_single(query, (), ("prediction_id", "evaluation_run_id")))


def test_only_leaves_that_match_the_query_are_read(store: Store) -> None:
    fill(store, [1, 2, 3])
    store.add_score(a_score(project="other"))
    query = replace(ALL, scorer="s0")
    assert [len(page) for _, page, _ in store.read_leaves(query, ())] == [2]
    assert sum(tally.scores for tally in store.tally_leaves(query, ())) == 2
    assert list(store.tally_leaves(replace(ALL, entity="nobody"), ("scorer",))) == []


def rows(values: Iterable[Any]) -> list[tuple[Any, ...]]:
    """Return rows of a leaves_statement for the field `scorer`."""
    return [
        ("id", f"s{place % 2}", jsontext.write(leaves(value))) for place, value in enumerate(values)
    ]


nasty = st.text(alphabet='{}[],:"\\path\n\x00é', max_size=30)


@settings(max_examples=200)
@given(st.lists(any_json | st.dictionaries(nasty, nasty | st.floats(0, 1), max_size=4), max_size=9))
def test_any_leaves_are_split_as_json_would(values: list[Any]) -> None:
    given_rows = rows(values)
    pages = [given_rows[:3], given_rows[3:]] if given_rows[3:] else [given_rows]
    found = counted(Tallies().of(page for page in pages if page))
    for name in ("s0", "s1"):
        seen = Counter(
            text(leaf)
            for place, value in enumerate(values)
            if f"s{place % 2}" == name
            for leaf in leaves(value)
        )
        number = sum(row[1] == name for row in given_rows)
        assert found.get((name,), (0, Counter())) == (number, seen)


def test_few_leaves_that_are_distinct_are_held(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sqlite_leaves, "MAX_DISTINCT", 10)
    values = [[place / 7, "same"][place % 2] for place in range(90)]
    page = rows(values)
    tallies = list(Tallies().of([page[:30], page[30:60], page[60:]]))
    found = counted(tallies)
    assert found["s0",][0] == found["s1",][0] == 45
    assert len(found["s0",][1]) == 45
    assert list(found["s1",][1].values()) == [45]
    # Each page has so many distinct leaves that they are yielded.
    assert [len(each.leaves) for each in tallies if each.key == ("s0",)] == [15, 15, 15]


def test_a_tally_covers_a_bounded_number_of_leaves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite_leaves, "MAX_COUNTED", 10)
    tallies = list(Tallies().of([rows([1] * 12), rows([1] * 12)]))
    assert [sum(tally.counts) for tally in tallies] == [6] * 4


def test_the_number_of_counted_keys_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite_leaves, "MAX_DISTINCT", 10)
    pages = iter([[("id", f"s{page}-{place}", "[]") for place in range(12)] for page in range(9)])
    assert next(Tallies().of(pages)).key == ("s0-0",)
    assert len(list(pages)) == 8


@pytest.mark.parametrize("leaves_text", ['[{"path":"","kind":', "nonsense", "[1],[2]"])
def test_leaves_that_are_not_lists_are_damage(leaves_text: str) -> None:
    with pytest.raises(StoreDamaged):
        to_page([("id", "s", leaves_text)])
