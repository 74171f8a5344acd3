"""The SDK's routes for objects, tables and files."""

from __future__ import annotations

from typing import Any

from flask import Response, request

from app.api.auth import allow_in_body
from app.api.bodies import read_file
from app.api.contract import json_response
from app.api.inputs import body
from app.api.state import state
from app.errors import InvalidParameter
from app.weave import contents
from app.weave.blueprints import place_of, sdk_blueprint
from app.weave.projection import project_rows
from app.weave.schemas import (
    ObjectCreateBody,
    TableCreateBody,
    TableFromDigestsBody,
    TableUpdateBody,
)
from app.weave.versions import add_object

blueprint = sdk_blueprint("Weave objects", always=True)
"""A refused object ends its program, so these are no long requests."""


@blueprint.post("/obj/create")
@allow_in_body("create", limited=False)
@body(ObjectCreateBody)
def object_create(body: dict[str, Any]) -> Response:
    """Create a version of an object."""
    sent = body["obj"]
    place = place_of(sent["project_id"])
    digest = add_object(state().store, place, sent["object_id"], sent["val"])
    return json_response({"digest": digest, "object_id": sent["object_id"]})


@blueprint.post("/table/create")
@allow_in_body("create", limited=False)
@body(TableCreateBody)
def table_create(body: dict[str, Any]) -> Response:
    """Create a table and its rows."""
    place = place_of(body["table"]["project_id"])
    digest, row_digests = contents.add_table(state().store, place, body["table"]["rows"])
    project_rows(state().store, place, row_digests)
    return json_response({"digest": digest, "row_digests": row_digests})


@blueprint.post("/table/create_from_digests")
@allow_in_body("create", limited=False)
@body(TableFromDigestsBody)
def table_create_from_digests(body: dict[str, Any]) -> Response:
    """Create a table of rows that were sent before."""
    place = place_of(body["project_id"])
    return json_response(
        {"digest": contents.add_table_of(state().store, place, body["row_digests"])}
    )


@blueprint.post("/table/update")
@allow_in_body("create", limited=False)
@body(TableUpdateBody)
def table_update(body: dict[str, Any]) -> Response:
    """Create a table from another one."""
    place = place_of(body["project_id"])
    digest, new = contents.update_table(state().store, place, body["base_digest"], body["updates"])
    project_rows(state().store, place, new)
    return json_response({"digest": digest, "updated_row_digests": new})


@blueprint.post("/file/create")
@blueprint.post("/files/create")
@allow_in_body("create", limited=False)
def file_create() -> Response:
    """Create a file, which is sent as multipart/form-data."""
    project_id, file = read_file(request)
    if project_id is None or file is None:
        message = "send project_id and file as multipart/form-data"
        raise InvalidParameter("file", None, message, place="body")
    place = place_of(project_id)
    return json_response({"digest": contents.add_file(state().store, place, file.read())})
