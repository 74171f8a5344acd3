"""Schemas of the list of projects."""

from __future__ import annotations

from app.schemas.fields import Count, Query, Shape, Text, UtcText
from app.schemas.query_fields import WholeNumber


class ProjectListQuery(Query):
    """The query of a page of projects."""

    limit = WholeNumber("The most to return.", least=1, most=1_000, load_default=20)
    after = Text("Continue after this position, taken from a Link header.", load_default=None)
    entity = Text("Only projects of this entity; empty for all.", load_default=None)


class ProjectRes(Shape):
    """A project and how much it holds."""

    entity = Text("The owner of the project.", required=True)
    project = Text("The name of the project.", required=True)
    created_at = UtcText("When the first of all that it holds was created.", required=True)
    runs = Count("How many runs it has, stored or only named by others.", required=True)
    predictions = Count("How many stored predictions it has.", required=True)
    scores = Count("How many scores it has, superseded ones too.", required=True)
    waiting_feedback = Count(
        "How much feedback of Weave's SDK becomes scores once its calls have arrived.",
        required=True,
    )
