"""Create the scores to send, which resemble those of an evaluation and are all different."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

SCORES = "/v2/acme/demo/scores"
SCORES_PER_RUN = 1_000
BODIES = 1_000
"""How many different bodies the single creates cycle through."""


def body(number: int) -> dict[str, Any]:
    """Return the `number`th score, with five scorers and 1,000 scores per evaluation run."""
    return {
        "prediction_id": f"prediction-{number:07d}",
        "scorer": f"weave:///acme/demo/object/Scorer{number % 5}:v3",
        "value": {
            "correct": number % 3 > 0,
            "accuracy": {"f1": number % 1000 / 1000, "precision": 0.8125},
            "reason": "The answer names the city, and no other.",
        },
        "evaluation_run_id": run(number // SCORES_PER_RUN),
    }


def run(number: int) -> str:
    """Return the id of the `number`th evaluation run."""
    return f"run-{number:05d}"


def batch(count: int, first: int = 0) -> bytes:
    """Return the body of a batch of `count` scores."""
    return json.dumps({"scores": [body(first + number) for number in range(count)]}).encode()


def write_bodies(path: Path) -> Path:
    """Write BODIES bodies to `path`, one per line."""
    path.write_text("".join(f"{json.dumps(body(number))}\n" for number in range(BODIES)))
    return path
