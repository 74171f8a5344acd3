"""Make the objects that define scorers, evaluations, models, datasets and ops, and describe them.

They are like those that Weave's SDK publishes, so either side reads what the other one made.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from app import jsontext
from app.errors import NotFound
from app.schemas.documents import time_text
from app.stores.base import Store
from app.weave import versions
from app.weave.contents import Place, add_file, add_table, read_file
from app.weave.facts import text_of
from app.weave.projection import project_rows
from app.weave.versions import Found, Version

SOURCE = "obj.py"
"""The name of the file with the code of an op or a model."""

NO_SOURCE = "def func(*args, **kwargs):\n    ... # Code-capture unavailable for this op\n"
"""The code of an op that was sent without, as Weave's server stores it."""

SUMMARIZE = """def summarize(score_rows: list) -> dict | None:
    \'\'\'Default summarize implementation that auto-summarizes score rows.\'\'\'
    from weave.flow.scorer import auto_summarize
    return auto_summarize(score_rows)
"""
"""The code of the op that summarizes the results of a scorer."""

_NOT_IN_NAMES = re.compile(r"[^\w._-]")

Value = dict[str, Any]


class Kind(NamedTuple):
    """How one kind of definition becomes an object, is found again and described."""

    name: str
    """The name of its class, and of objects that are sent without a name."""
    make: Callable[[Store, Place, str, Mapping[str, Any]], Value]
    """Returns the object for an id and a body."""
    describe: Callable[[Store, Place, str, Value], Value]
    """Returns the fields of a response beside id, digest, number and time."""
    reference: str | None = None
    """The field of the response to a create that has the reference."""

    @property
    def conditions(self) -> Value:
        """The filter of lists: of ops Weave lists only the latest version."""
        if self.name == "Op":
            return {"is_op": True, "latest_only": True}
        return {"base_object_classes": [self.name], "is_op": False}


def object_id_of(name: str | None, default: str) -> str:
    """Return the id of the object with a name, as Weave makes it."""
    safe = _NOT_IN_NAMES.sub("", (name or "").replace(" ", "_").replace("/", "_")).lower()
    return safe or default


def create(store: Store, place: Place, kind: Kind, body: Mapping[str, Any]) -> Value:
    """Store a definition and return its id, digest and number, and for most its reference."""
    object_id = object_id_of(body["name"], kind.name)
    value = kind.make(store, place, object_id, body)
    digest = versions.add_object(store, place, object_id, value)
    number = versions.find_version(store, place, object_id, digest).number
    made = {"digest": digest, "object_id": object_id, "version_index": number}
    if kind.reference:
        uri = f"weave:///{place.entity}/{place.project}/object/{object_id}:{digest}"
        made[kind.reference] = uri
    return made


def read(store: Store, place: Place, kind: Kind, object_id: str, digest: str) -> Value:
    """Return a definition. Raises NotFound."""
    found = versions.read_version(store, place, object_id, digest)
    if not _is_of(kind, found.version):
        raise NotFound(f"Obj {object_id}:{digest} not found")
    return _described(store, place, kind, found)


def list_all(store: Store, place: Place, kind: Kind, wanted: Mapping[str, Any]) -> Iterator[Value]:
    """Yield definitions, oldest first; `wanted` is a loaded DefinitionListQuery."""
    query = {**wanted, "filter": kind.conditions, "sort_by": None}
    found = versions.query_versions(store, place, query)
    for each in versions.read_values(store, place, found):
        yield _described(store, place, kind, each)


def delete(
    store: Store, place: Place, kind: Kind, object_id: str, digests: list[str] | None
) -> int:
    """Delete some versions of a definition or all, and return how many. Raises NotFound."""
    known = versions.list_versions(store, place, [object_id])
    if not any(_is_of(kind, version) for version in known):
        raise NotFound(f"Obj {object_id} not found")
    return len(versions.delete_versions(store, place, object_id, digests))


def _is_of(kind: Kind, version: Version) -> bool:
    return (version.kind == "op") if kind.name == "Op" else version.base_class == kind.name


def _described(store: Store, place: Place, kind: Kind, found: Found) -> Value:
    version, value = found.version, jsontext.read(found.value_json.encode())
    return {
        "object_id": version.object_id,
        "digest": version.digest,
        "version_index": version.number,
        "created_at": time_text(version.created_at),
        **kind.describe(store, place, version.object_id, value),
    }


def _object(class_name: str, body: Mapping[str, Any], **fields: Any) -> Value:
    return {
        "_type": class_name,
        "_class_name": class_name,
        "_bases": ["Object", "BaseModel"],
        "name": body["name"],
        "description": body["description"],
        **fields,
    }


