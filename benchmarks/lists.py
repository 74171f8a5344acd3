"""`python -m benchmarks.lists`: measure lists in a large project and in a hundredth of it.

The large project has 2,000 runs of 500 predictions, which have four scores each. Every second run
and its predictions are only named by scores. The small project has a hundredth of the runs. The
times are processor time, so that other programs on the machine matter less.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

from flask.testing import FlaskClient

from app import create_app
from app.scorers import scorer_name
from app.stores.model import UNASSIGNED, EvaluationRun, Prediction, Score
from app.stores.sqlite.store import SqliteStore
from benchmarks.client import HEADERS
from benchmarks.rounds import progress
from config.settings import read_settings
from tests.processes import ADMIN_KEY

PROJECT = "/v1/acme/demo"
PREDICTIONS_PER_RUN = 500
SCORERS = 4
NOW = datetime(2026, 1, 1, tzinfo=UTC)
CALLS = 30
"""How many calls a measurement takes the least of."""

PATHS = {
    "20 runs": f"{PROJECT}/runs",
    "one run": f"{PROJECT}/runs?run=ci/main/2",
    "100 predictions of a run": f"{PROJECT}/predictions?limit=100&run=ci/main/2",
    "100 predictions that only scores name": f"{PROJECT}/predictions?limit=100&run=ci/main/3",
    "the scorers of a run": f"{PROJECT}/scorers?run=ci/main/2",
    "the project": "/v1/projects",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Fill two stores, and print the ratio of the times of each list."""
    parser = argparse.ArgumentParser("python -m benchmarks.lists", description=__doc__)
    parser.add_argument("--directory", default="var", help="where the stores are (default: var)")
    parser.add_argument("--runs", type=int, default=2_000, help="the runs of the large project")
    options = parser.parse_args(arguments)
    parent = Path(options.directory)
    parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="bench-", dir=parent.resolve()) as made:
        stores = {"small": Path(made, "small.db"), "large": Path(made, "large.db")}
        _fill(stores["small"], max(4, options.runs // 100))
        _fill(stores["large"], options.runs)
        measure(stores)
    return 0


def measure(stores: Mapping[str, Path]) -> None:
    """Print a row of a table for each list: the ratio, and the least times of both sides."""
    sides = {name: _client(path) for name, path in stores.items()}
    for what, path in PATHS.items():
        times: dict[str, list[float]] = {name: [] for name in sides}
        for _ in range(CALLS):
            for name, client in sides.items():
                times[name].append(_milliseconds(client, path))
        small, large = min(times["small"]), min(times["large"])
        print(f"| {what} | {large / small:.2f} | {large:.1f} ms : {small:.1f} ms |", flush=True)


def _client(path: Path) -> FlaskClient:
    settings = {
        "SCORELINE_STORE": f"sqlite:///{path}",
        "SCORELINE_ADMIN_KEY": ADMIN_KEY,
        "SCORELINE_LOG_LEVEL": "warning",  # The log goes to stdout, as the table does.
    }
    return create_app(read_settings(settings)).test_client()


def _milliseconds(client: FlaskClient, path: str) -> float:
    """Return the processor time of a call, without sockets, in milliseconds."""
    began = time.process_time()
    with client.get(path, headers=HEADERS) as response:
        assert response.status_code == 200, response.data
        assert response.data
    return (time.process_time() - began) * 1000


def _fill(path: Path, runs: int) -> None:
    """Store the runs with their predictions and scores, directly in a file."""
    with closing(SqliteStore(path)) as store:
        store.prepare()
        scorers = [f"weave:///acme/demo/object/Scorer{number}:v3" for number in range(SCORERS)]
        for number in range(runs):
            if number % 100 == 0:
                progress(f"storing run {number:,} of {runs:,}")
            run_id = f"ci/main/{number}"
            names = [f"{run_id}/prediction-{each}" for each in range(PREDICTIONS_PER_RUN)]
            if number % 2 == 0:
                store.add_documents([a_run(run_id)])
                store.add_documents([a_prediction(run_id, name) for name in names])
            scores = [a_score(run_id, name, each) for name in names for each in scorers]
            store.add_missing(scores, partial=False)


def a_run(run_id: str) -> EvaluationRun:
    """Return an evaluation run."""
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


def a_prediction(run_id: str, name: str) -> Prediction:
    """Return a prediction of a run."""
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


def a_score(run_id: str, name: str, scorer: str) -> Score:
    """Return a score of a prediction, given by its name."""
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
