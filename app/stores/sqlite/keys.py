"""API keys in the embedded store."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from app.ids import utc_text
from app.stores.model import ApiKey
from app.stores.sqlite.connections import SqlitePart
from app.stores.sqlite.rows import Row, checksum, damaged, is_sound

_COLUMNS = """
    _id, name, role, scope, owner, key_hash, created_at, checksum, revoked_at, expires_at,
    last_used_at, created_by
"""
_INSERT = f"""
    INSERT INTO api_keys ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""
_SELECT = f"SELECT {_COLUMNS} FROM api_keys"
_NOTE_USE = """
    UPDATE api_keys SET last_used_at = max(ifnull(last_used_at, ''), ?) WHERE _id = ?
"""


class SqliteKeys(SqlitePart):
    """The part of the embedded store that keeps API keys."""

    def add_key(self, key: ApiKey) -> None:
        with self._db().transaction() as connection:
            connection.execute(_INSERT, _row(key))

    def find_key(self, key_hash: str) -> ApiKey | None:
        found = self._db().read_one(f"{_SELECT} WHERE key_hash = ?", key_hash)
        return _to_key(found) if found else None

    def list_keys(self, after: str = "", limit: int | None = None) -> list[ApiKey]:
        statement = f"{_SELECT} WHERE _id > ? ORDER BY _id LIMIT ?"
        max_rows = -1 if limit is None else limit
        return [_to_key(row) for row in self._db().read_all(statement, (after, max_rows))]

    def count_keys(self, in_use_at: datetime | None = None) -> int:
        statement, values = "SELECT count(*) FROM api_keys", []
        if in_use_at is not None:
            statement += " WHERE revoked_at IS NULL AND (expires_at IS NULL OR expires_at > ?)"
            values = [utc_text(in_use_at)]
        ((count,),) = self._db().read_all(statement, values)
        return int(count)

    def revoke_key(self, key_id: str, revoked_at: datetime) -> bool:
        with self._db().transaction() as connection:
            changed = connection.execute(
                "UPDATE api_keys SET revoked_at = ? WHERE _id = ? AND revoked_at IS NULL",
                (utc_text(revoked_at), key_id),
            )
            return changed.rowcount == 1

    def note_key_uses(self, uses: Mapping[str, datetime]) -> None:
        rows = [(utc_text(moment), key_id) for key_id, moment in uses.items()]
        with self._db().transaction() as connection:
            connection.executemany(_NOTE_USE, rows)


def _row(key: ApiKey) -> Row:
    """Return the values for _INSERT."""
    fields = (key.key_id, key.name, key.role, key.scope, key.owner, key.key_hash)
    values = (*fields, utc_text(key.created_at))
    times = (key.revoked_at, key.expires_at, key.last_used_at)
    revoked_at, expires_at, last_used_at = (utc_text(each) if each else None for each in times)
    expected = checksum(_checked_of_key(values, expires_at, key.created_by))
    return (*values, expected, revoked_at, expires_at, last_used_at, key.created_by)


def _checked_of_key(values: Row, expires_at: str | None, created_by: str | None) -> Row:
    """Return the values that a key's checksum covers, which never change.

    In keys of earlier versions, it covers neither expiry nor creator.
    """
    if created_by:
        return (*values, expires_at, created_by)
    return (*values, expires_at) if expires_at else values


def _to_key(row: Row) -> ApiKey:
    """Return the API key of a row of _SELECT. Raises StoreDamaged."""
    values, (expected, revoked_at, expires_at, last_used_at, created_by) = row[:7], row[7:]
    if not is_sound(_checked_of_key(values, expires_at, created_by), expected):
        raise damaged(row[0])
    times = (values[6], revoked_at, expires_at, last_used_at)
    try:
        found = [each if each is None else datetime.fromisoformat(each) for each in times]
    except (TypeError, ValueError) as error:
        raise damaged(row[0]) from error
    return ApiKey(*(*values[:6], *found, created_by))
