"""The shapes of Weave's score resource."""

from __future__ import annotations

from app.schemas.fields import Anything, Shape, Text


class ScoreCreateBody(Shape):
    """What a client sends to keep one score; entity and project come from the path."""

    prediction_id = Text(required=True, metadata={"description": "What was judged."})
    scorer = Text(
        required=True,
        metadata={"description": "What judged, normally weave:///entity/project/object/Name:hash."},
    )
    value = Anything(
        required=True, allow_none=True, metadata={"description": "The scorer's raw output."}
    )
    evaluation_run_id = Text(
        load_default=None,
        metadata={"description": "The evaluation run that the prediction is part of, if any."},
    )


class ScoreCreateRes(Shape):
    """What a client is told when its score is stored."""

    score_id = Text(required=True, metadata={"description": "The new score's id, a UUIDv7."})
