"""Keep the versions of named objects, and find them by digest, number, `latest` or alias."""

from __future__ import annotations

from bisect import insort
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from operator import attrgetter
from typing import Any, NamedTuple

from app import jsontext
from app.errors import Deleted, NotFound
from app.examples import row_digest
from app.ids import id_time
from app.stores.base import DocumentQuery, Kept, Store
from app.stores.weave import Alias, ObjectVersion, without_value
from app.weave.contents import Place

LATEST = "latest"

PAGE = 100
"""How many versions are read with their values at a time."""

_FIELDS = (
    *("object_id", "digest", "kind", "base_class", "leaf_class", "tags_json"),
    *("published_by", "deleted_at", "published_at", "wb_user_id"),
)


class Version(NamedTuple):
    """One version of an object, without its value."""

    object_id: str
    digest: str
    kind: str
    base_class: str | None
    leaf_class: str | None
    published_by: str | None
    deleted_at: str | None
    created_at: datetime
    number: int
    """How many versions were created before it."""
    is_latest: bool
    tags: Sequence[str]
    named: Sequence[str]
    """Its aliases, apart from `latest`."""

    @property
    def aliases(self) -> list[str]:
        """All its aliases."""
        return [LATEST] * self.is_latest + list(self.named)

    @property
    def id(self) -> str:
        """The id of the stored document."""
        return document_id(self.object_id, self.digest)

    def has(self, digest: str) -> bool:
        """Return whether this is what `digest` names: a digest, a number as in `v0` or an alias."""
        return digest in (self.digest, f"v{self.number}", *self.aliases)


class Found(NamedTuple):
    """A version with its value as JSON text."""

    version: Version
    value_json: str
    wb_user_id: str | None


def document_id(object_id: str, digest: str) -> str:
    """Return the id of the document of a version."""
    return f"{object_id}:{digest}"


def alias_id(object_id: str, name: str) -> str:
    """Return the id of the document of an alias."""
    return jsontext.write([object_id, name])


def add_object(store: Store, place: Place, object_id: str, value: Any) -> str:
    """Store a version of an object, or make a stored one the latest, and return its digest.

    A key that may not change what others wrote only puts it in place of a latest one of its owner.
    """
    digest = row_digest(value)
    now = datetime.now(UTC)
    base_class, leaf_class = classes_of(value)
    sent = ObjectVersion(
        entity=place.entity,
        project=place.project,
        wb_user_id=place.owner,
        id=document_id(object_id, digest),
        body_hash=now.isoformat(),
        object_id=object_id,
        digest=digest,
        kind="op" if is_op(value) else "object",
        base_class=base_class,
        leaf_class=leaf_class,
        published_at=now,
        value_json=jsontext.write(value),
    )
    (outcome,) = store.add_documents([sent])
    if outcome.kept is not Kept.CREATED and _is_to_publish(store, place, object_id, digest):
        store.upsert_documents([sent], _publish_again)
    return digest


def _is_to_publish(store: Store, place: Place, object_id: str, digest: str) -> bool:
    """Return whether to publish a stored version again: it was deleted, or is to be the latest."""
    versions = list_versions(store, place, [object_id])
    stored = next((each for each in versions if each.digest == digest), None)
    latest = next((each for each in versions if each.is_latest), None)
    if stored is None or stored.deleted_at is not None or latest is None:
        return True
    return stored is not latest and (place.may_change or latest.published_by == place.owner)


def _publish_again(stored: ObjectVersion, sent: ObjectVersion) -> ObjectVersion:
    return replace(
        stored,
        body_hash=sent.body_hash,
        published_at=sent.published_at,
        published_by=sent.wb_user_id,
        deleted_at=None,
        value_json=sent.value_json,
    )


def is_op(value: Any) -> bool:
    """Return whether a value is the code of a function."""
    if not isinstance(value, dict):
        return False
    kind = value.get("weave_type")
    return "_type" in value and isinstance(kind, dict) and kind.get("type") == "Op"


def classes_of(value: Any) -> tuple[str | None, str | None]:
    """Return the names of the class below `Object` and `BaseModel` and of the class of a value."""
    if not isinstance(value, dict):
        return None, None
    bases, name = value.get("_bases"), value.get("_class_name")
    if not isinstance(bases, list) or not isinstance(name, str):
        return None, None
    if bases[-2:] not in (["Object", "BaseModel"], ["BaseObject", "BaseModel"]):
        return None, None
    base = str(bases[-3]) if len(bases) > 2 else name
    return jsontext.without_surrogates(base), jsontext.without_surrogates(name)


def list_versions(
    store: Store, place: Place, object_ids: Sequence[str] | None = None
) -> list[Version]:
    """Return the versions of some objects or of all, also deleted ones, in order of creation."""
    filters = {} if object_ids is None else {"object_id": object_ids}
    query = DocumentQuery(place.entity, place.project, filters=filters)
    rows = [row for page in store.read_fields(ObjectVersion, query, _FIELDS) for row in page]
    named = _names_by_digest(store, query)
    latest: dict[str, tuple[str, str]] = {}
    for sort_id, object_id, *_, deleted_at, published_at, _ in rows:
        if deleted_at is None:
            latest[object_id] = max(latest.get(object_id, ("", "")), (published_at, sort_id))
    counts: Counter[str] = Counter()
    versions = []
    for sort_id, object_id, digest, kind, base, leaf, tags, publisher, deleted_at, _, owner in rows:
        versions.append(
            Version(
                object_id,
                digest,
                kind,
                base,
                leaf,
                publisher or owner,
                deleted_at,
                created_at=id_time(sort_id),
                number=counts[object_id],
                is_latest=object_id in latest and latest[object_id][1] == sort_id,
                tags=jsontext.read(tags.encode()) if tags else (),
                named=named[object_id, digest],
            )
        )
        counts[object_id] += 1
    return versions


