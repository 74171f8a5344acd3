"""Gather scores on the server by the shape of their values, so that a page of them is small.

The shape of a value is the kind and the path of each of its leaves. The scores of a page that have
the same shape, and the same fields that are asked for, come as one document, with a list of the
values of their leaves. So a path crosses the wire once for each shape, not once for each score.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from typing import Any

from app.errors import StoreDamaged
from app.stores.base import Tally
from app.stores.model import Leaf

Bson = Mapping[str, Any]

LARGE_BYTES = 8_000
"""A score with more bytes of value and prediction id stays a document of its own, because a page of
such scores in one document could be larger than MongoDB allows."""

IS_LARGE = {
    "$or": [
        {"$eq": ["$value_json", ""]},  # It is in parts.
        {"$gt": [{"$strLenBytes": {"$concat": ["$value_json", "$prediction_id"]}}, LARGE_BYTES]},
    ]
}

EXPRESSIONS: Mapping[str, Any] = {
    "annotator": {"$ifNull": ["$annotator", None]},
    "day": {"$dateToString": {"date": "$created_at", "format": "%Y-%m-%d"}},
    "hour": {"$dateToString": {"date": "$created_at", "format": "%Y-%m-%dT%H:00Z"}},
}
"""The expressions of the fields that a document may not have under the same name."""

NAME = {"$concat": ["$$leaf.kind", " ", "$$leaf.path"]}
VALUE = {"$ifNull": ["$$leaf.number", {"$ifNull": ["$$leaf.text", None]}]}
"""The expressions of a leaf in a shape, and of its value; an integer beyond a double is a text."""


def of_leaves(expression: Any) -> dict[str, Any]:
    """Return the expression for a list with the value of `expression` for each leaf."""
    return {"$map": {"input": "$leaves", "as": "leaf", "in": expression}}


def gathering(fields: Iterable[str]) -> dict[str, Any]:
    """Return the stage that gathers scores by shape and `fields`, with their prediction ids."""
    return {
        "$group": {
            "_id": {
                **{name: EXPRESSIONS.get(name, f"${name}") for name in fields},
                "shape": of_leaves(NAME),
                "large": {"$cond": [IS_LARGE, "$score_id", None]},
            },
            "scores": {"$sum": 1},
            "last_id": {"$max": "$score_id"},
            "prediction_ids": {"$push": "$prediction_id"},
            "values": {"$push": of_leaves(VALUE)},
        }
    }


def size(gathered: Bson) -> int:
    """Return about how many characters a document of `gathering` has, if they may be many."""
    by = gathered["_id"]
    values = gathered["values"][0] if by["large"] else ()
    texts = chain(by.values(), by["shape"] or (), gathered["prediction_ids"], values or ())
    return sum(len(text) for text in texts if isinstance(text, str))


def columns_of(gathered: Bson, fields: Sequence[str]) -> list[Sequence[str | None]]:
    """Return the values of each field of the scores in a document of `gathering`."""
    return [
        gathered["prediction_ids"]
        if name == "prediction_id"
        else [gathered["_id"][name]] * gathered["scores"]
        for name in fields
    ]


def tally_of(gathered: Bson, fields: Sequence[str]) -> Tally:
    """Return the tally of a document of `gathering`. Raises StoreDamaged."""
    by = gathered["_id"]
    leaves: list[Leaf] = []
    counts: list[int] = []
    try:
        for named, values in zip(by["shape"], zip(*gathered["values"], strict=True), strict=True):
            kind, _, path = named.partition(" ")
            if kind == "number":  # Few are equal, and 0.0 must not be counted as -0.0.
                leaves += [_leaf(path, kind, value) for value in values]
                counts += [1] * len(values)
            else:
                counted = Counter(values)
                leaves += [_leaf(path, kind, value) for value in counted]
                counts += counted.values()
    except (AttributeError, TypeError, ValueError) as error:
        raise StoreDamaged("leaves are not what was written") from error
    return Tally(tuple(by[name] for name in fields), gathered["scores"], leaves, counts)


def _leaf(path: str, kind: str, value: float | str | None) -> Leaf:
    if value is None:
        return {"path": path, "kind": kind}
    return {"path": path, "kind": kind, "text" if isinstance(value, str) else "number": value}
