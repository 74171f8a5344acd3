"""The ids of examples, by which predictions of several runs belong together."""

from __future__ import annotations

import base64
import hashlib
import json
from typing import Any


def example_key(example_id: str | None, inputs: dict[str, Any]) -> str | None:
    """Return the given id of an example, otherwise the digest of its inputs; None without any."""
    if example_id is not None:
        return example_id
    return row_digest(inputs) if inputs else None


def row_digest(row: Any) -> str:
    """Return the digest of a row of a dataset, as Weave computes it."""
    return digest_text(json.dumps(row, sort_keys=True).encode())


def digest_text(data: bytes) -> str:
    """Return the SHA-256 of some bytes in letters and digits, as Weave writes it."""
    text = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).decode().rstrip("=")
    return text.replace("-", "X").replace("_", "Y")
