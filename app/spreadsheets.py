"""Texts in CSV files, which a spreadsheet must not take for formulas."""

from __future__ import annotations

import re

MARK = "'"
"""The prefix of a text that a spreadsheet would take for a formula, or that begins with MARK."""

_MARKED = re.compile(
    # Blanks and invisible characters, which a spreadsheet may skip.
    "[\\s\x00-\x1f\x7f-\x9f\xad\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufeff]*"
    # The beginning of a formula (OWASP, CSV Injection), also in full-width characters.
    "[=+@\t\r\n\uff1d\uff0b\uff0d\uff20-]"
    "|'"
)


def cell_of(text: str) -> str:
    """Return a text as a cell has it, after MARK where that is needed."""
    return MARK + text if _MARKED.match(text) else text
