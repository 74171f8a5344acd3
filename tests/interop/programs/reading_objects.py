"""Publish objects with Weave's SDK and read them back; print what was found as a JSON line."""

from __future__ import annotations

import asyncio
import json
import sys
from datetime import datetime
from typing import Any

import weave


class Doubler(weave.Model):
    factor: int = 2

    @weave.op
    def predict(self, q: int) -> int:
        return self.factor * q


@weave.op
def exact(expected: int, output: int) -> bool:
    return output == expected


def publish() -> dict[str, Any]:
    """Publish objects of several kinds, and return the references to them."""
    rows = [{"q": number, "expected": 2 * number} for number in range(3)]
    dataset = weave.Dataset(name="rows", rows=rows)
    first = weave.publish(dataset)
    weave.publish(weave.Dataset(name="rows", rows=[{"q": 9, "expected": 9}]))
    evaluation = weave.Evaluation(name="evaluation", dataset=first.get(), scorers=[exact])
    return {
        "dataset": first,
        "prompt": weave.publish(weave.StringPrompt("Say {word}"), name="prompt"),
        "messages": weave.publish(
            weave.MessagesPrompt([{"role": "user", "content": "{word}"}]), name="messages"
        ),
        "plain": weave.publish({"a": [1, {"b": None}], "big": 2**70}, name="plain"),
        "model": weave.publish(Doubler(factor=3), name="model"),
        "op": weave.publish(exact),
        "evaluation": weave.publish(evaluation),
    }


def try_labels(client: Any, refs: dict[str, Any], found: dict[str, Any]) -> None:
    """Add and remove tags and aliases."""
    client.add_tags(refs["plain"], ["golden", "a b"])
    client.remove_tags(refs["plain"], ["a b"])
    client.set_aliases(refs["dataset"], ["production", "old"])
    client.remove_aliases(refs["dataset"], "old")
    found["tags"] = [client.get_tags(refs["plain"]), client.list_tags()]
    found["aliases"] = [client.get_aliases(refs["dataset"]), client.list_aliases()]
    found["production"] = len(weave.ref("rows:production").get().rows)


def try_costs(client: Any, found: dict[str, Any]) -> None:
    """Add, find and purge costs."""
    client.add_cost("m", 1, 2.5, effective_date=datetime(1998, 10, 3))  # noqa: DTZ001 (as in its example)
    dear, cheap = (client.add_cost(name, 1, 2).ids[0][0] for name in ("m", "n"))
    client.purge_costs(dear)
    costs = client.query_costs()
    found["costs"] = [[each.llm_id, each.completion_token_cost] for each in costs]
    found["of m"] = [str(each.effective_date) for each in client.query_costs(llm_ids=["m"])]
    found["cheap"] = len(client.query_costs(cheap))


def main(project: str) -> None:
    client = weave.init(project)
    refs = publish()
    client.flush()
    dataset = weave.ref("rows:v0").get()
    changed = dataset.add_rows([{"q": 4, "expected": 8}])
    evaluation = weave.ref("evaluation").get()
    summary = asyncio.run(evaluation.evaluate(Doubler()))
    found = {
        "rows": [dict(row) for row in dataset.rows],
        "length": len(dataset.rows),
        "row": dict(dataset.rows[1].ref.get()),
        "latest": [dict(row) for row in weave.ref("rows:latest").get().rows],
        "changed": len(changed.rows),
        "prompt": refs["prompt"].get().format(word="hi"),
        "messages": weave.ref("messages").get().format(word="hi"),
        "plain": json.loads(json.dumps(weave.ref("plain").get(), default=list)),
        "model": weave.ref("model").get().factor,
        "op": weave.ref(refs["op"].uri()).get()(expected=1, output=1),
        "scorers": len(evaluation.scorers),
        "summary": summary["exact"],
    }
    try_labels(client, refs, found)
    try_costs(client, found)
    try:
        weave.ref("missing").get()
    except ValueError as error:
        found["missing"] = str(error)
    weave.finish()
    sys.stdout.write(f"{json.dumps(found)}\n")


main(sys.argv[1])
