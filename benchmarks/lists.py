"""`python -m benchmarks.lists`: measure lists in a large project and in a hundredth of it.

The large project has 2,000 runs of 500 predictions, which have four scores each. Every second run
and its predictions are only named by scores. The small project has a hundredth of the runs.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import closing
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from app.scorers import scorer_name
from app.stores.base import UNASSIGNED, EvaluationRun, Prediction, Score
from app.stores.sqlite.store import SqliteStore
from benchmarks import servers
from benchmarks.client import Client
from benchmarks.rounds import alternate, progress

PROJECT = "/v1/acme/demo"
PREDICTIONS_PER_RUN = 500
SCORERS = 4
NOW = datetime(2026, 1, 1, tzinfo=UTC)
CALLS = 20
"""How many calls a measurement takes the median of."""

PATHS = {
    "the list of 20 runs": f"{PROJECT}/runs",
    "a filtered list": f"{PROJECT}/runs?status=completed",
    "one run": f"{PROJECT}/runs?run=ci/main/2",
    "a page of 100 predictions": f"{PROJECT}/predictions?limit=100&run=ci/main/2",
    "the same, only named": f"{PROJECT}/predictions?limit=100&run=ci/main/3",
    "projects": "/v1/projects",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Fill two stores, and print the ratio of the times of each list."""
    parser = argparse.ArgumentParser("python -m benchmarks.lists", description=__doc__)
    parser.add_argument("--directory", default="var", help="where the stores are (default: var)")
    parser.add_argument("--runs", type=int, default=2_000, help="the runs of the large project")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args(arguments)
    parent = Path(options.directory)
    parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="bench-", dir=parent.resolve()) as made:
        _measure(Path(made), options.runs, options.rounds)
    return 0


def _measure(directory: Path, runs: int, rounds: int) -> None:
    places = {}
    for name, count in (("small", max(4, runs // 100)), ("large", runs)):
        places[name] = directory / name
        places[name].mkdir()
        _fill(places[name] / "scoreline.db", count)
    with servers.scoreline(places["small"]) as small, servers.scoreline(places["large"]) as large:
        for what, path in PATHS.items():
            sides = {
                "small": partial(_milliseconds, small, path),
                "large": partial(_milliseconds, large, path),
            }
            for side in sides.values():
                side()  # Warm up before the first round.
            measured = alternate(what, sides, rounds)
            pairs = zip(measured["large"], measured["small"], strict=True)
            ratios = [slow / quick for slow, quick in pairs]
            medians = {name: statistics.median(values) for name, values in measured.items()}
            print(
                f"| {what} | {statistics.median(ratios):.2f} | {min(ratios):.2f} | "
                f"{max(ratios):.2f} | {medians['large']:.1f} ms : {medians['small']:.1f} ms |",
                flush=True,
            )


def _milliseconds(server: servers.Server, path: str) -> float:
    """Return the median time of a call over one connection."""
    times = []
    with Client(server.port) as client:
        for _ in range(CALLS):
            began = time.perf_counter()
            client.get(path)
            times.append((time.perf_counter() - began) * 1000)
    return statistics.median(times)


def _fill(path: Path, runs: int) -> None:
    """Store the runs with their predictions and scores, directly in a file."""
    with closing(SqliteStore(path)) as store:
        store.prepare()
        for number in range(runs):
            if number % 100 == 0:
                progress(f"storing run {number:,} of {runs:,}")
            run_id = f"ci/main/{number}"
            names = [f"{run_id}/prediction-{each}" for each in range(PREDICTIONS_PER_RUN)]
            if number % 2 == 0:
                store.add_documents([_run(run_id)])
                store.add_documents([_prediction(run_id, name) for name in names])
            scores = [_score(run_id, name, each) for name in names for each in range(SCORERS)]
            store.add_missing(scores, partial=False)


def _run(run_id: str) -> EvaluationRun:
    return EvaluationRun(
        id=run_id,
        entity="acme",
        project="demo",
        body_hash="0" * 64,
        evaluation="weave:///acme/demo/object/Nightly:v1",
        model="weave:///acme/demo/object/Model:v1",
        started_at=NOW,
        name=f"run {run_id}",
    )


def _prediction(run_id: str, name: str) -> Prediction:
    return Prediction(
        id=name,
        entity="acme",
        project="demo",
        body_hash="0" * 64,
        predict_and_score_call_id=name,
        evaluation_run_id=run_id,
        model="weave:///acme/demo/object/Model:v1",
        inputs_json=f'{{"question":"What is the capital of the country {name}?"}}',
        output_json='"The answer names the city, and no other."',
    )


def _score(run_id: str, name: str, number: int) -> Score:
    scorer = f"weave:///acme/demo/object/Scorer{number}:v3"
    return Score(
        score_id=UNASSIGNED,
        entity="acme",
        project="demo",
        evaluation_run_id=run_id,
        prediction_id=name,
        scorer=scorer,
        scorer_name=scorer_name(scorer),
        value_json="0.5",
        leaves=[{"path": "", "kind": "number", "number": 0.5}],
        wb_user_id="olga",
        created_at=NOW,
        idempotency_key=None,
        body_hash="0" * 64,
    )


if __name__ == "__main__":
    sys.exit(main())
