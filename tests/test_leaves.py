"""Leaves: paths, kinds and limits of the scalars in a value."""

from __future__ import annotations

import tracemalloc
from typing import Any

import pytest
from hypothesis import given

from app import jsontext
from app.leaves import (
    MAX_CHARACTERS,
    MAX_LEAVES,
    leaves,
    may_be_old_name,
    old_name,
    scalars,
    scalars_of,
)
from tests.test_jsontext import any_json


def number(path: str, value: float) -> dict[str, Any]:
    return {"path": path, "kind": "number", "number": value}


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0.5, [number("", 0.5)]),
        (True, [{"path": "", "kind": "boolean", "number": 1.0}]),
        (None, [{"path": "", "kind": "null"}]),
        ("good", [{"path": "", "kind": "text", "text": "good"}]),
        ({}, []),
        ([], []),
        (
            {"accuracy": {"f1": 1}, "b": [2, 3]},
            [number("accuracy.f1", 1.0), number("b[0]", 2.0), number("b[1]", 3.0)],
        ),
        ({"a": [{"b": 1}]}, [number("a[0].b", 1.0)]),
        ({"": {"": 1}, "[0]": 2}, [number(r"\e.\e", 1.0), number(r"\[0]", 2.0)]),
        ([[1]], [number("[0][0]", 1.0)]),
        ({"a.b": 1, "c\\": 2}, [number("a\\.b", 1.0), number("c\\\\", 2.0)]),
        ({"\ud800é": 1, r"\ud800": 2}, [number(r"\ud800é", 1.0), number(r"\\ud800", 2.0)]),
        (10**400, [{"path": "", "kind": "number", "text": "1" + "0" * (MAX_CHARACTERS - 1)}]),
        ("\ud800", [{"path": "", "kind": "text", "text": "?"}]),
    ],
)
def test_a_leaf_is_a_scalar_named_by_its_path(value: Any, expected: list[dict[str, Any]]) -> None:
    assert leaves(value) == expected


@given(any_json)
def test_leaves_are_bounded_and_valid_utf8(value: Any) -> None:
    result = leaves(value)
    assert len(result) <= MAX_LEAVES
    for leaf in result:
        leaf["path"].encode()
        leaf.get("text", "").encode()
        assert len(leaf.get("text", "")) <= MAX_CHARACTERS


def test_a_huge_value_has_few_leaves() -> None:
    deep: Any = 1
    for _ in range(900):
        deep = [deep]
    assert leaves(deep) == []
    assert len(leaves([[1] * 1_000] * 1_000)) == MAX_LEAVES


@given(any_json)
def test_different_scalars_have_different_paths(value: Any) -> None:
    paths = [leaf["path"] for leaf in leaves(value)]
    assert len(set(paths)) == len(paths)


@pytest.mark.parametrize(
    ("path", "before"),
    [
        ("", ""),
        (r"\e", ""),
        ("[0]", "0"),
        ("a[0].b", "a.0.b"),
        (r"a\.b", r"a\.b"),
        (r"a\[", "a["),
        (r"a\ud800", "a?"),
        (r"a\\ud800", r"a\\ud800"),
    ],
)
def test_the_old_name_is_the_path_of_earlier_releases(path: str, before: str) -> None:
    assert old_name(path) == before


@given(any_json)
def test_every_old_name_is_recognised(value: Any) -> None:
    paths = [leaf["path"] for leaf in leaves(value)]
    assert all(may_be_old_name(old) for path in paths if (old := old_name(path)) != path)


@given(any_json)
def test_the_text_of_a_value_gives_the_same_scalars(value: Any) -> None:
    assert list(scalars_of(jsontext.write(value))) == list(scalars(value, most=10**6))


@pytest.mark.parametrize(
    ("value", "scalars_"),
    [
        ("[[],[],{},[[]]]", []),
        (
            '[[],{"a":[{},-1.5e3,"]}\\"[{,:"]},true]',
            [("[1].a[1]", -1500.0), ("[1].a[2]", ']}"[{,:')],
        ),
        ('""', [("", "")]),
        ('{"":{"":null}}', [(r"\e.\e", None)]),
    ],
)
def test_empty_parts_and_brackets_in_strings_are_skipped(value: str, scalars_: list[Any]) -> None:
    assert list(scalars_of(value))[: len(scalars_)] == scalars_
    assert [path for path, _ in scalars_of(value)][len(scalars_) :] in ([], ["[2]"])
    assert list(scalars_of(value)) == list(scalars(jsontext.read(value.encode()), most=100))


def test_a_text_of_many_lists_takes_no_memory() -> None:
    text = f"[{','.join(['[]'] * 1_000_000)}]"
    tracemalloc.start()
    assert list(scalars_of(text)) == []
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 100_000
