"""`/v2/{entity}/{project}/ops`, `datasets`, `scorers`, `models` and `evaluations`: definitions."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from app.api.auth import allow
from app.api.contract import raises, response
from app.api.inputs import body, query
from app.api.limits import limit_concurrency
from app.api.state import state
from app.api.streams import lines
from app.errors import NotFound
from app.services.lists import Page
from app.weave import definitions
from app.weave.blueprints import callers_place, sdk_blueprint
from app.weave.contents import Place
from app.weave.definition_schemas import (
    DatasetCreateBody,
    DatasetReadRes,
    DefinitionCreateRes,
    DefinitionDeleteQuery,
    DefinitionDeleteRes,
    DefinitionListQuery,
    EvaluationCreateBody,
    EvaluationCreateRes,
    EvaluationReadRes,
    ModelCreateBody,
    ModelCreateRes,
    ModelReadRes,
    OpCreateBody,
    OpReadRes,
    ScorerCreateBody,
    ScorerCreateRes,
    ScorerReadRes,
)
from app.weave.definitions import DATASET, EVALUATION, MODEL, OP, SCORER, Kind

blueprint = sdk_blueprint("Definitions")

PATH = "/v2/<entity>/<project>"


def create(kind: Kind, entity: str, project: str, body: dict[str, Any]) -> dict[str, Any]:
    """Store a definition."""
    place = callers_place(entity, project)
    return definitions.create(state().store, place, kind, body)


def read(kind: Kind, entity: str, project: str, object_id: str, digest: str) -> dict[str, Any]:
    """Return a definition. Raises NotFound."""
    return definitions.read(state().store, Place(entity, project), kind, object_id, digest)


def page(kind: Kind, entity: str, project: str, query: dict[str, Any]) -> Page[dict[str, Any]]:
    """Return a list of definitions."""
    found: Iterator[dict[str, Any]] = definitions.list_all(
        state().store, Place(entity, project), kind, query
    )
    return Page(found, None)


def delete(
    kind: Kind, entity: str, project: str, object_id: str, query: dict[str, Any]
) -> dict[str, int]:
    """Delete versions of a definition. Raises NotFound."""
    place, digests = Place(entity, project), query["digests"]
    deleted = definitions.delete(state().store, place, kind, object_id, digests)
    return {"num_deleted": deleted}


@blueprint.post("/ops")
@allow("create")
@response(DefinitionCreateRes)
@body(OpCreateBody)
def op_create(entity: str, project: str, body: dict[str, Any]) -> dict[str, Any]:
    """Create a version of an op."""
    return create(OP, entity, project, body)


@blueprint.get("/ops/<object_id>/versions/<digest>")
@allow("read")
@response(OpReadRes)
@raises(NotFound)
def op_read(entity: str, project: str, object_id: str, digest: str) -> dict[str, Any]:
    """Return a version of an op, by digest, number as in `v0`, or `latest`."""
    return read(OP, entity, project, object_id, digest)


@blueprint.get("/ops")
@allow("read")
@limit_concurrency
@lines(OpReadRes)
@query(DefinitionListQuery)
def op_list(entity: str, project: str, query: dict[str, Any]) -> Any:
    """List the latest versions of ops as JSON lines, oldest first."""
    return page(OP, entity, project, query)


@blueprint.delete("/ops/<object_id>")
@allow("delete")
@response(DefinitionDeleteRes)
@raises(NotFound)
@query(DefinitionDeleteQuery)
def op_delete(entity: str, project: str, object_id: str, query: dict[str, Any]) -> dict[str, int]:
    """Delete some versions of an op, or all."""
    return delete(OP, entity, project, object_id, query)


@blueprint.post("/datasets")
@allow("create")
@response(DefinitionCreateRes)
@body(DatasetCreateBody)
def dataset_create(entity: str, project: str, body: dict[str, Any]) -> dict[str, Any]:
    """Create a version of a dataset."""
    return create(DATASET, entity, project, body)


@blueprint.get("/datasets/<object_id>/versions/<digest>")
@allow("read")
@response(DatasetReadRes)
@raises(NotFound)
def dataset_read(entity: str, project: str, object_id: str, digest: str) -> dict[str, Any]:
    """Return a version of a dataset, by digest, number as in `v0`, or `latest`."""
    return read(DATASET, entity, project, object_id, digest)


@blueprint.get("/datasets")
@allow("read")
@limit_concurrency
@lines(DatasetReadRes)
@query(DefinitionListQuery)
def dataset_list(entity: str, project: str, query: dict[str, Any]) -> Any:
    """List all versions of datasets as JSON lines, oldest first."""
    return page(DATASET, entity, project, query)


@blueprint.delete("/datasets/<object_id>")
@allow("delete")
@response(DefinitionDeleteRes)
@raises(NotFound)
@query(DefinitionDeleteQuery)
def dataset_delete(
    entity: str, project: str, object_id: str, query: dict[str, Any]
) -> dict[str, int]:
    """Delete some versions of a dataset, or all."""
    return delete(DATASET, entity, project, object_id, query)


@blueprint.post("/scorers")
@allow("create")
@response(ScorerCreateRes)
@body(ScorerCreateBody)
def scorer_create(entity: str, project: str, body: dict[str, Any]) -> dict[str, Any]:
    """Create a version of a scorer."""
    return create(SCORER, entity, project, body)


@blueprint.get("/scorers/<object_id>/versions/<digest>")
@allow("read")
@response(ScorerReadRes)
@raises(NotFound)
def scorer_read(entity: str, project: str, object_id: str, digest: str) -> dict[str, Any]:
    """Return a version of a scorer, by digest, number as in `v0`, or `latest`."""
    return read(SCORER, entity, project, object_id, digest)


@blueprint.get("/scorers")
@allow("read")
@limit_concurrency
@lines(ScorerReadRes)
@query(DefinitionListQuery)
def scorer_list(entity: str, project: str, query: dict[str, Any]) -> Any:
    """List all versions of scorers as JSON lines, oldest first."""
    return page(SCORER, entity, project, query)


@blueprint.delete("/scorers/<object_id>")
@allow("delete")
@response(DefinitionDeleteRes)
@raises(NotFound)
@query(DefinitionDeleteQuery)
def scorer_delete(
    entity: str, project: str, object_id: str, query: dict[str, Any]
) -> dict[str, int]:
    """Delete some versions of a scorer, or all."""
    return delete(SCORER, entity, project, object_id, query)


@blueprint.post("/models")
@allow("create")
@response(ModelCreateRes)
@body(ModelCreateBody)
def model_create(entity: str, project: str, body: dict[str, Any]) -> dict[str, Any]:
    """Create a version of a model."""
    return create(MODEL, entity, project, body)


@blueprint.get("/models/<object_id>/versions/<digest>")
@allow("read")
@response(ModelReadRes)
@raises(NotFound)
def model_read(entity: str, project: str, object_id: str, digest: str) -> dict[str, Any]:
    """Return a version of a model, by digest, number as in `v0`, or `latest`."""
    return read(MODEL, entity, project, object_id, digest)


@blueprint.get("/models")
@allow("read")
@limit_concurrency
@lines(ModelReadRes)
@query(DefinitionListQuery)
def model_list(entity: str, project: str, query: dict[str, Any]) -> Any:
    """List all versions of models as JSON lines, oldest first."""
    return page(MODEL, entity, project, query)


@blueprint.delete("/models/<object_id>")
@allow("delete")
@response(DefinitionDeleteRes)
@raises(NotFound)
@query(DefinitionDeleteQuery)
def model_delete(
    entity: str, project: str, object_id: str, query: dict[str, Any]
) -> dict[str, int]:
    """Delete some versions of a model, or all."""
    return delete(MODEL, entity, project, object_id, query)


@blueprint.post("/evaluations")
@allow("create")
@response(EvaluationCreateRes)
@body(EvaluationCreateBody)
def evaluation_create(entity: str, project: str, body: dict[str, Any]) -> dict[str, Any]:
    """Create a version of an evaluation."""
    return create(EVALUATION, entity, project, body)


@blueprint.get("/evaluations/<object_id>/versions/<digest>")
@allow("read")
@response(EvaluationReadRes)
@raises(NotFound)
def evaluation_read(entity: str, project: str, object_id: str, digest: str) -> dict[str, Any]:
    """Return a version of an evaluation, by digest, number as in `v0`, or `latest`."""
    return read(EVALUATION, entity, project, object_id, digest)


@blueprint.get("/evaluations")
@allow("read")
@limit_concurrency
@lines(EvaluationReadRes)
@query(DefinitionListQuery)
def evaluation_list(entity: str, project: str, query: dict[str, Any]) -> Any:
    """List all versions of evaluations as JSON lines, oldest first."""
    return page(EVALUATION, entity, project, query)


@blueprint.delete("/evaluations/<object_id>")
@allow("delete")
@response(DefinitionDeleteRes)
@raises(NotFound)
@query(DefinitionDeleteQuery)
def evaluation_delete(
    entity: str, project: str, object_id: str, query: dict[str, Any]
) -> dict[str, int]:
    """Delete some versions of an evaluation, or all."""
    return delete(EVALUATION, entity, project, object_id, query)
