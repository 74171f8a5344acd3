"""Give versions of objects tags and aliases, and take them away."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime

from app import jsontext
from app.errors import InvalidParameter, NotFound
from app.stores.base import Store
from app.stores.weave import Alias, ObjectVersion
from app.weave.contents import Place
from app.weave.versions import alias_id, find_version, list_versions

MAX_TAGS = 1_000
"""How many tags a version may have."""


def add_tags(
    store: Store, place: Place, object_id: str, digest: str, tags: Collection[str]
) -> None:
    """Add tags to a version of an object. Raises NotFound and InvalidParameter."""
    _change_tags(store, place, object_id, digest, lambda before: before | set(tags))


def remove_tags(
    store: Store, place: Place, object_id: str, digest: str, tags: Collection[str]
) -> None:
    """Remove those tags that a version of an object has. Raises NotFound."""
    _change_tags(store, place, object_id, digest, lambda before: before - set(tags))


def _change_tags(
    store: Store,
    place: Place,
    object_id: str,
    digest: str,
    change: Callable[[set[str]], set[str]],
) -> None:
    version = find_version(store, place, object_id, digest)
    now = datetime.now(UTC)

    def merge(stored: ObjectVersion, _sent: ObjectVersion) -> ObjectVersion:
        if stored.deleted_at is not None:
            raise NotFound(f"Obj {object_id}:{digest} not found")
        before = set(jsontext.read(stored.tags_json.encode())) if stored.tags_json else set()
        after = sorted(change(before))
        if len(after) > MAX_TAGS:
            message = f"a version has at most {MAX_TAGS} tags"
            raise InvalidParameter("tags", None, message, place="body")
        tags_json = jsontext.write(after) if after else None
        if tags_json == stored.tags_json:
            return stored
        return replace(stored, body_hash=now.isoformat(), tags_json=tags_json)

    found = store.find_documents(ObjectVersion, place.entity, place.project, [version.id])
    store.upsert_documents(list(found), merge)


def set_aliases(
    store: Store, place: Place, object_id: str, digest: str, names: Iterable[str]
) -> None:
    """Give aliases to a version of an object; another version loses them. Raises NotFound."""
    version = find_version(store, place, object_id, digest)
    now = datetime.now(UTC)
    sent = [
        Alias(
            entity=place.entity,
            project=place.project,
            wb_user_id=place.owner,
            id=alias_id(object_id, name),
            body_hash=now.isoformat(),
            object_id=object_id,
            name=name,
            digest=version.digest,
        )
        for name in dict.fromkeys(names)
    ]
    store.upsert_documents(sent, _move)


def _move(stored: Alias, sent: Alias) -> Alias:
    if stored.digest == sent.digest:
        return stored
    return replace(stored, body_hash=sent.body_hash, digest=sent.digest)


def remove_aliases(store: Store, place: Place, object_id: str, names: Sequence[str]) -> None:
    """Remove those aliases that an object has."""
    ids = [alias_id(object_id, name) for name in names]
    store.delete_documents(Alias, place.entity, place.project, ids)


def list_tags(store: Store, place: Place) -> list[str]:
    """Return all tags in a project, sorted."""
    return sorted({tag for version in list_versions(store, place) for tag in version.tags})


def list_aliases(store: Store, place: Place) -> list[str]:
    """Return all aliases in a project, sorted; `latest` if there is an object."""
    return sorted({name for each in list_versions(store, place) for name in each.aliases})
