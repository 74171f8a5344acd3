"""What tokens cost, by a file with dated prices: an unknown price or count makes no number."""

from __future__ import annotations

import math
import tomllib
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from app.analysis.tokens import INPUT_TOKENS, OUTPUT_TOKENS
from app.scorers import scorer_name

PER_TOKENS = 1_000_000
"""How many tokens a price in the file is for."""

MAX_BYTES = 4 << 20
MAX_PRICES = 10_000
MAX_PRICE = 1e9
MAX_TOKENS = 2**53
FIELDS = {"model", "from", "input", "output"}


class InvalidPrices(ValueError):
    """The text is no file of prices; the message says what is wrong, and where."""


@dataclass(frozen=True)
class Price:
    """What a million tokens of a model cost from the beginning of a day in UTC."""

    model: str
    since: date
    input: float
    output: float


class Prices:
    """The prices of models, each valid until the next of its model."""

    def __init__(self, prices: Sequence[Price] = ()) -> None:
        self._by_model: dict[str, list[Price]] = {}
        for price in sorted(prices, key=lambda price: price.since):
            self._by_model.setdefault(price.model, []).append(price)

    def cost(self, usage: Any, model: str, at: datetime) -> float | None:
        """Return what the tokens in the `usage` of a prediction cost at a time.

        A `usage` of several models by name costs what each of them costs. None if a price or a
        number of tokens is unknown.
        """
        if not isinstance(usage, dict) or not usage:
            return None
        if all(isinstance(each, dict) for each in usage.values()):
            costs = [self._cost(each, name, at) for name, each in usage.items()]
        else:
            costs = [self._cost(usage, model, at)]
        known = [cost for cost in costs if cost is not None]
        return math.fsum(known) if len(known) == len(costs) else None

    def _cost(self, usage: Mapping[str, Any], model: str, at: datetime) -> float | None:
        price = self._find(model, at)
        if price is None:
            return None
        parts = ((price.input, INPUT_TOKENS), (price.output, OUTPUT_TOKENS))
        costs = [_part(each, usage, names) for each, names in parts]
        known = [cost for cost in costs if cost is not None]
        return math.fsum(known) / PER_TOKENS if len(known) == len(costs) else None

    def _find(self, model: str, at: datetime) -> Price | None:
        """Return the price of a model, which may be a reference to a version of it."""
        prices = self._by_model.get(model) or self._by_model.get(scorer_name(model), [])
        day = at.astimezone(UTC).date()
        position = bisect_right(prices, day, key=lambda price: price.since)
        return prices[position - 1] if position else None


NO_PRICES = Prices()


def _part(price: float, usage: Mapping[str, Any], names: Sequence[str]) -> float | None:
    """Return what the tokens under one of some names cost; what is free needs no number."""
    found = (usage[name] for name in names if type(usage.get(name)) is int)
    count: int | None = next((each for each in found if 0 <= each <= MAX_TOKENS), None)
    if count is None:
        return 0.0 if price == 0 else None
    return price * count


def parse_prices(text: str) -> Prices:
    """Return the prices in a TOML file of `[[price]]` tables. Raises InvalidPrices."""
    try:
        content = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise InvalidPrices(str(error)) from None
    tables = content.pop("price", [])
    if content:
        raise InvalidPrices(f"unknown key {min(content)!r}; write [[price]]")
    if not isinstance(tables, list) or not all(isinstance(each, dict) for each in tables):
        raise InvalidPrices("price must be a table that is written [[price]]")
    if len(tables) > MAX_PRICES:
        raise InvalidPrices(f"there are more than {MAX_PRICES:,} prices")
    prices = [_price(f"[[price]] {number}", table) for number, table in enumerate(tables, 1)]
    seen: set[tuple[str, date]] = set()
    for number, price in enumerate(prices, 1):
        if (price.model, price.since) in seen:
            raise InvalidPrices(f"[[price]] {number}: another price is from the same day")
        seen.add((price.model, price.since))
    return Prices(prices)


def _price(where: str, table: Mapping[str, Any]) -> Price:
    if unknown := table.keys() - FIELDS:
        raise InvalidPrices(f"{where}: unknown key {min(unknown)!r}")
    if missing := FIELDS - table.keys():
        raise InvalidPrices(f"{where}: {min(missing)} is missing")
    if not isinstance(table["model"], str):
        raise InvalidPrices(f"{where}: model must be a text")
    if type(table["from"]) is not date:
        raise InvalidPrices(f"{where}: from must be a date such as 2026-01-31")
    numbers = {name: _number(f"{where}: {name}", table[name]) for name in ("input", "output")}
    return Price(table["model"], table["from"], **numbers)


def _number(where: str, value: Any) -> float:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not 0 <= value <= MAX_PRICE:
        raise InvalidPrices(f"{where} must be a number of at least 0, for a million tokens")
    return float(value)


def read_prices(path: str) -> Prices:
    """Return the prices in a file, none for an empty path. Raises InvalidPrices."""
    if not path:
        return Prices()
    try:
        with Path(path).open("rb") as file:
            text = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise InvalidPrices(f"SCORELINE_PRICES: {path} cannot be read: {error.strerror}") from None
    if len(text) > MAX_BYTES:
        raise InvalidPrices(f"SCORELINE_PRICES: {path} has more than {MAX_BYTES >> 20} MB")
    try:
        return parse_prices(text.decode("utf-8-sig").replace("\r\n", "\n"))
    except (InvalidPrices, UnicodeDecodeError) as error:
        raise InvalidPrices(f"SCORELINE_PRICES: {path}: {error}") from None
