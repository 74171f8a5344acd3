"""Resolve references to objects and to parts of them, such as a row of a dataset."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple
from urllib.parse import unquote

from app import jsontext
from app.errors import InvalidParameter, NotFound, TooLarge
from app.stores.base import Store
from app.weave.contents import Place, read_rows
from app.weave.versions import read_version

_REFERENCE = re.compile(r"weave:///([^/]+)/([^/]+)/(?:object|op)/([^/:]+):([^/]+)((?:/[^/]*)*)")
_TABLE = re.compile(r"weave:///([^/]+/[^/]+)/table/[^/]+")

ROW = "id"
"""The step from a table to one of its rows; its argument is the row's digest."""

STEPS = frozenset({"attr", "key", "index", ROW})


class Reference(NamedTuple):
    """A reference to a version of an object, and the steps to a part of it."""

    text: str
    project_id: str
    object_id: str
    digest: str
    steps: tuple[tuple[str, str], ...]

    @property
    def row_digests(self) -> list[str]:
        """The digests of the rows in the steps."""
        return [argument for step, argument in self.steps if step == ROW]


def parse_reference(text: str) -> Reference:
    """Return a reference to an object or an op. Raises InvalidParameter."""
    match = _REFERENCE.fullmatch(text)
    parts = [unquote(each) for each in match[5].split("/")[1:]] if match else []
    steps = tuple(zip(parts[::2], parts[1::2], strict=False))
    if match is None or len(parts) % 2 or not STEPS.issuperset(step for step, _ in steps):
        message = "this is no reference to an object or to a part of one"
        raise InvalidParameter("refs", text, message, place="body")
    entity, project, object_id, digest = (unquote(each) for each in match.groups()[:4])
    return Reference(text, f"{entity}/{project}", object_id, digest, steps)


def read_references(
    store: Store, places: Mapping[str, Place], references: Sequence[Reference], most: int
) -> list[str]:
    """Return what references of some projects mean as JSON texts.

    `places` has the projects by their ids. Raises NotFound, and TooLarge for over `most` characters
    in all.
    """
    rows = {
        project_id: read_rows(store, place, _row_digests(references, project_id))
        for project_id, place in places.items()
    }
    objects: dict[tuple[str, str, str], Any] = {}
    texts, size = [], 0
    for each in references:
        key = each[1:4]
        if key not in objects:
            found = read_version(store, places[each.project_id], each.object_id, each.digest)
            objects[key] = jsontext.read(found.value_json.encode())
        texts.append(jsontext.write(_part(each, objects[key], rows[each.project_id])))
        size += len(texts[-1])
        if size > most:
            raise TooLarge(f"The values have more than {most} characters; read fewer at a time")
    return texts


def _row_digests(references: Sequence[Reference], project_id: str) -> list[str]:
    of_project = (each for each in references if each.project_id == project_id)
    return [digest for each in of_project for digest in each.row_digests]


def _part(reference: Reference, value: Any, rows: Mapping[str, str]) -> Any:
    """Return the part of an object that the steps lead to. Raises NotFound."""
    try:
        for step, argument in reference.steps:
            if step == ROW:
                table = _TABLE.fullmatch(value)
                if table is None or table[1] != reference.project_id:
                    raise KeyError(argument)
                value = jsontext.read(rows[argument].encode())
            else:
                value = value[int(argument) if step == "index" else argument]
    except (KeyError, IndexError, TypeError, ValueError):
        raise NotFound(f"{reference.text} not found") from None
    return value
