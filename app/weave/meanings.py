"""Put what references to parts of rows and objects mean in place of them.

What a program takes from a row of a dataset or from an attribute of a scorer is a reference in its
calls and the value itself in its feedback, so without this one judgement would be two scores.
A whole object is only read for scores; in inputs and outputs its reference stays.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from itertools import chain, islice
from typing import Any

import msgspec

from app import jsontext
from app.errors import InvalidParameter
from app.stores.base import Store
from app.stores.weave import Feedback, ObjectVersion
from app.weave.contents import Place, find_rows
from app.weave.facts import PredictionFacts
from app.weave.lazy_json import NULL, LazyObject, read_object
from app.weave.references import NOT_THERE, Reference, parse_reference, step_into
from app.weave.versions import document_id

MAX_REFERENCES = 1_000
"""How many different references of a prediction are replaced; others stay."""

MAX_BYTES = 250_000
"""How many bytes may take the place of the references of a prediction; others stay."""

_TEXT = re.compile(rb'"weave:///(?<!\\"weave:///)[^"\\]*+(?:\\.[^"\\]*+)*+"(?!\s*:)', re.DOTALL)
"""A reference that is a text in JSON; quotes within texts have a backslash, keys a colon.

It begins with plain characters and never goes back, so 10 MB without references take 20 ms.
"""

_WHOLE_OBJECT = re.compile(r"weave:///[^/]+/[^/]+/object/[^/]+")

_Change = Callable[["re.Match[bytes]"], bytes]


def put_meanings(store: Store, place: Place, facts: PredictionFacts) -> None:
    """Replace references to parts in the example, the outputs and the feedback of a prediction.

    Those whose row or object is not there stay, and `missing_row` is the first such row. `objects`
    has the whole objects to which there are references.
    """
    found = dict(islice(_references(place, facts), MAX_REFERENCES))
    if not found:
        return
    meanings, rows = _read_meanings(store, place, facts, found)
    digests = (reference.row_digest for reference in found.values())
    facts.missing_row = next((each for each in digests if each and each not in rows), None)
    for text, reference in found.items():
        if not reference.steps and text in meanings:
            facts.objects[reference.text] = jsontext.read_leniently(meanings.pop(text).decode())
    left = MAX_BYTES

    def put(match: re.Match[bytes]) -> bytes:
        nonlocal left
        meaning = meanings.get(match[0], match[0])
        if meaning is match[0] or len(meaning) > left:
            return match[0]
        left -= len(meaning)
        return meaning

    _change(facts, put)


def _references(place: Place, facts: PredictionFacts) -> Iterator[tuple[bytes, Reference]]:
    """Yield the references to objects and parts of what is in a project, each with its JSON."""
    project_id = f"{place.entity}/{place.project}"
    fields = (_TEXT.finditer(memoryview(each.parts[name])) for each, name in _fields(facts))
    feedback = (_TEXT.finditer(memoryview(_payload(each))) for each in facts.feedback)
    for match in chain.from_iterable(chain(fields, feedback)):
        try:
            reference = parse_reference(jsontext.read_leniently(match[0].decode()))
        except InvalidParameter:
            continue
        is_wanted = reference.steps or _WHOLE_OBJECT.fullmatch(reference.text)
        if is_wanted and reference.project_id == project_id:
            yield match[0], reference


def _payload(feedback: Feedback) -> msgspec.Raw:
    """Return what feedback says, without the references of the scorer and its call beside it."""
    return read_object(feedback.body_json).parts.get("payload", NULL)


def _fields(facts: PredictionFacts) -> Iterator[tuple[LazyObject, str]]:
    """Yield the objects and the names of their fields in which references are replaced."""
    if facts.call.inputs.has("example") and not facts.row_digest:
        yield facts.call.inputs, "example"
    for call in (facts.call, *facts.children):
        if call.fields.has("output"):
            yield call.fields, "output"


def _change(facts: PredictionFacts, put: _Change) -> None:
    for each, name in _fields(facts):
        each.replace(name, msgspec.Raw(_TEXT.sub(put, memoryview(each.parts[name]))))
    facts.meant_feedback = [
        replace(each, body_json=_TEXT.sub(put, each.body_json.encode()).decode())
        for each in facts.feedback
    ]


def _read_meanings(
    store: Store, place: Place, facts: PredictionFacts, references: Mapping[bytes, Reference]
) -> tuple[dict[bytes, bytes], set[str]]:
    """Return what references mean, by their JSON, and the digests of the rows that are there."""
    wanted: dict[tuple[bool, str], list[bytes]] = defaultdict(list)
    for text, reference in references.items():
        wanted[_source(reference)].append(text)
    meanings: dict[bytes, bytes] = {}
    rows, left = set(), MAX_BYTES
    for source, value_json in _read_sources(store, place, facts, list(wanted)):
        if source[0]:
            rows.add(source[1])
        value = jsontext.read_leniently(value_json)
        for text in wanted[source]:
            meaning = _part(value, references[text])
            if meaning is not None and len(meaning) <= left:
                left -= len(meaning)
                meanings[text] = meaning
    return meanings, rows


def _source(reference: Reference) -> tuple[bool, str]:
    """Return whether a reference leads to a row, and the row's digest or the id of the object."""
    if reference.row_digest:
        return True, reference.row_digest
    return False, document_id(reference.object_id, reference.digest)


def _read_sources(
    store: Store, place: Place, facts: PredictionFacts, wanted: list[tuple[bool, str]]
) -> Iterator[tuple[tuple[bool, str], str]]:
    """Yield the rows and objects that are there as JSON text; one page at a time is in memory."""
    own = facts.row_digest if facts.row_json else None
    if own and facts.row_json and (True, own) in wanted:
        yield (True, own), facts.row_json
    digests = [name for is_row, name in wanted if is_row and name != own]
    for digest, text in find_rows(store, place, digests):
        yield (True, digest), text
    ids = [name for is_row, name in wanted if not is_row]
    for version in store.find_documents(ObjectVersion, place.entity, place.project, ids):
        if version.deleted_at is None:
            yield (False, version.id), version.value_json


def _part(value: Any, reference: Reference) -> bytes | None:
    """Return the JSON of the part of a row or object that a reference leads to, if it is there."""
    try:
        for step in reference.last_steps:
            value = step_into(value, *step)
    except NOT_THERE:
        return None
    return jsontext.write(value).encode()
