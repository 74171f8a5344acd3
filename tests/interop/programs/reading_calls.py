"""Evaluate with Weave's SDK, and read calls and feedback back; print what was found as JSON."""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

import weave


class Doubler(weave.Model):
    @weave.op
    def predict(self, q: int) -> int:
        return 2 * q


@weave.op
def exact(expected: int, output: int) -> bool:
    return output == expected


@weave.op
def strict(expected: int, output: int) -> int:
    if output != expected:
        raise ValueError("wrong")
    return 1


def equals(field: str, value: Any) -> dict[str, Any]:
    return {"$expr": {"$eq": [{"$getField": field}, {"$literal": value}]}}


def main(project: str) -> None:
    client = weave.init(project)
    rows = [{"q": number, "expected": 2 * number} for number in range(2)]
    dataset = weave.Dataset(name="rows", rows=[*rows, {"q": 2, "expected": 5}])
    evaluation = weave.Evaluation(name="e", dataset=dataset, scorers=[exact, strict])
    _, ran = asyncio.run(evaluation.evaluate.call(evaluation, Doubler()))
    client.flush()

    def named(name: str) -> dict[str, Any]:
        return {"filter": {"op_names": [f"weave:///{project}/op/{name}:*"]}}

    call = client.get_call(ran.id)
    predicted = list(client.get_calls(**named("Doubler.predict"), include_feedback=True))
    predicted[0].feedback.add_reaction("👍")
    predicted[0].feedback.add_note("good")
    client.flush()
    (fetched,) = client.get_evaluations()
    found = {
        "length": len(client.get_calls()),
        "pages": len({each.id for each in client.get_calls(page_size=5)}),
        "status": call.summary["weave"]["status"],
        "children": sorted(each.func_name for each in call.children()),
        "outputs": sorted(each.output for each in predicted),
        "in calls": sorted(
            each["feedback_type"] for each in predicted[0].summary["weave"]["feedback"]
        ),
        "feedback": sorted(
            each.feedback_type for each in client.get_call(predicted[0].id).feedback
        ),
        "reaction": len(client.get_feedback(reaction="👍")),
        "scored by": len(client.get_calls(scored_by=["exact"])),
        "true": len(list(client.get_calls(query=equals("output.scores.exact", value=True)))),
        "outputs of exact": sorted(
            each.output for each in client.get_calls(**named("exact"), columns=["output"])
        ),
        "evaluations": [each.id == ran.id for each in fetched.get_evaluate_calls()],
        "scores": {
            trace == ran.trace_id: {
                name: sorted(map(str, values)) for name, values in scores.items()
            }
            for trace, scores in fetched.get_scores().items()
        },
    }
    try:
        client.get_call("missing")
    except ValueError as error:
        found["missing"] = str(error)
    weave.finish()
    sys.stdout.write(f"{json.dumps(found)}\n")


if __name__ == "__main__":
    main(sys.argv[1])
