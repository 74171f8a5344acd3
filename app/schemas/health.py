"""The shapes of what a probe is told."""

from __future__ import annotations

from app.schemas.fields import Shape, Text


class HealthRes(Shape):
    """What a probe is told."""

    status = Text(required=True, metadata={"description": "`live` or `ready`."})


class VersionRes(Shape):
    """What serves."""

    version = Text(required=True, metadata={"description": "The version of Scoreline."})
    api = Text(required=True, metadata={"description": "The version of the score API: `v2`."})
