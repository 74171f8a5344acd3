"""The number of tokens in the `usage` of a prediction."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

INPUT_TOKENS = ("input_tokens", "prompt_tokens")
OUTPUT_TOKENS = ("output_tokens", "completion_tokens")


def total_tokens(usage: Any) -> int | None:
    """Return the tokens in a `usage`, or in those of several models by name; None without any.

    They are `total_tokens`, or else the sum of the input (prompt) and output (completion) tokens.
    """
    if not isinstance(usage, dict):
        return None
    total = _first_count(usage, ("total_tokens",))
    if total is not None:
        return total
    parts = [_first_count(usage, names) for names in (INPUT_TOKENS, OUTPUT_TOKENS)]
    if parts == [None, None]:
        parts = [_flat_tokens(each) for each in usage.values()]
    known = [part for part in parts if part is not None]
    return sum(known) if known else None


def _flat_tokens(usage: Any) -> int | None:
    """Return the tokens of one model."""
    if not isinstance(usage, dict) or any(isinstance(each, dict) for each in usage.values()):
        return _first_count(usage, ("total_tokens",)) if isinstance(usage, dict) else None
    return total_tokens(usage)


def _first_count(usage: Mapping[str, Any], names: Iterable[str]) -> int | None:
    return next((usage[name] for name in names if type(usage.get(name)) is int), None)
