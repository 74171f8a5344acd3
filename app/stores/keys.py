"""The part of a store's contract that keeps API keys."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Protocol

from app.stores.model import ApiKey


class Keys(Protocol):
    """The API keys, revoked or not."""

    def add_key(self, key: ApiKey) -> None:
        """Add one API key. Raises Conflict if its id or hash exists."""

    def find_key(self, key_hash: str) -> ApiKey | None:
        """Return the API key with this hash, revoked or not, or None."""

    def list_keys(self, after: str = "", limit: int | None = None) -> list[ApiKey]:
        """Return API keys with ids above `after`, oldest first, at most `limit`, revoked or not."""

    def count_keys(self, in_use_at: datetime | None = None) -> int:
        """Return how many API keys there are, or how many are in use at `in_use_at`."""

    def revoke_key(self, key_id: str, revoked_at: datetime) -> bool:
        """Revoke an API key; return False if it does not exist or was revoked before."""

    def note_key_uses(self, uses: Mapping[str, datetime]) -> None:
        """Store when API keys were last used, by key id.

        A later time that is stored already is kept, and unknown ids are ignored.
        """
