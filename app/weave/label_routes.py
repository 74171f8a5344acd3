"""The SDK's routes for tags and aliases of objects."""

from __future__ import annotations

import re
from typing import Any

from flask import Response
from marshmallow import ValidationError, fields

from app.api.auth import allow_in_body
from app.api.contract import json_response
from app.api.inputs import body, query
from app.api.state import state
from app.errors import InvalidParameter
from app.schemas.fields import FullMatch, Query, Reason, Text
from app.weave import labels
from app.weave.blueprints import place_of, sdk_blueprint
from app.weave.schemas import List, ProjectBody
from app.weave.versions import LATEST

blueprint = sdk_blueprint("Weave labels")

MOST = 1_000
"""How many tags or aliases a request may have."""

TAG = r"(?=.{1,256}$)[-\w]+( [-\w]+)*"
ALIAS = r"(?=.*\S)[^/:]{1,128}"
NUMBER = re.compile(r"v\d+")
RESERVED = Reason("reserved", f"{LATEST} and the numbers of versions are no aliases")


def check_not_reserved(name: str) -> None:
    """Reject a name that an object has by itself. Raises ValidationError."""
    if name == LATEST or NUMBER.fullmatch(name):
        raise ValidationError(RESERVED)


class ProjectQuery(Query):
    """The query that names a project."""

    project_id = Text(required=True)


class TagsBody(ProjectBody):
    """The body that adds or removes tags."""

    tags: fields.Field[Any] = List(Text("", FullMatch(TAG)), required=True)


class AliasesBody(ProjectBody):
    """The body that removes aliases."""

    aliases: fields.Field[Any] = List(Text("", FullMatch(ALIAS), check_not_reserved), required=True)


class AliasesOfVersionBody(AliasesBody):
    """The body that gives aliases to a version."""

    digest = Text(required=True)


def names_in(body: dict[str, Any], field: str) -> list[str]:
    """Return the tags or aliases of a body. Raises InvalidParameter if there are too many."""
    names: list[str] = body[field]
    if len(names) > MOST:
        raise InvalidParameter(field, None, f"at most {MOST}", place="body")
    return names


@blueprint.put("/objs/<object_id>/versions/<digest>/tags")
@allow_in_body("change")
@body(TagsBody)
def tags_add(object_id: str, digest: str, body: dict[str, Any]) -> Response:
    """Add tags to a version of an object."""
    place, tags = place_of(body["project_id"]), names_in(body, "tags")
    labels.add_tags(state().store, place, object_id, digest, tags)
    return json_response({})


@blueprint.post("/objs/<object_id>/versions/<digest>/tags/remove")
@allow_in_body("change")
@body(TagsBody)
def tags_remove(object_id: str, digest: str, body: dict[str, Any]) -> Response:
    """Remove tags of a version of an object."""
    place, tags = place_of(body["project_id"]), names_in(body, "tags")
    labels.remove_tags(state().store, place, object_id, digest, tags)
    return json_response({})


@blueprint.put("/objs/<object_id>/aliases")
@allow_in_body("change")
@body(AliasesOfVersionBody)
def aliases_set(object_id: str, body: dict[str, Any]) -> Response:
    """Give aliases to a version of an object."""
    place, names = place_of(body["project_id"]), names_in(body, "aliases")
    labels.set_aliases(state().store, place, object_id, body["digest"], names)
    return json_response({})


@blueprint.post("/objs/<object_id>/aliases/remove")
@allow_in_body("change")
@body(AliasesBody)
def aliases_remove(object_id: str, body: dict[str, Any]) -> Response:
    """Remove aliases of an object."""
    place, names = place_of(body["project_id"]), names_in(body, "aliases")
    labels.remove_aliases(state().store, place, object_id, names)
    return json_response({})


@blueprint.get("/tags")
@allow_in_body("read")
@query(ProjectQuery)
def tags_list(query: dict[str, Any]) -> Response:
    """List the tags in a project."""
    place = place_of(query["project_id"], "query")
    return json_response({"tags": labels.list_tags(state().store, place)})


@blueprint.get("/aliases")
@allow_in_body("read")
@query(ProjectQuery)
def aliases_list(query: dict[str, Any]) -> Response:
    """List the aliases in a project."""
    place = place_of(query["project_id"], "query")
    return json_response({"aliases": labels.list_aliases(state().store, place)})
