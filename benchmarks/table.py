"""Format the results: ratios of values of the same round, and medians."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

HEAD = ("what", "side", "against", "ratio", "min", "max", "medians")
RULE = ("---", "---", "---", "--:", "--:", "--:", "---")


@dataclass(frozen=True)
class Row:
    """The values of a side, and of the other side if it is compared with one, round by round."""

    what: str
    side: str
    against: str
    unit: str
    ours: Sequence[float]
    theirs: Sequence[float] = ()

    def ratios(self) -> list[float]:
        """Return ours divided by theirs, for each round."""
        return [ours / theirs for ours, theirs in zip(self.ours, self.theirs, strict=True)]

    def cells(self) -> tuple[str, ...]:
        """Return the cells of this row as text."""
        start = (self.what, self.side, self.against)
        if not self.theirs:
            least, most = quantity(min(self.ours), self.unit), quantity(max(self.ours), self.unit)
            return (*start, "", "", "", f"[{self._median(self.ours)}, {least} to {most}]")
        ratios = self.ratios()
        numbers = (ratio(value) for value in (median(ratios), min(ratios), max(ratios)))
        return (*start, *numbers, f"[{self._median(self.ours)} : {self._median(self.theirs)}]")

    def _median(self, values: Sequence[float]) -> str:
        return quantity(median(values), self.unit)


def ratio(value: float) -> str:
    """Format a ratio with significant digits only."""
    return f"{value:.3f}" if value < 0.1 else f"{value:.2f}" if value < 10 else f"{value:.0f}"


def quantity(value: float, unit: str) -> str:
    """Format a value with significant digits only, and its unit."""
    digits = 0 if value >= 100 else 1 if value >= 10 else 2
    return f"{value:,.{digits}f}{unit}"


def plain(rows: Sequence[Row]) -> str:
    """Return the table in columns of plain text."""
    lines = [HEAD, *(row.cells() for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(HEAD))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )


def markdown(rows: Sequence[Row]) -> str:
    """Return the table in Markdown."""
    lines = [HEAD, RULE, *(row.cells() for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
