"""API keys as text: new ones, and those read from files and variables."""

from __future__ import annotations

import re

import pytest

from app.keytext import clean_key, decode_key, has_short_last_part, new_secret

KEY = f"sl_{'aB3' * 14}x"


def test_a_new_key_is_sl_and_43_letters_and_digits_of_all_62() -> None:
    keys = [new_secret() for _ in range(500)]
    assert all(re.fullmatch("sl_[A-Za-z0-9]{43}", key) for key in keys)
    assert len(set("".join(key[3:] for key in keys))) == 62
    assert len(set(keys)) == 500
    assert not any(map(has_short_last_part, keys))


@pytest.mark.parametrize(
    "content",
    [
        KEY.encode(),
        f"{KEY}\n".encode(),
        f"{KEY}\r\n".encode(),
        f"\n\n  {KEY} \t\n\n".encode(),
        f"\ufeff{KEY}\r\n".encode(),
        f"\ufeff{KEY}\r\n".encode("utf-16-le"),
        f"\ufeff{KEY}\n".encode("utf-16-be"),
    ],
)
def test_whitespace_and_byte_order_marks_around_a_key_are_removed(content: bytes) -> None:
    assert decode_key(content) == KEY


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\r\n",
        b"\xef\xbb\xbf",
        b"two words",
        b"two\nlines",
        b"\xff\x00",
        b"sl_\xc3\xa9",
        b"a\0b",
    ],
)
def test_an_invalid_key_is_refused_without_being_shown(content: bytes) -> None:
    with pytest.raises(ValueError, match=r"^holds no API key: ") as refused:
        decode_key(content)
    assert "two" not in str(refused.value)


def test_a_variable_with_a_trailing_line_feed_is_accepted() -> None:
    assert clean_key(f"{KEY}\n") == KEY


@pytest.mark.parametrize(
    ("key", "short"),
    [
        (KEY, False),
        ("a" * 40, False),
        ("a" * 39, True),
        (f"sl_{'a' * 30}-{'b' * 39}", True),
        (f"sl_a-b-{'c' * 40}", False),
        (f"sl_{'a' * 42}-", True),
    ],
)
def test_weaves_clients_need_40_characters_after_the_last_dash(key: str, short: bool) -> None:
    assert has_short_last_part(key) is short
