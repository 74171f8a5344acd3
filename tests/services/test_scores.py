"""Create a score from a request's body."""

from __future__ import annotations

from typing import Any

from app.services.scores import create_score
from app.stores.base import Kept, Outcome, Store
from app.stores.model import Score


class Scores(list[Score]):
    """A store that holds scores in a list."""

    def add_score(self, score: Score) -> Outcome:
        self.append(score)
        return Outcome(Kept.CREATED, "id")


def create(**changes: Any) -> Score:
    kept = Scores()
    body = {"prediction_id": "p", "scorer": "s", "value": 1, "evaluation_run_id": None, **changes}
    store: Store = kept  # type: ignore[assignment]
    assert create_score(store, "e", "p", "olga", body).id == "id"
    return kept[0]


def test_only_the_same_content_has_the_same_hash() -> None:
    assert create().body_hash == create().body_hash
    others = [
        create(value=1.0),
        create(value=True),
        create(value="1"),
        create(value=None),
        create(prediction_id="ps", scorer=""),
        create(prediction_id="s", scorer="p"),
        create(evaluation_run_id=""),
    ]
    assert len({score.body_hash for score in [create(), *others]}) == len(others) + 1
