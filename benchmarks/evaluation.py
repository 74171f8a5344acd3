"""Evaluate rows with 2 scorers by Weave's SDK: `python -m benchmarks.evaluation PROJECT ROWS`."""

from __future__ import annotations

import asyncio
import sys
import time
from typing import Any

import weave

TEXT = "x" * 200


def main() -> None:
    """Print how many seconds the evaluation takes until all is sent."""
    weave.init(sys.argv[1])

    async def model(question: str) -> str:
        return question[::-1]

    def exact(output: str, expected: int) -> bool:
        return len(output) == expected

    def detail(output: str) -> dict[str, Any]:
        return {"length": len(output), "ok": True}

    rows = [
        {"question": f"{number} {TEXT}", "expected": number} for number in range(int(sys.argv[2]))
    ]
    scorers = [weave.op(exact), weave.op(detail)]
    evaluation = weave.Evaluation(name="bench", dataset=rows, scorers=scorers)
    start = time.perf_counter()
    asyncio.run(evaluation.evaluate(weave.op(model)))
    weave.finish()
    print(time.perf_counter() - start)


if __name__ == "__main__":
    main()
