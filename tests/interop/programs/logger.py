"""Evaluate with `EvaluationLogger`, in all its ways."""

from __future__ import annotations

import asyncio
import inspect
from typing import Any

import weave
from weave import EvaluationLogger
from weave.trace_server_bindings import call_batch_processor

from tests.interop.programs.counting import count, count_run


class Named(weave.Scorer):
    """A scorer that is known as a class."""

    @weave.op
    def score(self, output: Any) -> Any:
        """Score one output; the logger replaces this."""
        return output


class Echo(weave.Model):
    """A model that is known as a class."""

    @weave.op
    def predict(self, q: int) -> int:
        """Predict one row."""
        return q


def log(prediction: Any, scorer: Any, value: Any) -> None:
    """Log a score and count it."""
    prediction.log_score(scorer, value)
    name = scorer if isinstance(scorer, str) else getattr(scorer, "name", None) or scorer["name"]
    count(prediction.predict_and_score_call.id, name, value)


def end(logger: Any, predictions: int) -> None:
    """Count the run of a logger."""
    count_run(logger._evaluate_call.id, predictions)


def with_names() -> None:
    """Log scores of every type, with names only."""
    logger = EvaluationLogger(name="names", model="my_model", dataset="my_dataset")
    for number, value in enumerate((0.25, True, None, 2**70)):
        prediction = logger.log_prediction(inputs={"q": number}, output=f"out {number}")
        log(prediction, "accuracy", value)
        log(prediction, "text", f"ü/% {number}")
        log(prediction, "object", {"a": {"b": number}, "c": None})
        prediction.finish()
    logger.log_example({"q": 9}, {"text": "out"}, {"accuracy": 1.0, "third": False})
    call = logger._accumulated_predictions[-1].predict_and_score_call
    count(call.id, "accuracy", 1.0)
    count(call.id, "third", False)
    logger.log_summary({"mine": 1})
    end(logger, 5)


def with_objects() -> None:
    """Log with a model, a dataset and scorers that are objects, and finish without a summary."""
    rows = [{"q": 1}, {"q": 2}]
    logger = EvaluationLogger(model=Echo(), dataset=weave.Dataset(name="rows", rows=rows))
    for row in rows * 2:
        prediction = logger.log_prediction(inputs=row, output=row["q"])
        log(prediction, Named(name="named"), row["q"] / 2)
        log(prediction, {"name": "described", "version": 2}, False)
        prediction.finish()
    logger.finish()
    end(logger, 4)


def with_contexts() -> None:
    """Log in blocks, one of whose scorers raises, and fail."""

    @weave.op
    def inner(q: int) -> int:
        return q + 1

    logger = EvaluationLogger(
        name="contexts", model={"name": "described", "size": 3}, dataset=[{"q": 1}]
    )
    for number in range(3):
        with logger.log_prediction(inputs={"q": number}) as prediction:
            prediction.output = inner(number)
            log(prediction, "direct", number)
            with prediction.log_score("block") as score:
                score.value = inner(number) / 2
            call_id = prediction.predict_and_score_call.id
            count(call_id, "block", (number + 1) / 2)
            try:
                with prediction.log_score("broken"):
                    raise ValueError("no score")
            except ValueError:
                count(call_id, "broken", None, "ValueError: no score")
    logger.fail(RuntimeError("the program gave up"))
    end(logger, 3)


async def with_asyncio() -> None:
    """Log in a running event loop, directly and awaited."""
    logger = EvaluationLogger(model="async_model", dataset="my_dataset")
    for number in range(2):
        prediction = logger.log_prediction(inputs={"q": number}, output=number)
        log(prediction, "sync", number)
        await prediction.alog_score("awaited", number > 0)
        count(prediction.predict_and_score_call.id, "awaited", number > 0)
        prediction.finish()
    logger.log_summary(auto_summarize=False)
    end(logger, 2)


def untraced() -> None:
    """Log scores that have no call of their own, where the SDK can do so."""
    if "trace_scores" not in inspect.signature(EvaluationLogger).parameters:
        return
    logger = EvaluationLogger(model="my_model", dataset="my_dataset", trace_scores=False)
    prediction = logger.log_prediction(inputs={"q": 1}, output=1)
    log(prediction, "untraced", {"x": 0.5})
    prediction.finish()
    logger.log_summary()
    end(logger, 1)


def unfinished() -> Any:
    """Return a logger that was never finished, with predictions that were and were not."""
    logger = EvaluationLogger(name="unfinished", model="my_model", dataset="my_dataset")
    for number in range(2):
        prediction = logger.log_prediction(inputs={"q": number}, output=number)
        log(prediction, "left", number)
        if number == 0:
            prediction.finish()
    end(logger, 2)
    return logger


def main() -> Any:
    """Do all of it, and return the logger that was never finished."""
    with_names()
    with_objects()
    with_contexts()
    asyncio.run(with_asyncio())
    untraced()
    # At its end the process waits for calls that have not ended, 5 minutes by default.
    call_batch_processor.FLUSH_TIMEOUT_SECONDS = 0.5
    return unfinished()
