"""Read JSON objects of which only the fields that are asked for are decoded."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from app import jsontext

NULL = msgspec.Raw(b"null")

Parts = Mapping[str, msgspec.Raw]
"""The fields of an object as JSON, by name."""


class LazyObject(Mapping[str, Any]):
    """An object in JSON. A field may have many megabytes, and is decoded when it is asked for."""

    def __init__(self, parts: Parts) -> None:
        self.parts = parts
        self._decoded: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        """Return a field, None if it is too deep to be read."""
        if name not in self._decoded:
            self._decoded[name] = jsontext.read_leniently(bytes(self.parts[name]).decode())
        return self._decoded[name]

    def __iter__(self) -> Iterator[str]:
        """Iterate over the names of the fields."""
        return iter(self.parts)

    def __len__(self) -> int:
        """Return how many fields there are."""
        return len(self.parts)

    def replace(self, name: str, part: msgspec.Raw) -> None:
        """Replace the field `name` with other JSON."""
        self.parts = {**self.parts, name: part}
        self._decoded.pop(name, None)

    def object(self, name: str) -> LazyObject:
        """Return the field `name` if it is an object, otherwise an empty one."""
        return read_object(self.parts.get(name, NULL))

    def text(self, name: str) -> str | None:
        """Return the field `name` if it is text."""
        text: str | None = self[name] if self._begins(name, b'"') else None
        return text

    def has(self, name: str) -> bool:
        """Return whether the field `name` is there and not null."""
        return not self._begins(name, b"null")

    def _begins(self, name: str, data: bytes) -> bool:
        return bytes(memoryview(self.parts.get(name, NULL))[: len(data)]) == data


def read_object(text: str | msgspec.Raw) -> LazyObject:
    """Return the object in a text that is known to be JSON, empty if it is something else.

    Lone surrogates, NaN and great depth are only read as a whole, because msgspec refuses them.
    """
    try:
        return LazyObject(msgspec.json.decode(text, type=dict[str, msgspec.Raw]))
    except msgspec.ValidationError:
        return LazyObject({})
    except (msgspec.DecodeError, RecursionError):
        whole = text if isinstance(text, str) else bytes(text).decode()
        found = jsontext.read_leniently(whole)
        fields = found.items() if isinstance(found, dict) else ()
        return LazyObject(
            {name: msgspec.Raw(jsontext.write(value).encode()) for name, value in fields}
        )
