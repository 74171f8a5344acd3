"""Read `scoreline.toml`: the metrics and gates that a project declares in its repository."""

from __future__ import annotations

import json
import tomllib
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from app.cli.base import fail

FILE = "scoreline.toml"
TABLES = ("metric", "gate")
MAX_BYTES = 4 << 20


def read_tables(path: Path, name: str) -> list[dict[str, Any]]:
    """Return the `[[name]]` tables of a file as JSON objects; exit if it is not such a file."""
    content = _read(path)
    for key in content.keys() - set(TABLES):
        similar = get_close_matches(key, TABLES, 1)
        hint = f"; write [[{similar[0]}]]" if similar else f"; there is {' and '.join(TABLES)}"
        fail(f"{path}: unknown key {key!r}{hint}", 2)
    tables = content.get(name, [])
    if not isinstance(tables, list) or not all(isinstance(each, dict) for each in tables):
        fail(f"{path}: {name} must be a table that is written [[{name}]]", 2)
    for position, table in enumerate(tables):
        for key, value in table.items():
            _check_json(f"{path}: {place(name, position, table)}: {key}", value)
    return tables


def place(name: str, position: int, table: dict[str, Any]) -> str:
    """Return what names a table in messages: its number from 1, its scorer and its leaf."""
    names = [str(table[key]) for key in ("name", "scorer", "leaf") if table.get(key)]
    return f"[[{name}]] {position + 1}{f' ({chr(44).join(names)})' if names else ''}"


def _read(path: Path) -> dict[str, Any]:
    """Return what a TOML file has; exit if it is none, or too large."""
    try:
        with path.open("rb") as file:
            text = file.read(MAX_BYTES + 1)
    except OSError as error:
        fail(f"{path} cannot be read: {error.strerror}", 2)
    if len(text) > MAX_BYTES:
        fail(f"{path} has more than {MAX_BYTES >> 20} MB", 2)
    try:
        return tomllib.loads(text.decode("utf-8-sig").replace("\r\n", "\n"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        fail(f"{path} is not TOML: {error}", 2)


def _check_json(where: str, value: Any) -> None:
    """Exit if a value has no place in JSON, such as a date or `nan`."""
    try:
        json.dumps(value, allow_nan=False)
    except (TypeError, ValueError) as error:
        fail(f"{where}: {error}", 2)


def toml_text(text: str) -> str:
    """Return a text as TOML's basic string, which is JSON's except for one character."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
