"""Replace references in calls by the objects that they name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from app import jsontext
from app.errors import InvalidParameter, NotFound, TooLarge
from app.stores.base import Store
from app.weave.call_views import Shown
from app.weave.contents import Place
from app.weave.references import parse_reference, read_references

MAX_CACHED = 30
"""How many objects are held, so that calls with the same reference do not read it again."""

MAX_CHARACTERS = 1_000_000
"""How many characters an object may have to be put in place of its reference."""


class Expansion:
    """Columns whose references are replaced, such as `inputs.self`."""

    def __init__(self, store: Store, place: Place, columns: Sequence[str]) -> None:
        self._store = store
        self._place = place
        self._paths = sorted((column.split(".") for column in columns), key=len)
        self._cache: dict[str, Any] = {}

    def apply(self, shown: Shown) -> Shown:
        """Return a call with objects in place of references; others stay."""
        for path in self._paths:
            shown = self._replace(shown, path)
        return shown

    def _replace(self, value: Any, path: Sequence[str]) -> Any:
        """Return a copy of a value, in which the object is at the path."""
        if not path:
            return self._read(value)
        first, *rest = path
        if not isinstance(value, dict) or first not in value:
            return value
        return value | {first: self._replace(value[first], rest)}

    def _read(self, ref: Any) -> Any:
        if not isinstance(ref, str):
            return ref
        if ref not in self._cache:
            if len(self._cache) == MAX_CACHED:
                self._cache.clear()
            self._cache[ref] = self._find(ref)
        return self._cache[ref]

    def _find(self, ref: str) -> Any:
        project_id = f"{self._place.entity}/{self._place.project}"
        try:
            parsed = parse_reference(ref)
            if parsed.project_id != project_id:
                return ref
            places = {project_id: self._place}
            (text,) = read_references(self._store, places, [parsed], MAX_CHARACTERS)
        except (InvalidParameter, NotFound, TooLarge):
            return ref
        value = jsontext.read(text.encode())
        return {**value, "_ref": ref} if isinstance(value, dict) else value
