"""The schemas of definitions: scorers, evaluations, models, datasets and ops."""

from __future__ import annotations

from app.schemas.documents import DeleteRes, TimeText
from app.schemas.fields import Count, JsonObject, Plain, Shape, Text, WeaveQuery
from app.schemas.query_fields import TextList, WholeNumber
from app.weave.schemas import List

MAX_DELETED = 100


class DefinitionCreateRes(Plain):
    """The response that names a new definition."""

    digest = Text("The digest of its content.", required=True)
    object_id = Text("The id of the object, made from the name.", required=True)
    version_index = Count("How many versions of the object were created before.", required=True)


class DefinitionRes(DefinitionCreateRes):
    """What all definitions have in common."""

    created_at = TimeText("When this version was created.", required=True)


class DefinitionListQuery(WeaveQuery):
    """The query of a list of definitions."""

    limit = WholeNumber("The most elements to return. Default: all.", least=0, load_default=None)
    offset = WholeNumber("How many of the oldest elements to skip.", least=0, load_default=None)


class DefinitionDeleteQuery(WeaveQuery):
    """The query that deletes versions of a definition."""

    digests = TextList(
        f"The versions, by digest or number as in `v0`, at most {MAX_DELETED}. Default: all.",
        most=MAX_DELETED,
        load_default=None,
    )


class DefinitionDeleteRes(DeleteRes):
    """The response to deleting versions of a definition."""


class Described(Shape):
    """A body with an optional description."""

    description = Text("A description.", load_default=None, allow_none=True)


class Named(Described):
    """A body with a name; what has the same name is versions of one object."""

    name = Text("The name, of which the object's id is made.", required=True)


class OpCreateBody(Shape):
    """The body that creates an op."""

    name = Text("The name, of which the object's id is made.", load_default=None, allow_none=True)
    source_code = Text("The whole code.", load_default=None, allow_none=True)


class OpReadRes(DefinitionRes):
    """An op."""

    code = Text("The whole code; empty if it was never sent here.", required=True)


class DatasetCreateBody(Described):
    """The body that creates a dataset."""

    name = Text("The name, of which the object's id is made.", load_default=None, allow_none=True)
    rows = List(JsonObject(), required=True, metadata={"description": "The rows."})


class DatasetReadRes(DefinitionRes):
    """A dataset."""

    name = Text("The name.", allow_none=True)
    description = Text("The description.", allow_none=True)
    rows = Text("A reference to the table of its rows.", required=True)


class ScorerCreateBody(Named):
    """The body that creates a scorer."""

    op_source_code = Text("The whole code of its op `score`.", required=True)


class ScorerCreateRes(DefinitionCreateRes):
    """The response that names a new scorer."""

    scorer = Text("A reference to it.", required=True)


class ScorerReadRes(DefinitionRes):
    """A scorer."""

    name = Text("The name.", required=True)
    description = Text("The description.", allow_none=True)
    score_op = Text("Its op `score`: a reference or a digest.", required=True)


class ModelCreateBody(Named):
    """The body that creates a model."""

    source_code = Text("The whole code of its class.", required=True)
    attributes = JsonObject("More attributes.", load_default=None, allow_none=True)


class ModelCreateRes(DefinitionCreateRes):
    """The response that names a new model."""

    model_ref = Text("A reference to it.", required=True)


class ModelReadRes(DefinitionRes):
    """A model."""

    name = Text("The name.", required=True)
    description = Text("The description.", allow_none=True)
    source_code = Text("The whole code; empty if it was never sent here.", required=True)
    attributes = JsonObject("More attributes.", allow_none=True)


class EvaluationCreateBody(Named):
    """The body that creates an evaluation."""

    dataset = Text("A reference to the dataset.", required=True)
    scorers = List(
        Text(),
        load_default=None,
        allow_none=True,
        metadata={"description": "References to the scorers."},
    )
    trials = Count("How many trials of each example a run makes.", load_default=1)
    evaluation_name = Text("The name of its runs.", load_default=None, allow_none=True)
    eval_attributes = JsonObject("More attributes.", load_default=None, allow_none=True)


class EvaluationCreateRes(DefinitionCreateRes):
    """The response that names a new evaluation."""

    evaluation_ref = Text("A reference to it.", required=True)


class EvaluationReadRes(DefinitionRes):
    """An evaluation."""

    name = Text("The name.", required=True)
    description = Text("The description.", allow_none=True)
    dataset = Text("A reference to the dataset.", required=True)
    scorers = List(Text(), required=True, metadata={"description": "References to the scorers."})
    trials = Count("How many trials of each example a run makes.", required=True)
    evaluation_name = Text("The name of its runs.", allow_none=True)
    evaluate_op = Text("Its op `evaluate`: a reference or a digest.", required=True)
    predict_and_score_op = Text("Its op for one example: a reference or a digest.", required=True)
    summarize_op = Text("Its op `summarize`: a reference or a digest.", required=True)