# Ops


def op_value(digest: str) -> Value:
    """Return the op whose code is the file with a digest."""
    return {
        "_type": "CustomWeaveType",
        "weave_type": {"type": "Op"},
        "files": {SOURCE: digest},
    }


def _op_value(store: Store, place: Place, source: str) -> Value:
    return op_value(add_file(store, place, source.encode()))


def _add_op(store: Store, place: Place, object_id: str, source: str) -> str:
    return versions.add_object(store, place, object_id, _op_value(store, place, source))


def _make_op(store: Store, place: Place, _object_id: str, body: Mapping[str, Any]) -> Value:
    return _op_value(store, place, body["source_code"] or NO_SOURCE)


def _describe_op(store: Store, place: Place, _object_id: str, value: Value) -> Value:
    return {"code": _source(store, place, value)}


def _source(store: Store, place: Place, value: Value) -> str:
    """Return the code of an op or a model; none if its file was never sent here."""
    files = value.get("files")
    digest = text_of(files.get(SOURCE)) if isinstance(files, dict) else None
    try:
        return read_file(store, place, digest).decode("utf-8", "replace") if digest else ""
    except NotFound:
        return ""


# Datasets, scorers, models and evaluations


def _make_dataset(store: Store, place: Place, _object_id: str, body: Mapping[str, Any]) -> Value:
    digest, row_digests = add_table(store, place, body["rows"])
    project_rows(store, place, row_digests)
    rows = f"weave:///{place.entity}/{place.project}/table/{digest}"
    return _object("Dataset", {**body, "name": body["name"] or "Dataset"}, rows=rows)


def _describe_dataset(_store: Store, _place: Place, _object_id: str, value: Value) -> Value:
    names = ("name", "description")
    return {**{name: value.get(name) for name in names}, "rows": value.get("rows", "")}


def _make_scorer(store: Store, place: Place, object_id: str, body: Mapping[str, Any]) -> Value:
    return _object(
        "Scorer",
        body,
        score=_add_op(store, place, f"{object_id}_score", body["op_source_code"]),
        summarize=_add_op(store, place, f"{object_id}_summarize", SUMMARIZE),
        column_map=None,
    )


def _describe_scorer(_store: Store, _place: Place, object_id: str, value: Value) -> Value:
    return {**_named(object_id, value), "score_op": value.get("score", "")}


def _named(object_id: str, value: Value) -> Value:
    return {"name": value.get("name", object_id), "description": value.get("description")}


def _make_model(store: Store, place: Place, _object_id: str, body: Mapping[str, Any]) -> Value:
    files = {SOURCE: add_file(store, place, body["source_code"].encode())}
    return {**_object("Model", body, files=files), **(body["attributes"] or {})}


def _describe_model(store: Store, place: Place, object_id: str, value: Value) -> Value:
    own = {"_type", "_class_name", "_bases", "name", "description", "files"}
    attributes = {name: each for name, each in value.items() if name not in own}
    return {
        **_named(object_id, value),
        "source_code": _source(store, place, value),
        "attributes": attributes or None,
    }


def _make_evaluation(store: Store, place: Place, object_id: str, body: Mapping[str, Any]) -> Value:
    names = ("evaluate", "predict_and_score", "summarize")
    ops = {name: _add_op(store, place, f"{object_id}.{name}", NO_SOURCE) for name in names}
    value = _object(
        "Evaluation",
        body,
        dataset=body["dataset"],
        scorers=body["scorers"] or [],
        trials=body["trials"],
        evaluation_name=body["evaluation_name"],
        metadata=None,
        preprocess_model_input=None,
        **ops,
    )
    return {**value, **(body["eval_attributes"] or {})}


def _describe_evaluation(_store: Store, _place: Place, object_id: str, value: Value) -> Value:
    return {
        **_named(object_id, value),
        "dataset": value.get("dataset", ""),
        "scorers": value.get("scorers", []),
        "trials": value.get("trials", 1),
        "evaluation_name": value.get("evaluation_name"),
        "evaluate_op": value.get("evaluate", ""),
        "predict_and_score_op": value.get("predict_and_score", ""),
        "summarize_op": value.get("summarize", ""),
    }


OP = Kind("Op", _make_op, _describe_op)
DATASET = Kind("Dataset", _make_dataset, _describe_dataset)
SCORER = Kind("Scorer", _make_scorer, _describe_scorer, "scorer")
MODEL = Kind("Model", _make_model, _describe_model, "model_ref")
EVALUATION = Kind("Evaluation", _make_evaluation, _describe_evaluation, "evaluation_ref")
