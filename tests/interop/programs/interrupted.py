"""Run an evaluation that waits twice, so that the service can be interrupted meanwhile.

`python -m tests.interop.programs.interrupted REPORT PROJECT` waits for two lines on standard input:
the first half of the rows needs none, the last row both, and the others one.
"""

from __future__ import annotations

import asyncio
import sys

from tests.interop.programs.counting import begin, count, count_run, line

begin()

import weave  # noqa: E402

ROWS = 12
SCORERS = 2


@weave.op
async def model(q: int) -> int:
    """Predict one row, when as many lines have arrived as it needs."""
    await line(0 if q < 6 else 1 if q < 11 else 2)
    return q * q


@weave.op
def even(output: int) -> bool:
    """Score one row with a function."""
    return bool(count(weave.get_current_call().parent_id, "even", output % 2 == 0))


class Size(weave.Scorer):
    """Score one row with a class."""

    @weave.op
    def score(self, output: int) -> dict[str, int]:
        """Score one output."""
        counted: dict[str, int] = count(
            weave.get_current_call().parent_id, "Size", {"digits": len(str(output))}
        )
        return counted


async def main() -> None:
    """Run the evaluation."""
    weave.init(sys.argv[2])
    rows = [{"q": n} for n in range(ROWS)]
    evaluation = weave.Evaluation(name="interrupted", dataset=rows, scorers=[even, Size()])
    _, call = await evaluation.evaluate.call(evaluation, model)
    count_run(call.id, ROWS)


if __name__ == "__main__":
    asyncio.run(main())
