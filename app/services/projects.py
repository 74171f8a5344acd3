"""List the projects that a key may read, with their counts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from app.ids import id_time
from app.services.lists import Page
from app.services.permissions import EVERYWHERE, covers
from app.stores.base import Store
from app.stores.model import ApiKey


@dataclass(frozen=True)
class Project:
    """A project; `first_id` is the lowest id of all that it holds."""

    entity: str
    project: str
    first_id: str

    @property
    def position(self) -> str:
        """The text by which projects are sorted; imports bring the same ids to other projects."""
        return f"{self.first_id}/{self.entity}/{self.project}"


def list_projects(store: Store, key: ApiKey, wanted: Mapping[str, Any]) -> Page[dict[str, Any]]:
    """Return a page of the projects that `key` may read, newest first.

    `wanted` is a loaded ProjectListQuery. Each project is counted when it is read from the page.
    """
    entity, after, limit = wanted["entity"], wanted["after"], wanted["limit"]
    found = [
        project
        for name in _entities(store, key.scope)
        if not entity or name == entity
        for project in _projects(store, name)
        if covers(key.scope, project.entity, project.project)
        and (after is None or project.position < after)
    ]
    found.sort(key=lambda project: project.position, reverse=True)
    page = found[:limit]
    return Page(_counted(store, page), page[-1].position if len(found) > limit else None)


def _entities(store: Store, scope: str) -> Sequence[str]:
    return store.list_entities() if scope == EVERYWHERE else [scope.partition("/")[0]]


def _projects(store: Store, entity: str) -> Iterator[Project]:
    for named in store.list_projects(entity):
        yield Project(entity, named.name, named.first_id)


def _counted(store: Store, projects: Sequence[Project]) -> Iterator[dict[str, Any]]:
    for each in projects:
        yield {
            "entity": each.entity,
            "project": each.project,
            "created_at": id_time(each.first_id),
            **asdict(store.count_project(each.entity, each.project)),
        }
