"""Give the predictions of earlier releases the keys of their examples."""

from __future__ import annotations

import json
import logging
import time
from typing import Any

from pymongo import ASCENDING, UpdateOne
from pymongo.collection import Collection

from app.errors import StoreUnavailable
from app.examples import example_key
from app.stores.mongo.driver import read_page

log = logging.getLogger("scoreline.store")

Documents = Collection[dict[str, Any]]

AFTER = "example_keys_after"
"""The field of the schema's state with the `_id` up to which all predictions have their key."""

PAGE = 500
REPORT = 100_000


def set_example_keys(meta: Documents, predictions: Documents, seconds: float) -> None:
    """Set `example_key` of every prediction, page by page. Raises StoreUnavailable after `seconds`.

    It continues where an earlier call ended, of this process or another.
    """
    deadline = time.monotonic() + seconds
    after, done = (meta.find_one({"_id": "schema"}) or {}).get(AFTER, ""), 0
    while page := _page(predictions, after):
        if done % REPORT < PAGE:
            log.warning("migrating the store: %d predictions, after the id %r", done, after)
        if updates := [update for each in page if (update := _update(each))]:
            predictions.bulk_write(updates, ordered=False)
        after, done = page[-1]["_id"], done + len(page)
        meta.update_one({"_id": "schema"}, {"$max": {AFTER: after}}, upsert=True)
        if time.monotonic() > deadline:
            raise StoreUnavailable(f"the store is being migrated; done up to the id {after!r}")


def _page(predictions: Documents, after: str) -> list[dict[str, Any]]:
    fields = dict.fromkeys(["entity", "project", "evaluation_run_id", "example_id", "id"], 1)
    found = predictions.find({"_id": {"$gt": after}}, {**fields, "inputs_json": 1})
    documents, _ = read_page(found.sort("_id", ASCENDING), PAGE)
    return documents


def _update(prediction: dict[str, Any]) -> UpdateOne | None:
    """Return the update that sets the key, None if there is none to set."""
    key = example_key(prediction.get("example_id"), json.loads(prediction["inputs_json"]))
    if key is None:
        return None
    names = ("_id", "entity", "project", "evaluation_run_id", "id")
    wanted = {name: prediction.get(name) for name in names}
    return UpdateOne(wanted, {"$set": {"example_key": key}})
