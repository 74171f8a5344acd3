"""Which texts or numbers count as true."""

from __future__ import annotations

from typing import Any

import pytest

from app.leaves import leaves
from app.true_when import InvalidTrueWhen, parse_true_when, read_true_when


def truth(rule: Any, value: Any) -> bool | None:
    (leaf,) = leaves(value)
    return parse_true_when(rule).truth(leaf)


@pytest.mark.parametrize(
    ("rule", "value", "expected"),
    [
        (["pass", "ok"], "ok", True),
        (["pass", "ok"], "OK", False),
        (["pass"], "", False),
        (["pass"], 1, None),
        (["pass"], True, None),
        (["pass"], None, None),
        (">= 0.5", 0.5, True),
        (">=0.5", 0.49, False),
        ("< 2", -3, True),
        ("= 1", 1.0, True),
        ("!= 0", 0, False),
        ("> 1e3", 10**400, True),
        (">= 0.5", "0.7", None),
        (">= 0.5", True, None),
    ],
)
def test_a_list_is_about_texts_and_a_comparison_about_numbers(
    rule: Any, value: Any, expected: bool | None
) -> None:
    assert truth(rule, value) is expected


@pytest.mark.parametrize(
    "rule",
    [
        *("", "pass", "0.5", ">= x", ">=", "~ a", "x >= 0.5", ">= true", ">= 1e999", '= "a"'),
        *([], [1], ["a", None], {}, 1, True, ["a" * 257], [str(each) for each in range(101)]),
    ],
)
def test_any_other_rule_is_refused(rule: Any) -> None:
    with pytest.raises(InvalidTrueWhen):
        parse_true_when(rule)


def test_a_stored_rule_is_read_back() -> None:
    assert read_true_when(None) is None
    assert read_true_when('">= 0.5"') == parse_true_when(">= 0.5")
    assert read_true_when('["a","b"]') == parse_true_when(["b", "a"])
