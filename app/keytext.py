"""API keys as text: made at random, and read from a file or an environment variable."""

from __future__ import annotations

import codecs
import re
import secrets
import string

ALPHABET = string.ascii_letters + string.digits
RANDOM_CHARACTERS = 43
"""43 of 62 letters and digits are 256 bits."""

LEAST_LAST_PART = 40
"""Weave's clients take what follows the last `-` of a key, and refuse fewer characters."""

_BLANK = "\ufeff \t\r\n\v\f"
_UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


def new_secret() -> str:
    """Return a new key: `sl_` and 43 random letters and digits."""
    return "sl_" + "".join(secrets.choice(ALPHABET) for _ in range(RANDOM_CHARACTERS))


def decode_key(content: bytes) -> str:
    """Return the key that a file holds, as `clean_key` does; UTF-16 with its mark is read too."""
    encoding = "utf-16" if content.startswith(_UTF_16) else "utf-8"
    try:
        return clean_key(content.decode(encoding))
    except UnicodeDecodeError:
        raise ValueError("holds no API key: it is not text") from None


def clean_key(text: str) -> str:
    """Return the one key in `text`, without blanks, line ends and a byte order mark around it.

    Raises ValueError with the rest of a sentence; the key is not in it.
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
    """Return whether Weave's clients would refuse `key`."""
    return len(key.rpartition("-")[2]) < LEAST_LAST_PART
