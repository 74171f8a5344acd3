"""Tokens cost what a file of dated prices says, or nothing is known."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from app.analysis.prices import InvalidPrices, parse_prices

FILE = """
[[price]]
model = "large"
from = 2026-06-01
input = 2
output = 8.0

[[price]]
model = "large"
from = 2026-01-01
input = 4.0
output = 16.0

[[price]]
model = "embed"
from = 2026-01-01
input = 0.5
output = 0
"""
MAY = datetime(2026, 5, 31, 23, 59, tzinfo=UTC)
JUNE = datetime(2026, 6, 1, tzinfo=UTC)
USAGE = {"input_tokens": 1_000_000, "output_tokens": 500_000}


@pytest.mark.parametrize(
    ("usage", "model", "at", "expected"),
    [
        (USAGE, "large", MAY, 12.0),
        (USAGE, "large", JUNE, 6.0),
        (USAGE, "large", JUNE.astimezone(timezone(-timedelta(hours=5))), 6.0),
        (USAGE, "large", datetime(2025, 12, 31, tzinfo=UTC), None),
        (USAGE, "unknown", JUNE, None),
        (USAGE, "weave:///acme/demo/object/large:v3", JUNE, 6.0),
        ({"prompt_tokens": 10, "completion_tokens": 0}, "large", JUNE, 2e-5),
        ({"input_tokens": 10}, "large", JUNE, None),
        ({"input_tokens": 10}, "embed", JUNE, 5e-6),
        ({"total_tokens": 10}, "large", JUNE, None),
        ({"input_tokens": -1, "output_tokens": 1}, "large", JUNE, None),
        ({"input_tokens": True, "output_tokens": 1}, "large", JUNE, None),
        ({"large": USAGE, "embed": {"input_tokens": 1_000_000}}, "any", JUNE, 6.5),
        ({"large": USAGE, "unknown": USAGE}, "large", JUNE, None),
        ({"input_tokens": 10**400, "output_tokens": 1}, "large", JUNE, None),
        ({}, "large", JUNE, None),
        (None, "large", JUNE, None),
    ],
)
def test_tokens_cost_what_the_price_of_the_day_says(
    usage: Any, model: str, at: datetime, expected: float | None
) -> None:
    assert parse_prices(FILE).cost(usage, model, at) == expected


PRICE = '[[price]]\nmodel = "m"\nfrom = 2026-01-01\ninput = 1\noutput = 1\n'


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("[[price]", "at line 1"),
        ("[[prices]]", "unknown key 'prices'"),
        ("price = 1", "written [[price]]"),
        (PRICE + PRICE, "[[price]] 2: another price is from the same day"),
        (PRICE + "cached = 1", "[[price]] 1: unknown key 'cached'"),
        (PRICE.replace("output = 1\n", ""), "[[price]] 1: output is missing"),
        (PRICE.replace('"m"', "1"), "model must be a text"),
        (PRICE.replace("2026-01-01", '"2026-01-01"'), "from must be a date"),
        (PRICE.replace("2026-01-01", "2026-01-01T00:00:00Z"), "from must be a date"),
        (PRICE.replace("input = 1", "input = -1"), "input must be a number of at least 0"),
        (PRICE.replace("input = 1", "input = nan"), "input must be"),
        (PRICE.replace("input = 1", "input = true"), "input must be"),
        (PRICE.replace("input = 1", f"input = {10**400}"), "input must be"),
    ],
)
def test_what_is_wrong_in_a_file_of_prices_is_named(text: str, why: str) -> None:
    with pytest.raises(InvalidPrices) as refused:
        parse_prices(text)
    assert why in str(refused.value)
