"""Tags and aliases of versions of objects."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import uuid4

import pytest

from tests.processes import Answer, Service
from tests.weave.test_reading import named, publish, read


@pytest.fixture
def project() -> str:
    """Return the name of a new project."""
    return f"p{uuid4().hex}"


def change(service: Service, method: str, path: str, project: str, **content: Any) -> Answer:
    body = json.dumps({"project_id": f"acme/{project}", **content})
    headers = {"Content-Type": "application/json"}
    return service.send(method, f"/objs/o/{path}", body.encode(), headers)


def tag(service: Service, project: str, version: str, *tags: str) -> Answer:
    return change(service, "PUT", f"versions/{version}/tags", project, tags=tags)


def alias(service: Service, project: str, version: str, *names: str) -> Answer:
    return change(service, "PUT", "aliases", project, digest=version, aliases=names)


def labels(service: Service, project: str, version: str) -> tuple[list[str], list[str]]:
    """Return the tags and the aliases of a version."""
    body = {"project_id": f"acme/{project}", "object_id": "o", "digest": version}
    found = service.post("/obj/read", {**body, "include_tags_and_aliases": True}).json["obj"]
    return found["tags"], found["aliases"]


def listed(service: Service, project: str, path: str) -> list[str]:
    """Return all tags or aliases in a project."""
    answer = service.send("GET", f"/{path}?project_id=acme/{project}")
    assert answer.status == 200
    found: list[str] = answer.json[path]
    return found


def test_a_version_has_tags_which_filter_lists(any_service: Service, project: str) -> None:
    first, second = (publish(any_service, project, "o", value) for value in "ab")
    assert tag(any_service, project, first, "golden", "a b", "golden").json == {}
    assert tag(any_service, project, second, "golden").json == {}
    assert labels(any_service, project, "v0") == (["a b", "golden"], [])
    assert named(any_service, project, filter={"tags": ["a b", "x"]}) == ["o:v0"]
    assert listed(any_service, project, "tags") == ["a b", "golden"]
    path = f"versions/{first}/tags/remove"
    assert change(any_service, "POST", path, project, tags=["a b", "never"]).json == {}
    assert labels(any_service, project, first) == (["golden"], [])
    assert listed(any_service, project, "tags") == ["golden"]


def test_an_alias_names_one_version_until_it_is_moved_or_removed(
    any_service: Service, project: str
) -> None:
    first, second = (publish(any_service, project, "o", value) for value in "ab")
    assert alias(any_service, project, first, "prod", "best ever").json == {}
    assert read(any_service, project, "o", "prod").json["obj"]["val"] == "a"
    reference = f"weave:///acme/{project}/object/o:best%20ever"
    assert any_service.post("/refs/read_batch", {"refs": [reference]}).json == {"vals": ["a"]}
    assert alias(any_service, project, second, "prod").json == {}
    assert read(any_service, project, "o", "prod").json["obj"]["val"] == "b"
    assert labels(any_service, project, first) == ([], ["best ever"])
    assert labels(any_service, project, second) == ([], ["latest", "prod"])
    assert named(any_service, project, filter={"aliases": ["prod"]}) == ["o:v1"]
    assert listed(any_service, project, "aliases") == ["best ever", "latest", "prod"]
    removed = change(any_service, "POST", "aliases/remove", project, aliases=["prod", "never"])
    assert removed.json == {}
    assert read(any_service, project, "o", "prod").status == 404
    assert listed(any_service, project, "aliases") == ["best ever", "latest"]


def test_a_deleted_version_has_no_tags_and_aliases_any_more(
    any_service: Service, project: str
) -> None:
    digest = publish(any_service, project, "o", "a")
    tag(any_service, project, digest, "golden")
    alias(any_service, project, digest, "prod")
    named_by_alias = {"project_id": f"acme/{project}", "object_id": "o", "digests": ["prod"]}
    assert any_service.post("/obj/delete", named_by_alias).json["num_deleted"] == 1
    assert tag(any_service, project, digest, "golden").status == 404
    assert alias(any_service, project, digest, "prod").status == 404
    assert publish(any_service, project, "o", "a") == digest
    assert labels(any_service, project, digest) == ([], ["latest"])
    assert listed(any_service, project, "tags") == []


@pytest.mark.parametrize("name", ["latest", "v1", "a/b", "a:b", " ", "", "x" * 129])
def test_an_alias_that_means_something_else_is_refused(
    service: Service, project: str, name: str
) -> None:
    publish(service, project, "o", "a")
    assert alias(service, project, "v0", name).status == 422
    assert labels(service, project, "v0") == ([], ["latest"])


@pytest.mark.parametrize("name", ["", " a", "a  b", "a/b", "x" * 257])
def test_a_tag_consists_of_words(service: Service, project: str, name: str) -> None:
    publish(service, project, "o", "a")
    answer = tag(service, project, "v0", "fine", name)
    assert answer.status == 422
    assert answer.json["detail"][0]["loc"] == ["body", "tags", 1]


def test_an_alias_that_is_a_digest_hides_no_version(service: Service, project: str) -> None:
    first, second = (publish(service, project, "o", value) for value in "ab")
    alias(service, project, first, second)
    assert read(service, project, "o", second).json["obj"]["val"] == "b"


def test_tags_that_are_added_at_once_are_all_there(any_service: Service, project: str) -> None:
    publish(any_service, project, "o", "a")
    with ThreadPoolExecutor(4) as pool:
        answers = pool.map(lambda n: tag(any_service, project, "v0", f"t{n}").status, range(8))
        assert set(answers) == {200}
    assert listed(any_service, project, "tags") == [f"t{number}" for number in range(8)]


def test_the_number_of_tags_is_bounded(service: Service, project: str) -> None:
    publish(service, project, "o", "a")
    assert tag(service, project, "v0", *(f"a{n}" for n in range(1_000))).status == 200
    assert tag(service, project, "v0", "one-more").status == 422
    assert tag(service, project, "v0", *(f"b{n}" for n in range(1_001))).status == 422
    assert len(listed(service, project, "tags")) == 1_000
