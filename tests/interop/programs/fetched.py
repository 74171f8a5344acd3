"""Evaluate with a dataset that was fetched, and score with parts of its rows and of a scorer."""

import asyncio
import sys
from typing import Any

from tests.interop.programs.counting import begin, count

begin()

import weave  # noqa: E402

ROWS = [{"q": f"q{n}", "target": n % 2 == 0, "tags": ["a", {"n": n + 0.5}]} for n in range(20)]


def scored(name: str, counted: Any, value: Any) -> Any:
    """Count a score of the scorer that is being called, and return what it returns."""
    call = weave.get_current_call()
    count(call.parent_id, name, counted)
    return value


@weave.op
def target(output: str, target: bool) -> Any:
    """Return a field of the row."""
    return scored("target", bool(target), target)


@weave.op
def parts(output: Any, q: str, tags: list[Any]) -> Any:
    """Return parts of fields of the row, and the output, in an object and a list."""
    n = int(q[1:])
    counted = {"deep": [["a", {"n": n + 0.5}], n + 0.5, "a"], "same": {"q": q}}
    return scored("parts", counted, {"deep": [tags, tags[1]["n"], tags[0]], "same": output})


class Limit(weave.Scorer):
    """Return its own attribute."""

    limit: float = 0.25

    @weave.op
    def score(self, output: Any) -> Any:
        """Score one output."""
        return scored("Limit", {"limit": 0.25}, {"limit": self.limit})


@weave.op
def model(q: str) -> dict[str, str]:
    """Return a field of the row."""
    return {"q": q}


client = weave.init(sys.argv[2])
weave.publish(weave.Dataset(name="fetched", rows=ROWS))
client.flush()
dataset = weave.ref("fetched:latest").get()
evaluation = weave.Evaluation(name="fetched", dataset=dataset, scorers=[target, parts, Limit()])
asyncio.run(evaluation.evaluate(model))
