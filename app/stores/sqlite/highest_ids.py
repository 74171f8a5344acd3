"""The highest id that a project ever had, above which new ones are made.

The ids of other projects do not matter: one of them may have copied ids that are far ahead.
"""

from __future__ import annotations

import sqlite3

from app import jsontext

OF_RUNS = ("scores", "predictions", "evaluation_runs")
"""The tables from which deleting a run removes rows."""

_IN_TABLE = "ifnull((SELECT max(_id) FROM {} WHERE entity = ?1 AND project = ?2), '')"
# Earlier versions noted one id for all projects.
_NOTED = "ifnull((SELECT max(value) FROM meta WHERE name IN ('highest_id', ?3)), '')"
_NOTE = "INSERT OR REPLACE INTO meta (name, value) VALUES (?, ?)"


def highest_id(connection: sqlite3.Connection, entity: str, project: str, *tables: str) -> str:
    """Return an id that is not lower than any that a project ever had in some tables.

    Deleted ones count, if they were noted. Returns "" if there is none.
    """
    found = ", ".join(_IN_TABLE.format(table) for table in tables)
    values = (entity, project, _name(entity, project))
    highest: str = connection.execute(f"SELECT max({found}, {_NOTED})", values).fetchone()[0]
    return highest


def note_highest_id(connection: sqlite3.Connection, entity: str, project: str, *tables: str) -> str:
    """Note and return the highest id of a project in some tables, before it may be deleted."""
    highest = highest_id(connection, entity, project, *tables)
    connection.execute(_NOTE, (_name(entity, project), highest))
    return highest


def _name(entity: str, project: str) -> str:
    return jsontext.write(["highest_id", entity, project])
