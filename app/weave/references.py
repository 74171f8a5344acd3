"""Resolve references to objects and to parts of them, such as a row of a dataset."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple
from urllib.parse import unquote

from app import jsontext
from app.errors import Deleted, InvalidParameter, NotFound, TooLarge
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
    def object_key(self) -> tuple[str, str, str]:
        """The project, the name and the digest of the object."""
        return self.project_id, self.object_id, self.digest

    @property
    def row_digest(self) -> str | None:
        """The digest of the last row in the steps, if there is one."""
        return next((argument for step, argument in reversed(self.steps) if step == ROW), None)

    @property
    def last_steps(self) -> tuple[tuple[str, str], ...]:
        """The steps from the last row, or from the object if there is none."""
        rows = (number for number, (step, _) in enumerate(self.steps, 1) if step == ROW)
        return self.steps[max(rows, default=0) :]


def parse_reference(text: str) -> Reference:
    """Return a reference to an object or an op. Raises InvalidParameter.

    Names are stored without lone surrogates, with which no store could be asked for them.
    """
    match = _REFERENCE.fullmatch(jsontext.without_surrogates(text))
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

    `places` has the projects by their ids. What refers to a deleted object is null, as on Weave's
    server. Raises NotFound, and TooLarge for over `most` characters in all.
    """
    rows = {
        project_id: read_rows(store, place, _row_digests(references, project_id))
        for project_id, place in places.items()
    }
    objects = _read_objects(store, places, references)
    texts, size = [], 0
    for each in references:
        value = objects[each.object_key]
        part = None if value is None else _part(each, value, rows[each.project_id])
        texts.append(jsontext.write(part))
        size += len(texts[-1])
        if size > most:
            raise TooLarge(f"The values have more than {most} characters; read fewer at a time")
    return texts


def _read_objects(
    store: Store, places: Mapping[str, Place], references: Sequence[Reference]
) -> dict[tuple[str, str, str], Any]:
    """Return objects by their keys, None for deleted ones. Raises NotFound, which names all."""
    objects: dict[tuple[str, str, str], Any] = {}
    missing = set()
    for each in references:
        if each.object_key in objects:
            continue
        try:
            found = read_version(store, places[each.project_id], each.object_id, each.digest)
            objects[each.object_key] = jsontext.read(found.value_json.encode())
        except Deleted:
            objects[each.object_key] = None
        except NotFound as error:
            objects[each.object_key] = None
            missing.add((str(error), each.digest))
    if missing:
        message = "; ".join(sorted(text for text, _ in missing))
        raise NotFound(message, missing_object_digests=sorted({digest for _, digest in missing}))
    return objects


def _row_digests(references: Sequence[Reference], project_id: str) -> list[str]:
    steps = (step for each in references if each.project_id == project_id for step in each.steps)
    return [argument for step, argument in steps if step == ROW]


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
                value = step_into(value, step, argument)
    except NOT_THERE:
        raise NotFound(f"{reference.text} not found") from None
    return value


NOT_THERE = (KeyError, IndexError, TypeError, ValueError)
"""What `step_into` raises if there is no such part."""


def step_into(value: Any, step: str, argument: str) -> Any:
    """Return the part of a list or an object that one step leads to."""
    return value[int(argument) if step == "index" else argument]
