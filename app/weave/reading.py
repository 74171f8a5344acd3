"""The SDK's routes that read objects, tables, files and references, and delete objects."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from flask import Response

from app import jsontext
from app.api.auth import allow_in_body
from app.api.contract import json_response
from app.api.inputs import body
from app.api.limits import limit_concurrency
from app.api.state import state
from app.api.streams import stream
from app.errors import InvalidParameter
from app.schemas.documents import time_text
from app.weave import contents, tables, versions
from app.weave.blueprints import place_of, sdk_blueprint
from app.weave.contents import Place
from app.weave.reading_schemas import (
    MAX_DELETED,
    MAX_REFERENCES,
    MAX_TABLES,
    FileContentBody,
    ObjectDeleteBody,
    ObjectQueryBody,
    ObjectReadBody,
    ReferencesBody,
    TableQueryBody,
    TablesStatsBody,
    TableStatsBody,
)
from app.weave.references import parse_reference, read_references
from app.weave.versions import Found

blueprint = sdk_blueprint("Weave reading")

JSON = "application/json"

NO_VALUE = "{}"
"""The value in an answer that is to have none, as JSON."""


def object_text(
    place: Place, found: Found, *, with_value: bool, with_size: bool, with_tags: bool
) -> str:
    """Return a version of an object as JSON, in Weave's shape."""
    version, value_json, wb_user_id = found
    head = {
        "project_id": f"{place.entity}/{place.project}",
        "object_id": version.object_id,
        "created_at": time_text(version.created_at),
        "deleted_at": None,
        "digest": version.digest,
        "version_index": version.number,
        "is_latest": int(version.is_latest),
        "kind": version.kind,
        "base_object_class": version.base_class,
        "leaf_object_class": version.leaf_class,
        "wb_user_id": wb_user_id,
        "size_bytes": len(value_json.encode("utf-8", "surrogatepass")) if with_size else None,
        "tags": version.tags if with_tags else None,
        "aliases": version.aliases if with_tags else None,
    }
    return f'{jsontext.write(head)[:-1]},"val":{value_json if with_value else NO_VALUE}}}'


def in_list(name: str, texts: Iterable[str]) -> Response:
    """Stream an object with one list of what is JSON already."""

    def pieces() -> Iterator[bytes]:
        separator = f'{{"{name}":['
        for text in texts:
            yield f"{separator}{text}".encode()
            separator = ","
        yield b"]}" if separator == "," else f"{separator}]}}".encode()

    return stream(pieces(), JSON)


@blueprint.post("/obj/read")
@allow_in_body("read")
@body(ObjectReadBody)
def object_read(body: dict[str, Any]) -> Response:
    """Return a version of an object."""
    place = place_of(body["project_id"])
    found = versions.read_version(state().store, place, body["object_id"], body["digest"])
    text = object_text(
        place,
        found,
        with_value=not body["metadata_only"],
        with_size=False,
        with_tags=bool(body["include_tags_and_aliases"]),
    )
    return Response(f'{{"obj":{text}}}', mimetype=JSON)


@blueprint.post("/objs/query")
@allow_in_body("read")
@limit_concurrency
@body(ObjectQueryBody)
def object_query(body: dict[str, Any]) -> Response:
    """List versions of objects."""
    place, store = place_of(body["project_id"]), state().store
    found = versions.read_values(store, place, versions.query_versions(store, place, body))
    texts = (
        object_text(
            place,
            each,
            with_value=not body["metadata_only"],
            with_size=bool(body["include_storage_size"]),
            with_tags=bool(body["include_tags_and_aliases"]),
        )
        for each in found
    )
    return in_list("objs", texts)


@blueprint.post("/obj/delete")
@allow_in_body("delete")
@body(ObjectDeleteBody)
def object_delete(body: dict[str, Any]) -> Response:
    """Delete some versions of an object, or all."""
    place, digests = place_of(body["project_id"]), body["digests"]
    if digests and len(digests) > MAX_DELETED:
        raise InvalidParameter("digests", None, f"at most {MAX_DELETED}", place="body")
    deleted = versions.delete_versions(state().store, place, body["object_id"], digests)
    return json_response(
        {
            "num_deleted": len(deleted),
            "deleted_versions": [
                {
                    "digest": each.digest,
                    "base_object_class": each.base_class,
                    "leaf_object_class": each.leaf_class,
                }
                for each in deleted
            ],
        }
    )


@blueprint.post("/table/query")
@allow_in_body("connect")
@body(TableQueryBody)
def table_query(body: dict[str, Any]) -> Response:
    """Return rows of a table; the TypeScript SDK reads their digests while it sends."""
    rows = tables.query_rows(state().store, place_of(body["project_id"]), body)
    texts = (
        f'{{"digest":{jsontext.write(each.digest)},"val":{each.text},"original_index":{each.position}}}'
        for each in rows
    )
    return in_list("rows", texts)


@blueprint.post("/table/query_stats")
@allow_in_body("read")
@body(TableStatsBody)
def table_query_stats(body: dict[str, Any]) -> Response:
    """Return how many rows a table has."""
    place = place_of(body["project_id"])
    return json_response({"count": tables.count_rows(state().store, place, body["digest"])})


@blueprint.post("/table/query_stats_batch")
@allow_in_body("read")
@body(TablesStatsBody)
def table_query_stats_batch(body: dict[str, Any]) -> Response:
    """Return how many rows tables have, of those that exist."""
    place, digests = place_of(body["project_id"]), body["digests"] or ()
    if len(digests) > MAX_TABLES:
        raise InvalidParameter("digests", None, f"at most {MAX_TABLES}", place="body")
    counts = tables.count_rows_of(state().store, place, digests)
    return json_response(
        {
            "tables": [
                {"count": count, "digest": digest, "storage_size_bytes": None}
                for digest, count in counts.items()
            ]
        }
    )


@blueprint.post("/file/content")
@blueprint.post("/files/content")
@allow_in_body("read")
@body(FileContentBody)
def file_content(body: dict[str, Any]) -> Response:
    """Return the content of a file."""
    place = place_of(body["project_id"])
    data = contents.read_file(state().store, place, body["digest"])
    return Response(data, mimetype="application/octet-stream")


@blueprint.post("/refs/read_batch")
@allow_in_body("read")
@limit_concurrency
@body(ReferencesBody)
def references_read(body: dict[str, Any]) -> Response:
    """Return what references mean: objects, or parts of them."""
    if len(body["refs"]) > MAX_REFERENCES:
        raise InvalidParameter("refs", None, f"at most {MAX_REFERENCES}", place="body")
    references = [parse_reference(each) for each in body["refs"]]
    places = {each: place_of(each) for each in {each.project_id for each in references}}
    most = state().sdk_body_bytes
    return in_list("vals", read_references(state().store, places, references, most))
