"""Golden files: requests with the responses of FastAPI and Weave's server, and their replay.

create.jsonl and query.jsonl are made by make.py; weave_clients.jsonl holds requests as four
generations of Weave's client sent them; weave_documents.jsonl holds calls of predictions and
evaluation runs with the answers of Weave's own server, weave_eval_results.jsonl those of an
evaluation's results, and weave_scorer_stats.jsonl scores with its statistics of them;
weave-reads.jsonl holds queries of calls and feedback with the answers of Weave's own server, after
weave-evaluation-0.54.0.jsonl and weave-logger-0.54.0.jsonl; seed.openapi.json is the seed's
document.
"""

from __future__ import annotations

import base64
import http.client
import json
from pathlib import Path
from typing import Any

from tests.processes import Answer, Service


def golden_rows(name: str) -> list[dict[str, Any]]:
    return [
        json.loads(line) for line in Path(__file__).with_name(name).read_text("utf-8").splitlines()
    ]


def send_row(service: Service, row: dict[str, Any]) -> Answer:
    """Send the request of a golden row unchanged, including duplicate headers."""
    body = base64.b64decode(row["body_base64"])
    connection = http.client.HTTPConnection("127.0.0.1", service.port, timeout=30)
    connection.putrequest(row["method"], row["path"], skip_accept_encoding=True)
    for name, value in row["headers"]:
        connection.putheader(name, value)
    connection.putheader("Authorization", f"Bearer {service.key}")
    if body or row["method"] in ("POST", "PUT", "PATCH"):
        connection.putheader("Content-Length", str(len(body)))
    connection.endheaders(body or None)
    response = connection.getresponse()
    answer = Answer(response.status, response.headers, response.read())
    connection.close()
    return answer


def difference(row: dict[str, Any], answer: Answer) -> str | None:
    """Return how a response differs from FastAPI's, or None."""
    if row["expect"] == "refuse":
        refused = answer.status in (400, 422) and "detail" in answer.json
        return None if refused else f"wanted a refusal, got {answer.status}"
    if answer.status != row["status"]:
        return f"wanted {row['status']}, got {answer.status} {answer.body[:200]!r}"
    wanted = row.get("response_json")
    if wanted is not None and json.dumps(answer.json) != json.dumps(wanted):
        return f"wanted {json.dumps(wanted)[:300]}, got {answer.body[:300]!r}"
    return None