def _names_by_digest(store: Store, query: DocumentQuery) -> Mapping[tuple[str, str], list[str]]:
    """Return the aliases of objects by object and digest, sorted."""
    found: dict[tuple[str, str], list[str]] = defaultdict(list)
    for alias in store.read_documents(Alias, query):
        insort(found[alias.object_id, alias.digest], alias.name)
    return found


def query_versions(store: Store, place: Place, wanted: Mapping[str, Any]) -> list[Version]:
    """Return the versions that a loaded ObjectQueryBody asks for, in its order."""
    conditions = wanted["filter"] or {}
    found = [
        version
        for version in list_versions(store, place, conditions.get("object_ids") or None)
        if version.deleted_at is None and _matches(version, conditions)
    ]
    for term in reversed(wanted["sort_by"] or ()):
        found.sort(key=attrgetter(term["field"]), reverse=term["direction"] == "desc")
    first, limit = wanted["offset"] or 0, wanted["limit"]
    return found[first:] if limit is None else found[first : first + limit]


def _matches(version: Version, conditions: Mapping[str, Any]) -> bool:
    """Return whether a version passes a loaded ObjectFilter."""
    given = {name: each for name, each in conditions.items() if each}
    labels = {name: frozenset(given.get(name, ())) for name in ("tags", "aliases")}
    is_op = conditions.get("is_op")
    return (
        (is_op is None or is_op == (version.kind == "op"))
        and (version.is_latest or "latest_only" not in given)
        and version.base_class in given.get("base_object_classes", [version.base_class])
        and version.base_class not in given.get("exclude_base_object_classes", ())
        and version.leaf_class in given.get("leaf_object_classes", [version.leaf_class])
        and not (labels["tags"] and labels["tags"].isdisjoint(version.tags))
        and not (labels["aliases"] and labels["aliases"].isdisjoint(version.aliases))
    )


def find_version(store: Store, place: Place, object_id: str, digest: str) -> Version:
    """Return the version of an object that `digest` names. Raises NotFound."""
    version = _named(list_versions(store, place, [object_id]), digest)
    if version is None:
        raise NotFound(f"Obj {object_id}:{digest} not found")
    if version.deleted_at is not None:
        message = f"{object_id}:v{version.number} was deleted at {version.deleted_at}"
        raise Deleted(message, deleted_at=version.deleted_at)
    return version


def _named(versions: Sequence[Version], digest: str) -> Version | None:
    """Return the version that `digest` names; no alias hides a digest."""
    exact = (version for version in versions if version.digest == digest)
    return next(exact, next((version for version in versions if version.has(digest)), None))


def read_version(store: Store, place: Place, object_id: str, digest: str) -> Found:
    """Return the version of an object that `digest` names, with its value. Raises NotFound."""
    version = find_version(store, place, object_id, digest)
    for found in read_values(store, place, [version]):
        return found
    raise NotFound(f"Obj {object_id}:{digest} not found")


def read_values(store: Store, place: Place, versions: Sequence[Version]) -> Iterator[Found]:
    """Yield versions with their values, in the order given; those that are gone are left out."""
    for first in range(0, len(versions), PAGE):
        page = versions[first : first + PAGE]
        found = _read(store, place, page)
        for version in page:
            if stored := found.get(version.id):
                yield Found(version, stored.value_json, stored.wb_user_id)


def _read(store: Store, place: Place, versions: Sequence[Version]) -> Mapping[str, ObjectVersion]:
    ids = [version.id for version in versions]
    found = store.find_documents(ObjectVersion, place.entity, place.project, ids)
    return {each.id: each for each in found}


def delete_versions(
    store: Store, place: Place, object_id: str, digests: Sequence[str] | None
) -> list[Version]:
    """Delete some versions of an object or all, and return them. Raises NotFound."""
    live = [each for each in list_versions(store, place, [object_id]) if each.deleted_at is None]
    named = {digest: _named(live, digest) for digest in digests or ()}
    for digest, found in named.items():
        if found is None:
            raise NotFound(f"Obj {object_id}:{digest} not found")
    wanted = [version for version in live if not named or version in named.values()]
    if not wanted:
        raise NotFound(f"Obj {object_id} not found")
    now = datetime.now(UTC)
    for first in range(0, len(wanted), PAGE):
        stored = _read(store, place, wanted[first : first + PAGE])
        store.upsert_documents(list(stored.values()), lambda each, _sent: without_value(each, now))
    for version in wanted:
        ids = [alias_id(object_id, name) for name in version.named]
        store.delete_documents(Alias, place.entity, place.project, ids)
    return wanted
