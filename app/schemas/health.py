"""The shape of a health answer."""

from __future__ import annotations

from app.schemas.fields import Shape, Text


class HealthRes(Shape):
    """What a probe is told."""

    status = Text(required=True, metadata={"description": "`live` or `ready`."})
