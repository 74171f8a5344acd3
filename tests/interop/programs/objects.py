"""Score with objects of classes, and log several values of one scorer for a prediction."""

import asyncio
import sys
from dataclasses import dataclass
from typing import Any

from tests.interop.programs.counting import begin, count

begin()

import weave  # noqa: E402
from pydantic import BaseModel  # noqa: E402
from weave import EvaluationLogger  # noqa: E402


@dataclass
class Verdict:
    """A judgement as a dataclass."""

    passed: bool
    why: str


class Grade(BaseModel):
    """A judgement as a pydantic model."""

    passed: bool
    points: list[float]


class Opinion(weave.Object):
    """A judgement as an object of Weave."""

    passed: bool
    points: float = 0.5


def fields(made: Any, bases: list[str], **values: Any) -> dict[str, Any]:
    """Return what the SDK sends of an object."""
    name = type(made).__name__
    return {"_type": name, **values, "_class_name": name, "_bases": bases}


def verdict() -> tuple[Any, Any]:
    """Return a dataclass, and what the SDK sends of it."""
    made = Verdict(passed=True, why="it is")
    return made, fields(made, [], passed=True, why="it is")


def grade() -> tuple[Any, Any]:
    """Return a pydantic model, and what the SDK sends of it."""
    made = Grade(passed=False, points=[1.0, 2.5])
    return made, fields(made, ["BaseModel"], passed=False, points=[1.0, 2.5])


def opinion() -> tuple[Any, Any]:
    """Return an object of Weave, and what the SDK sends of it."""
    made = Opinion(passed=True)
    values = {"name": None, "description": None, "passed": True, "points": 0.5}
    return made, fields(made, ["Object", "BaseModel"], **values)


def together() -> tuple[Any, Any]:
    """Return objects within a list, and what the SDK sends of them."""
    both = [verdict(), grade(), opinion()]
    return {"all": [made for made, _ in both]}, {"all": [sent for _, sent in both]}


def scored(name: str, both: tuple[Any, Any]) -> Any:
    """Count a score of the scorer that is being called, and return what it returns."""
    call = weave.get_current_call()
    count(call.parent_id, name, both[1])
    return both[0]


@weave.op
def a_verdict(output: str) -> Any:
    """Return a dataclass."""
    return scored("a_verdict", verdict())


@weave.op
def a_grade(output: str) -> Any:
    """Return a pydantic model."""
    return scored("a_grade", grade())


@weave.op
def an_opinion(output: str) -> Any:
    """Return an object of Weave."""
    return scored("an_opinion", opinion())


@weave.op
def several(output: str) -> Any:
    """Return several objects."""
    return scored("several", together())


class Grader(weave.Scorer):
    """Score with a class."""

    @weave.op
    def score(self, output: str) -> Any:
        """Return a pydantic model."""
        return scored("Grader", grade())


@weave.op
def model(q: str) -> str:
    """Predict one row."""
    return q


def log() -> None:
    """Log objects, and values of one scorer for one prediction."""
    logger = EvaluationLogger(name="objects", model="m", dataset="d")
    for number in range(3):
        prediction = logger.log_prediction(inputs={"q": number}, output="out")
        for name, (made, sent) in (("v", verdict()), ("g", grade()), ("o", opinion())):
            prediction.log_score(name, made)
            count(prediction.predict_and_score_call.id, name, sent)
        for value in (1, 2, 1, {"x": 3}):
            prediction.log_score("again", value)
            count(prediction.predict_and_score_call.id, "again", value)
        prediction.finish()
    logger.log_summary({})


weave.init(sys.argv[2])
rows = [{"q": text} for text in "abc"]
scorers = [a_verdict, a_grade, an_opinion, several, Grader()]
evaluation = weave.Evaluation(name="objects", dataset=rows, scorers=scorers)
asyncio.run(evaluation.evaluate(model))
log()
