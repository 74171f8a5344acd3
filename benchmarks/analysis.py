"""Measure a summary and a comparison with trials, against the SQL that reads their columns.

Each measurement is a process of its own, `python -m benchmarks.analysis STORE QUESTION`, which
prints the processor time of its question in milliseconds and the most memory it held in MiB. Other
programs on the machine matter less to processor time than to the time that passes.
"""

from __future__ import annotations

import random
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from app import jsontext
from app.analysis.comparisons import compare_runs
from app.analysis.summaries import summarize
from app.leaves import leaves
from app.schemas.comparisons import CompareQuery
from app.schemas.summaries import SummaryQuery
from app.stores.model import Score
from app.stores.sqlite.store import SqliteStore
from benchmarks import lists
from benchmarks.creates import EMBEDDED
from benchmarks.documents import body
from benchmarks.machine import peak_megabytes
from benchmarks.rounds import Measure, Plan, alternate, progress
from benchmarks.table import Row
from tests.processes import ROOT, environment

PLACE = ("acme", "demo")
RUNS = ("baseline", "candidate")
TRIALS = 5
BATCH = 10_000
IN_PROJECT = "WHERE entity = 'acme' AND project = 'demo' ORDER BY _id"


@dataclass(frozen=True)
class Part:
    """A question that is asked of a large store and of one of a tenth, and its rivals."""

    what: str
    question: str
    fill: Callable[[Path, int], None]
    large: int
    rivals: dict[str, str]
    """The questions that the time is compared with, by what they are called."""


def measure(plan: Plan, directory: Path) -> list[Row]:
    """Compare both analyses with SQL, and their memory with that for a tenth of the scores."""
    predictions = plan.large // 10
    summary = Part(
        f"summary of {plan.large:,} scores",
        "summary",
        _fill_summary,
        plan.large,
        {"SQL of its columns": "summary-sql", "SQL of scorer and leaves": "counts-sql"},
    )
    comparison = Part(
        f"comparison of two runs of {predictions:,} predictions, {TRIALS} an example",
        "comparison",
        _fill_comparison,
        predictions,
        {"SQL of its columns": "comparison-sql"},
    )
    return [*_measure(summary, plan, directory), *_measure(comparison, plan, directory)]


def _measure(part: Part, plan: Plan, directory: Path) -> list[Row]:
    peaks: dict[int, list[float]] = {part.large // 10: [], part.large: []}
    stores = {size: directory / f"{part.question}-{size}.db" for size in peaks}
    for size, path in stores.items():
        progress(f"storing {size:,} for a {part.question}")
        part.fill(path, size)

    def milliseconds(size: int) -> float:
        taken, peak = _ask(stores[size], part.question)
        peaks[size].append(peak)
        return taken

    def sql_milliseconds(question: str) -> float:
        return _ask(stores[part.large], question)[0]

    what, (small, large) = f"processor time of a {part.what}", peaks
    sides: dict[str, Measure] = {EMBEDDED: partial(milliseconds, large)}
    sides |= {name: partial(sql_milliseconds, sql) for name, sql in part.rivals.items()}
    measured = alternate(what, sides, plan.rounds)
    for _ in range(plan.rounds):
        milliseconds(small)
    rows = [
        Row(what, EMBEDDED, name, " ms", measured[EMBEDDED], measured[name]) for name in part.rivals
    ]
    memory = (f"{large:,}", f"{small:,}", " MiB", peaks[large], peaks[small])
    return [*rows, Row(f"memory for a {part.question}", *memory)]


def _ask(path: Path, question: str) -> tuple[float, float]:
    """Return the milliseconds and the MiB that a question takes in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.analysis", str(path), question],
        cwd=ROOT,
        env=environment(),
        stdout=subprocess.PIPE,
        check=True,
        text=True,
    )
    milliseconds, peak = done.stdout.split()
    return float(milliseconds), float(peak)


def _fill_summary(path: Path, size: int) -> None:
    """Store the scores of `benchmarks/documents.py`."""
    with closing(SqliteStore(path)) as store:
        store.prepare()
        for first in range(0, size, BATCH):
            bodies = map(body, range(first, min(size, first + BATCH)))
            store.add_missing([_score(**each) for each in bodies], partial=False)


def _fill_comparison(path: Path, size: int) -> None:
    """Store two runs of `size` predictions each, with a boolean and a number for each."""
    chosen = random.Random(1)  # noqa: S311
    with closing(SqliteStore(path)) as store:
        store.prepare()
        store.add_documents([lists.a_run(name) for name in RUNS])
        for run in RUNS:
            for first in range(0, size, BATCH):
                numbers = range(first, min(size, first + BATCH))
                store.add_documents([_prediction(run, number) for number in numbers])
                values = [
                    {"correct": chosen.random() < 0.7, "f1": chosen.random()} for _ in numbers
                ]
                scores = [
                    _score(_name(run, number), "weave:///acme/demo/object/Judge:v3", value, run)
                    for number, value in zip(numbers, values, strict=True)
                ]
                store.add_missing(scores, partial=False)


def _name(run: str, number: int) -> str:
    return f"{run}/prediction-{number:07d}"


def _prediction(run: str, number: int) -> Any:
    example = f"example-{number // TRIALS:07d}"
    made = lists.a_prediction(run, _name(run, number))
    return replace(made, example_id=example, example_key=example)


def _score(prediction_id: str, scorer: str, value: Any, evaluation_run_id: str) -> Score:
    made = lists.a_score(evaluation_run_id, prediction_id, scorer)
    return replace(made, value_json=jsontext.write(value), leaves=leaves(value))


def _summarise(path: Path) -> None:
    assert summarize(SqliteStore(path), *PLACE, SummaryQuery().load({}))["groups"]


def _compare(path: Path) -> None:
    wanted = CompareQuery().load({"baseline": RUNS[0], "candidate": [RUNS[1]]})
    assert compare_runs(SqliteStore(path), *PLACE, wanted)["pair_by"] == "example"


def _read(*selects: str) -> Callable[[Path], None]:
    """Return a question that reads all rows of some SELECTs in a project."""

    def read(path: Path) -> None:
        with closing(sqlite3.connect(path)) as connection:
            for select in selects:
                assert sum(1 for _ in connection.execute(f"{select} {IN_PROJECT}"))

    return read


QUESTIONS: dict[str, Callable[[Path], None]] = {
    "summary": _summarise,
    "summary-sql": _read("SELECT prediction_id, scorer_name, scorer, leaves FROM scores"),
    "counts-sql": _read("SELECT scorer, leaves FROM scores"),
    "comparison": _compare,
    "comparison-sql": _read(
        "SELECT _id, prediction_id, scorer_name, leaves FROM scores",
        "SELECT _id, id, example_key FROM predictions",
    ),
}


def main(path: str, question: str) -> None:
    """Ask a question of a store, and print what it took."""
    began = time.process_time()
    QUESTIONS[question](Path(path))
    milliseconds = 1000 * (time.process_time() - began)
    print(milliseconds, peak_megabytes())


if __name__ == "__main__":
    main(*sys.argv[1:])
