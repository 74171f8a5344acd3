"""Schemas of the list of scorers."""

from __future__ import annotations

from marshmallow import fields

from app.schemas.fields import Count, Identifier, JsonObject, List, Shape, Text, UtcText
from app.schemas.runs import PageQuery


class ScorerListQuery(PageQuery):
    """The query of a page of scorers."""

    run = Identifier(
        "Only scorers with scores in this run, and only these scores.", load_default=None
    )
    scorer_name = Text("Only this scorer; empty for all.", load_default=None)


class ReferenceRes(Shape):
    """A version of a scorer."""

    scorer = Text("The scorer, as in its scores.", required=True)
    scores = Count("How many current scores.", required=True)


class LeafRes(Shape):
    """A leaf of the values of a scorer."""

    leaf = Text("The path in the value.", required=True)
    kinds = JsonObject(
        "How many values are a number, boolean, text or null.",
        keys=fields.String(),
        values=Count(),
        required=True,
    )


class ScorerRes(Shape):
    """A scorer by its name, with its references and the leaves of its current scores."""

    scorer_name = Text("The name of the scorer.", required=True)
    created_at = UtcText("When it was first used in the project, in UTC.", required=True)
    scores = Count("How many current scores.", required=True)
    superseded = Count("How many superseded scores.", required=True)
    references = List(
        "Its versions, those with the most scores first, at most 100.",
        fields.Nested(ReferenceRes),
        required=True,
    )
    num_references = Count("How many references it has.", required=True)
    leaves = List(
        "The leaves of its values by path, at most 1,000.", fields.Nested(LeafRes), required=True
    )
    num_leaves = Count("How many leaves.", required=True)
