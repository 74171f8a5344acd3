"""Split what may be many or large into parts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

Item = TypeVar("Item")


def in_parts(
    items: Iterable[Item], most: int, size: Callable[[Item], int], max_size: int
) -> Iterator[list[Item]]:
    """Yield items in lists of at most `most`, which end earlier once they reach `max_size`."""
    part: list[Item] = []
    total = 0
    for item in items:
        part.append(item)
        total += size(item)
        if len(part) == most or total >= max_size:
            yield part
            part, total = [], 0
    if part:
        yield part
