"""Print how many bytes a score takes in MongoDB: its document, and its entry in each index.

The documents are encoded as BSON. The indexes are made in SQLite on the same fields, whose pages
are counted; MongoDB stores neighbouring keys with their common beginning once, and compresses
documents, so it needs less. Run as `python -m benchmarks.mongodb_sizes`.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import bson
import mongomock
from pymongo.collection import Collection

from app.ids import id_time, new_id
from app.stores.model import Score
from app.stores.mongo.documents import Index, score_document
from app.stores.mongo.schema import INDEXES
from app.stores.mongo.unique_keys import UNIQUE_KEYS, idempotency_keys

SCORES = 300_000
PROJECTS = 5
RUN = 4_000
"""How many scores a run has, by four scorers."""

Documents = Sequence[Mapping[str, Any]]


def main() -> None:
    """Print the sizes for scores and for their idempotency keys."""
    scores: Collection[dict[str, Any]] = mongomock.MongoClient()["x"]["scores"]
    documents = [score_document(score) for score in _scores()]
    report("scores", documents)
    keys = idempotency_keys(scores, [{**each, "idempotency_key": new_id()} for each in documents])
    report(UNIQUE_KEYS, [{"_id": bson.ObjectId(), **each} for each in keys])


def _scores() -> Iterator[Score]:
    run_id = prediction_id = ""
    for number in range(SCORES):
        run_id = run_id if number % RUN else new_id()
        prediction_id = prediction_id if number % 4 else new_id()
        score_id, name = new_id(), f"exact_match_{number % 4}"
        yield Score(
            score_id=score_id,
            entity="acme",
            project=f"project-{number // RUN % PROJECTS}",
            evaluation_run_id=run_id,
            prediction_id=prediction_id,
            scorer=f"weave:///acme/demo/object/{name}:{'d' * 43}",
            scorer_name=name,
            value_json='"' + "x" * 98 + '"',
            leaves=[{"path": "", "kind": "text", "text": "x" * 98}],
            wb_user_id="olga",
            created_at=id_time(score_id),
            idempotency_key=None,
            body_hash="0" * 64,
            retry_hash="0" * 64,
        )


def report(name: str, documents: Documents) -> None:
    """Print the bytes of a document of a collection, and of its index entries."""
    sizes = {"document": sum(len(bson.encode(each)) for each in documents)}
    # A partial index, of what is in parts, has none of these.
    whole = [index for index in INDEXES[name] if "partialFilterExpression" not in index.options]
    for index in (Index("_id", ("_id",)), *whole):
        sizes[index.name] = _index_bytes(index, documents)
    for what, size in {**sizes, "together": sum(sizes.values())}.items():
        print(f"{name:12} {what:22} {size / len(documents):7.0f}")


def _index_bytes(index: Index, documents: Documents) -> int:
    """Return the bytes of the pages of an index in SQLite."""
    columns = ", ".join(index.fields)
    rows = ([str(each.get(field) or "") for field in index.fields] for each in documents)
    with sqlite3.connect(":memory:") as connection:
        connection.execute(f"CREATE TABLE documents ({columns})")
        connection.execute(f"CREATE INDEX wanted ON documents ({columns})")
        marks = ", ".join("?" for _ in index.fields)
        connection.executemany(f"INSERT INTO documents VALUES ({marks})", rows)
        counted = connection.execute("SELECT sum(pgsize) FROM dbstat WHERE name = 'wanted'")
        return int(counted.fetchone()[0])


if __name__ == "__main__":
    main()
