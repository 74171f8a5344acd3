"""API keys in the MongoDB store."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from pymongo import ASCENDING
from pymongo.collection import Collection

from app.stores.model import ApiKey
from app.stores.mongo.documents import in_utc
from app.stores.mongo.driver import MongoPart, our_errors


class MongoKeys(MongoPart):
    """The part of the MongoDB store that keeps API keys."""

    _keys: Collection[dict[str, Any]]

    def add_key(self, key: ApiKey) -> None:
        self._prepare_once()
        with our_errors():
            self._keys.insert_one(key_document(key))

    def find_key(self, key_hash: str) -> ApiKey | None:
        with our_errors():
            found = self._keys.find_one({"key_hash": key_hash})
        return to_key(found) if found else None

    def list_keys(self, after: str = "", limit: int | None = None) -> list[ApiKey]:
        wanted = {"_id": {"$gt": after}}
        with our_errors():
            found = self._keys.find(wanted).sort("_id", ASCENDING).limit(limit or 0)
            return [to_key(document) for document in found]

    def count_keys(self, in_use_at: datetime | None = None) -> int:
        in_use = {
            "revoked_at": None,
            "$or": [{"expires_at": None}, {"expires_at": {"$gt": in_use_at}}],
        }
        with our_errors():
            return self._keys.count_documents(in_use if in_use_at else {})

    def revoke_key(self, key_id: str, revoked_at: datetime) -> bool:
        with our_errors():
            changed = self._keys.update_one(
                {"_id": key_id, "revoked_at": None}, {"$set": {"revoked_at": revoked_at}}
            )
        return changed.modified_count == 1

    def note_key_uses(self, uses: Mapping[str, datetime]) -> None:
        with our_errors():
            for key_id, moment in uses.items():
                self._keys.update_one({"_id": key_id}, {"$max": {"last_used_at": moment}})


def key_document(key: ApiKey) -> dict[str, Any]:
    """Return the document of an API key, without `last_used_at` if it was never used."""
    last_use = {"last_used_at": key.last_used_at} if key.last_used_at else {}
    return {
        "_id": key.key_id,
        "name": key.name,
        "role": key.role,
        "scope": key.scope,
        "owner": key.owner,
        "key_hash": key.key_hash,
        "created_at": key.created_at,
        "revoked_at": key.revoked_at,
        "expires_at": key.expires_at,
        "created_by": key.created_by,
        **last_use,
    }


def to_key(document: Mapping[str, Any]) -> ApiKey:
    """Return the API key in a document; one of an older release has fewer fields."""
    moments = {
        name: in_utc(document[name]) if document.get(name) else None
        for name in ("revoked_at", "expires_at", "last_used_at")
    }
    return ApiKey(
        key_id=document["_id"],
        name=document["name"],
        role=document["role"],
        scope=document["scope"],
        owner=document["owner"],
        key_hash=document["key_hash"],
        created_at=in_utc(document["created_at"]),
        created_by=document.get("created_by"),
        **moments,
    )
