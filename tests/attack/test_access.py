"""The access matrix: every route and method, called with every kind of key in every project."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address
from itertools import count, product

import pytest
from flask import Flask

from app.services.keys import create_key, revoke_key
from app.stores import open_store
from app.stores.base import Store
from tests.attack.access import COVERS, DOCUMENTS, EMPTY, PROJECTS, ROLES, ROWS, SCOPES, SCORE, Row
from tests.processes import Answer, Service

pytestmark = pytest.mark.attack

UNKNOWN_SCORE = "01990000-0000-7000-8000-000000000000"
_addresses = count(int(IPv4Address("10.0.0.0")))


@dataclass(frozen=True)
class Caller:
    """A caller with a key or without; the key of a stranger is not valid."""

    name: str
    key: str | None
    role: str = ""
    scope: str = ""


@dataclass(frozen=True)
class World:
    """A running service and all callers."""

    service: Service
    callers: list[Caller]

    def fill(self) -> dict[str, str]:
        """Store a score, a prediction and a run in each project that must not stay empty.

        Returns the ids of the scores by project.
        """
        for project, name in PROJECTS.items():
            for kind, body in DOCUMENTS.items():
                if project not in EMPTY:  # What is there already is refused.
                    self.service.post(f"/v2/{name}/{kind}", body)
        return {
            project: self.service.post(f"/v2/{name}/scores", SCORE).json["score_id"]
            for project, name in PROJECTS.items()
            if project not in EMPTY
        }

    def everything(self) -> list[bytes]:
        """Return all scores, predictions and runs of all projects."""
        return [
            self.service.send("GET", f"/v2/{name}/{kind}").body
            for name in PROJECTS.values()
            for kind in ("scores", *DOCUMENTS)
        ]


@dataclass(frozen=True)
class Call:
    """A call by a caller in a project, and the expected status."""

    method: str
    route: str
    row: Row
    caller: Caller
    project: str

    @property
    def status(self) -> int:
        """The expected status."""
        row, caller = self.row, self.caller
        if not caller.role:
            return row.stranger
        if row.stranger == 200:
            return row.status
        of_project = row.empty is not None
        in_scope = (
            self.project in COVERS[caller.scope] if of_project else caller.scope in row.scopes
        )
        if caller.role not in row.roles or not in_scope:
            return 403
        return row.empty if row.empty is not None and self.project in EMPTY else row.status

    def wrong(self, service: Service, score_ids: dict[str, str]) -> str | None:
        """Make the call; return a message if the response is not the expected one."""
        answer = self._send(service, score_ids)
        refusal = self._refusal(answer)  # It must say nothing else.
        if answer.status == self.status and answer.body in (refusal, b""):
            return None
        who = f"{self.method} {self.route} by {self.caller.name} in the project {self.project}"
        return f"{who}: {answer.status}, not {self.status}: {answer.body!r}"

    def _refusal(self, answer: Answer) -> bytes:
        """Return the expected body of a 401 or 403, which depends on the key alone."""
        row, caller = self.row, self.caller
        if answer.status == 401:
            return b'{"detail":"Not authenticated"}'
        if answer.status != 403:
            return answer.body
        reason = f"the scope of this key is {caller.scope}, which does not include the project"
        if caller.role not in row.roles:
            roles = " or ".join(role for role in ROLES if role in row.roles)
            reason = f"this needs a key with the role {roles}, not {caller.role}"
        elif row.empty is None:
            reason = f"this needs a key with the scope *, not {caller.scope}"
        return json.dumps({"detail": "Forbidden", "reason": reason}, separators=(",", ":")).encode()

    def _send(self, service: Service, score_ids: dict[str, str]) -> Answer:
        entity, _, name = PROJECTS[self.project].partition("/")
        score_id = score_ids.get(self.project, UNKNOWN_SCORE)
        path = f"{self.route}?{self.row.query}" if self.row.query else self.route
        given = {"<entity>": entity, "<project>": name, "<score_id:score_id>": score_id}
        given["{project_id}"] = PROJECTS[self.project]
        for variable, value in {**given, "{score_id}": score_id, **self.row.names}.items():
            path = path.replace(variable, value)
        text = json.dumps(self.row.body).replace("{project_id}", PROJECTS[self.project])
        body = None if self.row.body is None else text.encode()
        # Use a new address for every call, because failures of an address are limited.
        headers = {"X-Forwarded-For": str(IPv4Address(next(_addresses)))}
        return service.send(self.method, path, body, headers, key=self.caller.key)


@pytest.fixture
def world(target: Service) -> World:
    """A service with a key for each caller."""
    store = open_store(target.environ["SCORELINE_STORE"])
    callers = list(_callers(store))
    store.close()
    return World(target, callers)


def _callers(store: Store) -> Iterator[Caller]:
    """Return strangers, and a caller of every role and scope."""
    yield Caller("no key", None)
    yield Caller("a wrong key", "sl_this-is-nobodys-key-0123456789abcdefghijk")
    revoked, secret = create_key(store, name="revoked", role="admin", scope="*")
    revoke_key(store, revoked.key_id)
    yield Caller("a revoked key", secret)
    for role, scope in product(ROLES, SCOPES):
        name = f"{role} of {scope}"
        yield Caller(name, create_key(store, name=name, role=role, scope=scope)[1], role, scope)


def routes(app: Flask) -> dict[tuple[str, str], tuple[str, str]]:
    """Yield every method of every route with its row; HEAD has the row of GET."""
    return {
        (method, rule.rule): ("GET" if method == "HEAD" else method, rule.rule)
        for rule in app.url_map.iter_rules()
        for method in rule.methods or ()
    }


def test_the_matrix_has_exactly_one_row_for_every_route(app: Flask) -> None:
    there = set(routes(app).values())
    missing, stale = sorted(there - set(ROWS)), sorted(set(ROWS) - there)
    assert not missing, f"tests/attack/access.py says nothing of {missing}: add a Row for each"
    assert not stale, f"tests/attack/access.py has rows of routes that are gone: {stale}"


def test_every_caller_gets_the_status_in_the_matrix(app: Flask, world: World) -> None:
    wrong = []
    for (method, route), row_name in routes(app).items():
        row = ROWS[row_name]
        projects = ["own"] if row.empty is None else list(PROJECTS)
        calls = [
            Call(method, route, row, caller, project)
            for caller, project in product(world.callers, projects)
        ]
        score_ids = world.fill()
        before = world.everything()
        refused = [call for call in calls if call.status >= 400]
        wrong += [call.wrong(world.service, score_ids) for call in refused]
        if world.everything() != before:
            wrong.append(f"a refused {method} {route} changed scores")
        allowed = [call for call in calls if call.status < 400]
        wrong += [call.wrong(world.service, score_ids) for call in allowed]
    found = [each for each in wrong if each]
    assert not found, "\n".join(found)
