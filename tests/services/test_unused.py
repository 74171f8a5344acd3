"""Objects, tables, rows and files that nothing refers to are found and deleted."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from app.examples import digest_text
from app.ids import first_id_at
from app.services.keys import COMMAND_LINE
from app.services.unused import Unused, prune_unused
from app.stores.base import DocumentQuery, Store
from app.stores.weave import Alias, Call, Content, ObjectVersion

NOW = datetime(2026, 1, 2, tzinfo=UTC)
OLD, MOMENT = NOW - timedelta(days=100), NOW - timedelta(days=90)
PLACE: dict[str, Any] = {"entity": "acme", "project": "demo", "body_hash": ""}


def digest(name: str) -> str:
    return digest_text(name.encode())


def an_object(name: str, value_json: str = "{}", published_at: datetime = OLD) -> ObjectVersion:
    fields: dict[str, Any] = {"object_id": name, "digest": digest(name), "kind": "object"}
    return ObjectVersion(
        **PLACE, id=name, published_at=published_at, value_json=value_json, **fields
    )


def fill(store: Store) -> None:
    """Store a used dataset and an unused one, an op with its file, and a young object."""
    store.add_documents(
        [
            an_object("used", f'"weave:///acme/demo/table/{"a" * 64}"'),
            an_object("unused", f'"weave:///acme/demo/table/{"b" * 64}"'),
            an_object("young", f'{{"op": "weave:///acme/demo/op/f:{digest("op")}"}}', NOW),
            an_object("op", f'{{"files": {{"obj.py": "{digest("code")}"}}}}'),
            ObjectVersion(
                **{**PLACE, "id": "tagged", "published_at": OLD, "value_json": "{}"},
                object_id="t",
                digest=digest("t"),
                kind="object",
                tags_json="[1]",
            ),
            an_object("named"),
        ]
    )
    alias = {"object_id": "named", "name": "prod", "digest": digest("named")}
    store.add_documents([Alias(**PLACE, id="alias", **alias)])
    contents = {
        f"table/{'a' * 64}": f'["{digest("row")}"]',
        f"table/{'b' * 64}": f'["{digest("row")}", "{digest("lost row")}"]',
        f"row/{digest('row')}": f'{{"image": "{digest("image")}"}}',
        f"row/{digest('lost row')}": f'{{"image": "{digest("lost image")}"}}',
        **{f"file/{digest(name)}": "" for name in ("code", "image", "lost image")},
    }
    for number, (content_id, text) in enumerate(contents.items()):
        sort_id = f"{first_id_at(OLD)[:-2]}{number:02}"
        store.add_documents([Content(**PLACE, id=content_id, sort_id=sort_id, text=text)])
    inputs = f'{{"x": "weave:///acme/demo/object/used%3A{digest("used")}/attr/rows"}}'
    store.add_documents([Call(**PLACE, id="c", start_json=inputs)])


def left(store: Store) -> set[str]:
    """Return the ids of objects with a value and of contents."""
    query = DocumentQuery("acme", "demo")
    objects = {
        each.id for each in store.read_documents(ObjectVersion, query) if each.deleted_at is None
    }
    return objects | {each.id for each in store.read_documents(Content, query)}


UNUSED = {
    "unused",
    f"table/{'b' * 64}",
    f"row/{digest('lost row')}",
    f"file/{digest('lost image')}",
}


def prune(store: Store, *, delete: bool, moment: datetime = MOMENT) -> Unused:
    return prune_unused(store, "acme", "demo", moment, COMMAND_LINE, delete=delete)


def test_what_is_old_and_unused_is_deleted_and_all_else_is_kept(store: Store) -> None:
    fill(store)
    before = left(store)
    assert prune(store, delete=False) == Unused(1, 1, 1, 1)
    assert left(store) == before
    assert prune(store, delete=True) == Unused(1, 1, 1, 1)
    assert left(store) == before - UNUSED
    assert prune(store, delete=True) == Unused()


def test_what_is_younger_is_kept(store: Store) -> None:
    fill(store)
    assert prune(store, delete=True, moment=OLD) == Unused()
    assert left(store) >= UNUSED


def test_what_is_used_no_more_goes_with_the_next(store: Store) -> None:
    fill(store)
    store.delete_documents(Call, "acme", "demo", ["c"])
    found = prune(store, delete=True)
    assert found == Unused(objects=2, tables=2, rows=2, files=2)
    assert left(store) == {"young", "op", "tagged", "named", f"file/{digest('code')}"}
