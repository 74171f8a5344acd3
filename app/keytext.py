"""API keys as text: generate them, and read them from files and environment variables."""

from __future__ import annotations

import codecs
import re
import secrets
import string

ALPHABET = string.ascii_letters + string.digits
RANDOM_CHARACTERS = 43
"""43 of 62 letters and digits are 256 bits."""

MIN_LAST_PART = 40
"""Weave's clients reject a key with fewer characters after its last `-`."""

_BLANK = "\ufeff \t\r\n\v\f"
_UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


def new_secret() -> str:
    """Return a new key, which is `sl_` and 43 random letters and digits."""
    return "sl_" + "".join(secrets.choice(ALPHABET) for _ in range(RANDOM_CHARACTERS))


def decode_key(content: bytes) -> str:
    """Return the key in a file in UTF-8, or in UTF-16 with a byte order mark. Raises ValueError."""
    encoding = "utf-16" if content.startswith(_UTF_16) else "utf-8"
    try:
        return clean_key(content.decode(encoding))
    except UnicodeDecodeError:
        raise ValueError("holds no API key: it is not text") from None


def clean_key(text: str) -> str:
    """Return the key in `text`, without surrounding whitespace and byte order mark.

    Raises ValueError with a message without the key, which continues a sentence about its source.
    """
    key = text.strip(_BLANK)
    if not key:
        raise ValueError("holds no API key: it is empty")
    if not re.fullmatch("[!-~]+", key):
        raise ValueError(
            "holds no API key: a key is one word of visible ASCII characters on one line"
        )
    return key


def has_short_last_part(key: str) -> bool:
    """Return whether Weave's clients would reject `key`."""
    return len(key.rpartition("-")[2]) < MIN_LAST_PART
