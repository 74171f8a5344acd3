"""What recorded programs of Weave's SDK sent becomes exactly the scores that they made.

`tests/golden/weave-*.jsonl` holds the requests of programs with `weave.Evaluation` and
`EvaluationLogger`: 44 scores by each of three versions of the Python SDK (trials, a scorer and a
model that raise), 18 by the logger and 10 by the TypeScript SDK.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from app.scorers import scorer_name
from tests.processes import Service

GOLDEN = Path(__file__).parent.parent / "golden"
RECORDINGS = {
    "evaluation-0.54.0": 44,
    "evaluation-0.53.12": 44,
    "evaluation-0.52.43": 44,
    "logger-0.54.0": 18,
    "typescript-0.11.1": 10,
}
"""The number of scores of each recording."""

RECORDED = "acme/eval"


def requests_of(recording: str, project: str) -> list[tuple[str, Any]]:
    """Return the paths and the bodies of a recording, for another project."""
    text = (GOLDEN / f"weave-{recording}.jsonl").read_text().replace(RECORDED, f"acme/{project}")
    return [(sent["path"], sent["request"]) for sent in map(json.loads, text.splitlines())]


def in_pieces(requests: Sequence[tuple[str, Any]]) -> Iterator[tuple[str, Any]]:
    """Yield the requests, with each item of a batch in a request of its own."""
    for path, body in requests:
        if "batch" in body:
            yield from ((path, {"batch": [item]}) for item in body["batch"])
        else:
            yield path, body


def in_disorder(requests: Sequence[tuple[str, Any]], seed: str) -> list[tuple[str, Any]]:
    """Return the requests in pieces, each once to three times, shuffled and in other batches."""
    chance = random.Random(seed)
    pieces = [piece for piece in in_pieces(requests) for _ in range(chance.choice((1, 1, 2, 3)))]
    chance.shuffle(pieces)
    begun: dict[str, list[Any]] = {}
    ready = []
    for path, body in pieces:
        if "batch" not in body:
            ready.append((path, body))
            continue
        begun.setdefault(path, []).extend(body["batch"])
        if chance.random() < 0.4:
            ready.append((path, {"batch": begun.pop(path)}))
    return ready + [(path, {"batch": items}) for path, items in begun.items()]


def send(service: Service, path: str, body: Any) -> None:
    if not path.endswith(("file/create", "files/create")):
        assert service.post(path, body).status == 200


def scores_of(service: Service, project: str) -> list[tuple[str, ...]]:
    """Return run, scorer, value and error of the current scores of a project, in order.

    The id of a prediction is not among them: it depends on what of the prediction came first.
    """
    listed = service.send("GET", f"/v2/acme/{project}/scores?current=true").body.splitlines()
    return sorted(
        (
            each["evaluation_run_id"] or "",
            scorer_name(each["scorer"]),
            json.dumps(each["value"]),
            each.get("error") or "",
        )
        for each in map(json.loads, listed)
    )


def num_scores(service: Service, project: str) -> int:
    """Return how many scores a project has, also superseded ones."""
    return len(service.send("GET", f"/v2/acme/{project}/scores").body.splitlines())


def predictions_of(service: Service, project: str) -> list[tuple[str, ...]]:
    """Return run, example, inputs and output of the predictions of a project, in order."""
    names = ("evaluation_run_id", "example_id", "inputs", "output", "error")
    listed = []
    for run in {run for run, *_ in scores_of(service, project)}:
        path = f"/v2/acme/{project}/predictions?evaluation_run_id={run}"
        listed += service.send("GET", path).body.splitlines()
    assert listed
    found = map(json.loads, listed)
    return sorted(tuple(json.dumps(each.get(name)) for name in names) for each in found)


@pytest.fixture
def project() -> str:
    """Return the name of a new project."""
    return f"p{uuid4().hex}"


@pytest.mark.parametrize("recording", RECORDINGS)
def test_every_score_of_a_program_is_kept(
    any_service: Service, project: str, recording: str
) -> None:
    for path, body in requests_of(recording, project):
        send(any_service, path, body)
    assert len(scores_of(any_service, project)) == RECORDINGS[recording]


@pytest.mark.parametrize(
    ("engine", "recording"),
    [*(("service", name) for name in RECORDINGS), ("mongodb_service", "typescript-0.11.1")],
)
def test_nothing_depends_on_the_order_the_batches_and_the_number_of_requests(
    request: pytest.FixtureRequest, project: str, engine: str, recording: str
) -> None:
    service: Service = request.getfixturevalue(engine)
    for path, body in requests_of(recording, project):
        send(service, path, body)
    disordered = in_disorder(requests_of(recording, f"{project}-2"), recording)
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda each: send(service, *each), disordered))
    assert scores_of(service, f"{project}-2") == scores_of(service, project)
    assert predictions_of(service, f"{project}-2") == predictions_of(service, project)
    assert num_scores(service, f"{project}-2") == RECORDINGS[recording]


def test_a_repeated_request_changes_nothing(any_service: Service, project: str) -> None:
    requests = requests_of("evaluation-0.53.12", project)
    for path, body in requests:
        send(any_service, path, body)
    before = scores_of(any_service, project)
    for path, body in reversed(requests):
        send(any_service, path, body)
    assert scores_of(any_service, project) == before


def test_a_run_that_is_named_and_archived_while_it_runs_stays_so(
    any_service: Service, project: str
) -> None:
    op = f"weave:///acme/{project}/op/Evaluation.evaluate:d"
    of_run = {"id": "r", "project_id": f"acme/{project}"}
    start = {**of_run, "op_name": op, "display_name": "brave-lion", "attributes": {"a": 1}}
    send(any_service, f"/v2/acme/{project}/call/start", {"start": start})
    changes = {"name": "Mine", "description": "d", "attributes": {"b": 2}, "archived": True}
    path = f"/v1/acme/{project}/runs?run=r"
    assert any_service.send("PATCH", path, json.dumps(changes).encode()).status == 200
    end = {**of_run, "ended_at": "2026-01-02T00:00:00Z", "output": {"x": 1}}
    send(any_service, f"/v2/acme/{project}/call/end", {"end": end})
    run = json.loads(any_service.send("GET", path).body)
    assert run["status"] == "completed"
    assert {name: run[name] for name in changes} == changes


def test_requests_at_the_same_moment_end_in_all_scores(any_service: Service, project: str) -> None:
    pieces = list(in_pieces(requests_of("evaluation-0.54.0", project)))
    random.Random(1).shuffle(pieces)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda piece: send(any_service, *piece), pieces))
    assert len(scores_of(any_service, project)) == 44
