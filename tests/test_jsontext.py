"""Reading and writing JSON: exact values, encodings, limits and errors."""

from __future__ import annotations

import json
import tracemalloc
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app import jsontext
from app.errors import Invalid, Unreadable

scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(min_value=-(10**400), max_value=10**400)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=()))
)
keys = st.text(st.characters(exclude_categories=())) | st.sampled_from(["", "a.b", "$set", "\0"])
any_json = st.recursive(
    scalars, lambda inner: st.lists(inner) | st.dictionaries(keys, inner), max_leaves=30
)


def exact(value: Any) -> str:
    """Return a text that distinguishes 1, 1.0, true and "1", and the order of keys."""
    return json.dumps(value)


@given(any_json)
def test_a_written_value_reads_back_the_same(value: Any) -> None:
    text = jsontext.write(value)
    assert exact(jsontext.read(text.encode())) == exact(value)


@given(
    any_json, st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-16-be", "utf-32", "utf-32-le"])
)
def test_all_encodings_of_json_are_read(value: Any, encoding: str) -> None:
    assert exact(jsontext.read(json.dumps(value).encode(encoding))) == exact(value)


def test_text_is_compact_utf8_and_a_lone_surrogate_is_escaped() -> None:
    assert jsontext.write({"é": [1, "\ud83d\ude00", "😀", "\0"]}) == (
        '{"é":[1,"\\ud83d\\ude00","😀","\\u0000"]}'
    )


@pytest.mark.parametrize("value", [float("nan"), float("inf"), [float("-inf")]])
def test_a_number_that_is_not_finite_is_never_written(value: Any) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        jsontext.write(value)


@pytest.mark.parametrize("opening", [b"[", b'{"a":'])
@pytest.mark.parametrize("inner", [b"1", b"[]"])
def test_nesting_is_limited_to_a_fixed_depth(opening: bytes, inner: bytes) -> None:
    closing = b"]" if opening == b"[" else b"}"
    depth = jsontext.MAX_DEPTH - (inner == b"[]")
    assert jsontext.read(opening * depth + inner + closing * depth)
    with pytest.raises(Unreadable):
        jsontext.read(opening * (depth + 1) + inner + closing * (depth + 1))


def test_locating_a_number_that_is_not_finite_takes_little_memory() -> None:
    data = b"[" * 900 + b"0," * 100_000 + b"NaN" + b"]" * 900
    tracemalloc.start()
    with pytest.raises(Invalid) as raised:
        jsontext.read(data)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert raised.value.errors[0]["loc"] == ("body", *[0] * 899, 100_000)
    assert peak < 20_000_000


def test_many_lists_side_by_side_are_not_too_deep() -> None:
    assert len(jsontext.read(b"[" + b",".join([b"[]"] * 5_000) + b"]")) == 5_000


def test_brackets_in_a_string_do_not_count_as_nesting() -> None:
    assert jsontext.read(b'"' + b"[" * 5_000 + b'"') == "[" * 5_000


def test_a_syntax_error_takes_precedence_over_an_earlier_nan() -> None:
    with pytest.raises(Invalid) as raised:
        jsontext.read(b'{"a": NaN, b}')
    assert raised.value.errors[0]["type"] == "json_invalid"


@pytest.mark.parametrize(
    "data", [b"\xff", b'"\xe3\x82"', b"7" * 4_301, b"NaN" + b"7" * 4_301, b"[" * 100_000]
)
def test_invalid_bytes_and_numbers_are_refused(data: bytes) -> None:
    with pytest.raises((Unreadable, Invalid)) as raised:
        jsontext.read(data)
    if not data.startswith(b"NaN"):
        assert isinstance(raised.value, Unreadable)


def test_reading_leniently_gives_none_for_what_python_cannot_read() -> None:
    text = f'{{"a": 1e999, "b": NaN, "c": {"9" * 5_000}, "d": [1, 2.5, "x"]}}'
    assert jsontext.read_leniently(text) == {"a": None, "b": None, "c": None, "d": [1, 2.5, "x"]}
    for depth in (941, 5_000):
        assert jsontext.read_leniently("[" * depth + "]" * depth) is None


@pytest.mark.parametrize(
    ("sent", "readable"),
    [
        (rb'"\ud800"', rb'"\ufffd"'),
        (rb'"\uDFFF\uD83D\uDE00"', rb'"\ufffd\uD83D\uDE00"'),
        (rb'"\ud83d\ud83d\ude00\ude00"', rb'"\ufffd\ud83d\ude00\ufffd"'),
        (rb'"\\ud800\\\ud800\n\"\u0041"', rb'"\\ud800\\\ufffd\n\"\u0041"'),
    ],
)
def test_only_escapes_of_lone_surrogates_are_replaced(sent: bytes, readable: bytes) -> None:
    assert jsontext.without_escaped_surrogates(sent) == readable
    assert json.loads(readable) == jsontext.without_surrogates(json.loads(sent))
