"""Evaluate with `weave.Evaluation`, score calls outside of it, and give feedback."""

from __future__ import annotations

import asyncio
from typing import Any

import weave

from tests.interop.programs.counting import count, count_run, kept

ROWS = [{"q": n, "expected": 2 * n} for n in range(3)]
TRIALS = 2


def scored(name: str, value: Any, error: str = "") -> Any:
    """Count a score of the scorer that is being called."""
    call = weave.get_current_call()
    return count(call.parent_id, name, value, error)


@weave.op
def exact(expected: int, output: dict[str, int]) -> bool:
    """Score with a function."""
    return bool(scored("exact", output["a"] == expected))


@weave.op
async def distance(expected: int, output: dict[str, int]) -> Any:
    """Score with an async function, as an object."""
    await asyncio.sleep(0)
    return scored("distance", {"far": abs(output["a"] - expected), "deep": {"ok": None}})


class Detail(weave.Scorer):
    """Score with a class."""

    threshold: float = 0.5

    @weave.op
    async def score(self, output: dict[str, int]) -> Any:
        """Score one output."""
        return scored("Detail", {"passed": output["a"] > self.threshold, "text": "ü"})


@weave.op
def breaks(expected: int, output: dict[str, int]) -> int:
    """Score, and raise for one row."""
    if expected == ROWS[1]["expected"]:
        scored("breaks", None, "ValueError: no score")
        raise ValueError("no score")
    return int(scored("breaks", 1))


class Doubler(weave.Model):
    """Predict with a class."""

    factor: int = 2

    @weave.op
    async def predict(self, q: int) -> dict[str, int]:
        """Predict one row."""
        kept(weave.get_current_call())
        return {"a": self.factor * q}


@weave.op
def fails_once(q: int) -> dict[str, int]:
    """Predict with a function, and raise for one row."""
    if q == 1:
        raise RuntimeError("no output")
    return {"a": 2 * q}


@weave.op
def answer(q: int) -> str:
    """Return something outside of any evaluation."""
    return f"answer {q}"


@weave.op
def length(output: str) -> int:
    """Score a call outside of any evaluation."""
    return len(output)


class Short(weave.Scorer):
    """Score a call outside of any evaluation with a class."""

    @weave.op
    def score(self, output: str) -> dict[str, bool]:
        """Score one output."""
        return {"short": len(output) < 10}


async def evaluate(name: str, model: Any, scorers: list[Any]) -> None:
    """Run an evaluation, and count it."""
    dataset = weave.Dataset(name="interop", rows=ROWS)
    evaluation = weave.Evaluation(name=name, dataset=dataset, scorers=scorers, trials=TRIALS)
    _, call = await evaluation.evaluate.call(evaluation, model)
    count_run(call.id, len(ROWS) * TRIALS)


async def main() -> None:
    """Do all of it."""
    await evaluate("whole", Doubler(factor=2), [exact, distance, Detail()])
    await evaluate("with failures", Doubler(factor=3), [exact, breaks, distance])
    await evaluate("with failures", fails_once, [exact, Detail()])

    _, call = answer.call(7)
    await call.apply_scorer(length)
    count(call.id, "length", len("answer 7"))
    await call.apply_scorer(Short())
    count(call.id, "Short", {"short": True})

    on = kept()[0]
    on.feedback.add_reaction("👍")
    on.feedback.add_note("a note")
    on.feedback.add("own.kind", {"value": 3})
    annotation = "weave:///acme/any/object/quality:v0"
    on.feedback.add(
        "wandb.annotation.quality", {"value": 4}, creator="ann", annotation_ref=annotation
    )
    count(on.parent_id, "quality", 4, annotator="ann")
