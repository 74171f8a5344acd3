"""Read a run that did not come from Weave's SDK with it; print what was found as JSON."""

from __future__ import annotations

import json
import sys

import weave


def main(project: str) -> None:
    client = weave.init(project)
    evaluate = {"op_names": [f"weave:///{project}/op/Evaluation.evaluate:*"]}
    (run,) = client.get_calls(filter=evaluate)
    (outer,) = (each for each in run.children() if "score" in each.func_name)
    predicted, scored = sorted(outer.children(), key=lambda each: each.func_name)
    again = client.get_call(predicted.id, include_feedback=True)
    found = {
        "length": len(client.get_calls()),
        "pages": len({each.id for each in client.get_calls(page_size=2)}),
        "run": [run.display_name, run.output, run.summary["weave"]["status"]],
        "trace": len(client.get_calls(filter={"trace_ids": [run.trace_id]})),
        "names": [each.func_name for each in (run, outer, predicted, scored)],
        "outer": [outer.inputs["example"], outer.output],
        "outputs": [predicted.inputs["inputs"], predicted.output, scored.output],
        "feedback": [[each.feedback_type, each.payload] for each in again.feedback],
        "in call": [each["feedback_type"] for each in again.summary["weave"]["feedback"]],
        "scored by": [each.id == predicted.id for each in client.get_calls(scored_by=["exact"])],
    }
    weave.finish()
    sys.stdout.write(f"{json.dumps(found, default=dict)}\n")


if __name__ == "__main__":
    main(sys.argv[1])
