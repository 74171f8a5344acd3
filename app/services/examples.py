"""Examples: by what predictions of several runs belong together."""

from __future__ import annotations

import base64
import hashlib
import json
from typing import Any

from app.stores.base import Prediction


def example_id(prediction: Prediction) -> str:
    """Return the id of a prediction's example, which is the same in every run.

    It is the given one, otherwise the digest of the inputs if there are any, otherwise the
    prediction's id.
    """
    if prediction.example_id is not None:
        return prediction.example_id
    inputs = json.loads(prediction.inputs_json)
    return row_digest(inputs) if inputs else prediction.id


def row_digest(row: dict[str, Any]) -> str:
    """Return the digest of a row of a dataset, as Weave computes it."""
    digest = hashlib.sha256(json.dumps(row, sort_keys=True).encode()).digest()
    text = base64.urlsafe_b64encode(digest).decode().rstrip("=")
    return text.replace("-", "X").replace("_", "Y")
