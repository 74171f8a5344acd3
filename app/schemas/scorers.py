"""Schemas of the list of scorers."""

from __future__ import annotations

from marshmallow import fields

from app.schemas.fields import Identifier, Shape, Text, UtcText
from app.schemas.runs import PageQuery


class ScorerListQuery(PageQuery):
    """The query of a page of scorers."""

    run = Identifier(
        load_default=None,
        metadata={"description": "Only scorers with scores in this run, and only these scores."},
    )
    scorer_name = Text(
        load_default=None, metadata={"description": "Only this scorer; empty for all."}
    )


class ReferenceRes(Shape):
    """A version of a scorer."""

    scorer = Text(required=True, metadata={"description": "The scorer, as in its scores."})
    scores = fields.Integer(required=True, metadata={"description": "How many current scores."})


class LeafRes(Shape):
    """A leaf of the values of a scorer."""

    leaf = Text(required=True, metadata={"description": "The path in the value."})
    kinds = fields.Dict(
        keys=fields.String(),
        values=fields.Integer(),
        required=True,
        metadata={"description": "How many values are a number, boolean, text or null."},
    )


class ScorerRes(Shape):
    """A scorer by its name, with its references and the leaves of its current scores."""

    scorer_name = Text(required=True, metadata={"description": "The name of the scorer."})
    created_at = UtcText(
        required=True, metadata={"description": "When it was first used in the project, in UTC."}
    )
    scores = fields.Integer(required=True, metadata={"description": "How many current scores."})
    superseded = fields.Integer(
        required=True, metadata={"description": "How many superseded scores."}
    )
    references = fields.List(
        fields.Nested(ReferenceRes),
        required=True,
        metadata={"description": "Its versions, those with the most scores first, at most 100."},
    )
    num_references = fields.Integer(
        required=True, metadata={"description": "How many references it has."}
    )
    leaves = fields.List(
        fields.Nested(LeafRes),
        required=True,
        metadata={"description": "The leaves of its values by path, at most 1,000."},
    )
    num_leaves = fields.Integer(required=True, metadata={"description": "How many leaves."})
