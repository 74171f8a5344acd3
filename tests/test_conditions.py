"""Conditions: their grammar, and which leaves they hold for."""

from __future__ import annotations

from typing import Any

import pytest

from app.conditions import Condition, InvalidCondition, parse_condition
from app.leaves import leaves


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("accuracy.f1<0.5", ("accuracy.f1", "<", 0.5)),
        (" accuracy.f1 >= -1e-3 ", ("accuracy.f1", ">=", -0.001)),
        ("a=+.5", ("a", "=", 0.5)),
        ("a=1.", ("a", "=", 1.0)),
        ("a=true", ("a", "=", True)),
        ("a!=false", ("a", "!=", False)),
        ("a==null", ("a", "=", None)),
        ("=null", ("", "=", None)),
        ("<0.5", ("", "<", 0.5)),
        ('""<0.5', ("", "<", 0.5)),
        ("label=very good", ("label", "=", "very good")),
        ("label= True", ("label", "=", "True")),
        ('label="true"', ("label", "=", "true")),
        ('label="0.5"', ("label", "=", "0.5")),
        ('label=""', ("label", "=", "")),
        (r'label="a\"\u00e9<b"', ("label", "=", 'a"é<b')),
        ("label=a=b<c", ("label", "=", "a=b<c")),
        ("why~time out", ("why", "~", "time out")),
        ("why~5", ("why", "~", "5")),
        ("why~null", ("why", "~", "null")),
        ("items[0].b=1", ("items[0].b", "=", 1.0)),
        (r"a\.b=1", (r"a\.b", "=", 1.0)),
        (r'"a\\.b < c" = 1', (r"a\.b < c", "=", 1.0)),
        ("wow!=1", ("wow", "!=", 1.0)),
        ("wow! = 1", ("wow!", "=", 1.0)),
    ],
)
def test_a_condition_is_a_leaf_an_operator_and_a_value(text: str, wanted: Any) -> None:
    found = parse_condition(text)
    assert found == Condition(*wanted)
    assert type(found.operand) is type(wanted[2])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "one of the operators = != < <= > >= ~ is expected at character 1"),
        ("accuracy 0.5", "one of the operators = != < <= > >= ~ is expected at character 13"),
        ('"a b" 0.5', "one of the operators = != < <= > >= ~ is expected at character 7"),
        ("a=", 'a value is expected at character 3; an empty text is ""'),
        ("a~ ", 'a value is expected at character 4; an empty text is ""'),
        ('a="b', "the quoted text at character 3 is not a JSON string"),
        ('a="b" c', "nothing is expected after the text at character 6"),
        ('"a=1', "the quoted text at character 1 is not a JSON string"),
        ("a<true", "at character 3, true has no order: use = or !="),
        ("a >= null", "at character 6, null has no order: use = or !="),
        ("a<1e999", "the number at character 3 is too large for a double"),
    ],
)
def test_an_error_says_where_it_is(text: str, message: str) -> None:
    with pytest.raises(InvalidCondition) as raised:
        parse_condition(text)
    assert str(raised.value) == message


VALUE: dict[str, Any] = {
    "f1": 0.5,
    "ok": True,
    "label": "Good",
    "none": None,
    "list": [1, {"b": 2}],
    "big": 10**400,
    "low": -(10**400),
    "a.b": 7,
    "": "empty",
    "1": "1",
}


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("f1=0.5", True),
        ("f1!=0.5", False),
        ("f1<0.5", False),
        ("f1<=0.5", True),
        ("f1>0.25", True),
        ("f1>=0.75", False),
        ('f1="0.5"', False),
        ('f1!="0.5"', True),
        ("f1=true", False),
        ("f1<good", False),
        ("f1~5", False),
        ("f1=null", False),
        ("f1!=null", True),
        ("ok=true", True),
        ("ok=false", False),
        ("ok!=false", True),
        ("ok=1", False),
        ("ok>0", False),
        ("label=Good", True),
        ("label=good", False),
        ("label!=good", True),
        ("label<H", True),
        ("label~OO", True),
        ("label~x", False),
        ("none=null", True),
        ("none!=null", False),
        ("none!=1", False),
        ("none<1", False),
        ("list[0]=1", True),
        ("list[1].b=2", True),
        ("big>1e308", True),
        ("big<1e308", False),
        ("big!=1", True),
        ("low<-1e308", True),
        (r"a\.b=7", True),
        ("a.b=7", False),
        (r"\e=empty", True),
        ('1="1"', True),
        ("absent=1", False),
        ("absent!=1", False),
        ("absent=null", False),
        ("absent!=null", False),
    ],
)
def test_a_condition_holds_for_a_value_of_its_kind(text: str, wanted: bool) -> None:
    assert parse_condition(text).holds(leaves(VALUE)) is wanted


def test_the_leaf_of_a_scalar_has_no_name() -> None:
    assert parse_condition("<0.5").holds(leaves(0.25))
    assert parse_condition("=null").holds(leaves(None))
    assert not parse_condition("=null").holds(leaves({"a": None}))
