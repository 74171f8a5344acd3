"""API keys over HTTP are created, listed and revoked by administrators in their scope."""

from __future__ import annotations

import http.client
import json
import re
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from flask import Flask

from app.stores import open_store
from tests.processes import ADMIN_KEY, Answer, Service, running

SCORE = {"prediction_id": "p", "scorer": "s", "value": 1}
KEYS = "/v1/keys"
SECONDS = 60.0


def create(service: Service, secret: str = "", **changes: Any) -> Answer:
    wanted = {"name": "n", "role": "create", "scope": "acme/*", **changes}
    return service.post(KEYS, wanted, key=secret)


def created(service: Service, secret: str = "", **changes: Any) -> dict[str, Any]:
    answer = create(service, secret, **changes)
    assert answer.status == 200, answer.body
    return dict(answer.json)


def listed(service: Service, secret: str = "") -> dict[str, dict[str, Any]]:
    answer = service.send("GET", KEYS, key=secret)
    assert answer.status == 200, answer.body
    return {key["key_id"]: key for key in answer.json["keys"]}


def revoke(service: Service, key_id: str, secret: str = "") -> Answer:
    return service.send("DELETE", f"{KEYS}/{key_id}", key=secret)


def send_score(service: Service, key: str, path: str = "/v2/acme/eval/scores") -> int:
    return service.post(path, SCORE, key=key).status


def wait_for(found: Callable[[], Any]) -> Any:
    """Repeat `found` until it returns something."""
    for _ in range(int(SECONDS / 0.05)):
        if result := found():
            return result
        threading.Event().wait(0.05)
    raise AssertionError("it never came")


def test_a_new_key_is_shown_once_and_works_immediately(any_service: Service) -> None:
    answer = create(any_service, name="ci", owner="olga", expires_at="2999-01-01T01:00:00+01:00")
    assert answer.status == 200
    assert answer.headers["Cache-Control"] == "no-store"
    key = answer.json
    assert re.fullmatch(r"sl_[A-Za-z0-9]{43}", key.pop("key"))
    assert re.fullmatch(r"2\d{3}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", key["created_at"])
    assert key == {
        "key_id": key["key_id"],
        "name": "ci",
        "role": "create",
        "scope": "acme/*",
        "owner": "olga",
        "created_at": key["created_at"],
        "created_by": "admin",
        "expires_at": "2999-01-01T00:00:00.000Z",
        "last_used_at": None,
        "revoked_at": None,
    }
    assert listed(any_service)[key["key_id"]] == key
    secret = answer.json["key"]
    assert send_score(any_service, secret) == 200
    assert send_score(any_service, secret, "/v2/other/eval/scores") == 403


def test_a_list_has_neither_keys_nor_their_hashes(any_service: Service) -> None:
    secret = created(any_service)["key"]
    store = open_store(any_service.environ["SCORELINE_STORE"])
    hashes = [key.key_hash for key in store.list_keys()]
    store.close()
    body = any_service.send("GET", KEYS).body.decode()
    assert hashes
    for word in (secret, any_service.key, "hash", *hashes):
        assert word not in body


def test_a_revoked_key_stays_listed_and_stops_working_within_a_second(any_service: Service) -> None:
    key = created(any_service)
    secret = key.pop("key")
    for _ in range(20):  # Every worker has seen the key.
        assert send_score(any_service, secret) == 200
    answer = revoke(any_service, key["key_id"])
    assert answer.status == 200
    revoked_at = answer.json["revoked_at"]
    assert revoked_at is not None
    threading.Event().wait(1.0)  # The promise is a second.
    assert [send_score(any_service, secret) for _ in range(20)] == [401] * 20
    assert listed(any_service)[key["key_id"]]["revoked_at"] == revoked_at
    again = revoke(any_service, key["key_id"])
    reason = f"no key {key['key_id']} is in use"
    assert (again.status, again.json) == (404, {"detail": "Not Found", "reason": reason})


@pytest.mark.parametrize(("role", "status"), [("create", 403), ("read", 403), ("write", 403)])
def test_only_administrators_may_manage_keys(service: Service, role: str, status: int) -> None:
    key = created(service, role=role, scope="*")
    for answer in (
        service.send("GET", KEYS, key=key["key"]),
        service.post(KEYS, {}, key=key["key"]),
        revoke(service, key["key_id"], key["key"]),
        revoke(service, "nobody", key["key"]),
    ):
        reason = f"this needs a key with the role admin, not {role}"
        assert (answer.status, answer.json) == (status, {"detail": "Forbidden", "reason": reason})
    for method in ("GET", "POST", "DELETE"):
        path = f"{KEYS}/x" if method == "DELETE" else KEYS
        assert service.send(method, path, b"{", key=None).status == 401
        assert service.send(method, path, b"{", key="sl_wrong").status == 401


def test_an_administrator_of_an_entity_manages_only_that_entity(any_service: Service) -> None:
    own, project, other, everywhere = (
        created(any_service, scope=scope, role="admin")
        for scope in ("keymine/*", "keymine/demo", "keytheirs/*", "*")
    )
    mine = own["key"]
    assert set(listed(any_service, mine)) == {own["key_id"], project["key_id"]}
    assert set(listed(any_service, project["key"])) == {project["key_id"]}
    assert set(listed(any_service, everywhere["key"])) == set(listed(any_service))
    for scope in ("*", "keytheirs/*", "keytheirs/demo", "keymin/*"):
        assert create(any_service, mine, scope=scope).status == 403
    for scope in ("keymine/*", "keymine/other", "*"):
        assert create(any_service, project["key"], scope=scope).status == 403
    foreign, unknown = (revoke(any_service, id_, mine) for id_ in (other["key_id"], "nobody"))
    assert (foreign.status, unknown.status) == (404, 404)
    assert foreign.json["reason"] == unknown.json["reason"].replace("nobody", other["key_id"])
    assert listed(any_service)[other["key_id"]]["revoked_at"] is None
    made = created(any_service, mine, scope="keymine/demo", role="admin")
    assert revoke(any_service, made["key_id"], project["key"]).status == 200
    assert revoke(any_service, own["key_id"], mine).status == 200  # Also itself.


def test_an_administrator_cannot_create_a_key_that_outlives_its_own(any_service: Service) -> None:
    end = "2999-01-01T00:00:00.000Z"
    boss = created(any_service, role="admin", expires_at=end)["key"]
    assert created(any_service, boss)["expires_at"] == end
    assert created(any_service, boss, expires_at=None)["expires_at"] == end
    earlier = "2998-01-01T00:00:00.000Z"
    assert created(any_service, boss, expires_at=earlier)["expires_at"] == earlier
    assert create(any_service, boss, expires_at="2999-01-01T00:00:01Z").status == 403


def test_a_list_is_read_in_pages(any_service: Service) -> None:
    boss = created(any_service, role="admin", scope="paged/*")["key"]
    wanted = {created(any_service, boss, scope="paged/demo")["key_id"] for _ in range(4)}
    found: list[str] = []
    path = f"{KEYS}?limit=2"
    while path:
        answer = any_service.send("GET", path, key=boss)
        page = [key["key_id"] for key in answer.json["keys"]]
        assert 0 < len(page) <= 2
        found += page
        link = re.fullmatch(r'<(\?[^>]+)>; rel="next"', answer.headers.get("Link", ""))
        path = f"{KEYS}{link[1]}" if link else ""
    assert len(found) == 5
    assert found == sorted(found)
    assert wanted < set(found)
    for wrong in ("limit=0", "limit=1001", "limit=x", "limit=1&limit=2", "of=me", "cascade=true"):
        assert any_service.send("GET", f"{KEYS}?{wrong}", key=boss).status == 422


def test_a_cascade_revokes_keys_that_a_revoked_administrator_created(any_service: Service) -> None:
    boss = created(any_service, role="admin", scope="cascade/*")
    son = created(any_service, boss["key"], role="admin", scope="cascade/*")
    grandson = created(any_service, son["key"], scope="cascade/demo")
    assert (son["created_by"], grandson["created_by"]) == (boss["key_id"], son["key_id"])
    answer = revoke(any_service, boss["key_id"])
    assert (answer.json["also_revoked"], answer.json["left_in_use"]) == (0, 2)
    answer = revoke(any_service, f"{boss['key_id']}?cascade=true")
    assert answer.status == 200
    assert (answer.json["also_revoked"], answer.json["left_in_use"]) == (2, 0)
    keys = listed(any_service)
    assert all(keys[key["key_id"]]["revoked_at"] for key in (boss, son, grandson))
    assert revoke(any_service, f"{boss['key_id']}?cascade=true").status == 404
    assert revoke(any_service, f"{boss['key_id']}?cascade=perhaps").status == 422


def literal(given: Any) -> dict[str, Any]:
    expected = "'create', 'read', 'write' or 'admin'"
    return {
        "type": "literal_error",
        "loc": ["body", "role"],
        "msg": f"Input should be {expected}",
        "input": given,
        "ctx": {"expected": expected},
    }


@pytest.mark.parametrize(
    ("field", "given", "type_"),
    [
        ("name", None, "string_type"),
        ("name", " ", "value_error"),
        ("name", "x" * 256, "value_error"),
        ("owner", 1, "string_type"),
        ("owner", "\t", "value_error"),
        ("name", "a\nb", "value_error"),
        ("name", "a\n", "value_error"),
        ("name", "a\u2028b", "value_error"),
        ("owner", "a\x1b[31mb", "value_error"),
        ("owner", "\x85b", "value_error"),
        ("scope", "acme", "value_error"),
        ("scope", "*/x", "value_error"),
        ("scope", "a/b/c", "value_error"),
        ("scope", ["*"], "string_type"),
        ("scope", "a/" + "x" * 8191, "value_error"),
        ("role", "root", "literal_error"),
        ("role", {}, "literal_error"),
        ("expire_at", "2999-01-01T00:00:00Z", "extra_forbidden"),
        ("expires_at", 4e9, "datetime_type"),
        ("expires_at", "soon", "datetime_from_date_parsing"),
        ("expires_at", "2999-01-01", "timezone_aware"),
        ("expires_at", "2999-01-01T00:00:00", "timezone_aware"),
        ("expires_at", "2026-01-01T00:00:00Z", "datetime_future"),
        ("expires_at", "0001-01-01T00:00:00+23:59", "datetime_future"),
    ],
)
def test_an_invalid_field_is_refused_in_fastapis_format(
    service: Service, field: str, given: Any, type_: str
) -> None:
    answer = create(service, **{field: given})
    assert answer.status == 422
    (error,) = answer.json["detail"]
    assert (error["type"], error["loc"], error["input"]) == (type_, ["body", field], given)
    assert type_ != "literal_error" or error == literal(given)


def test_all_invalid_fields_are_reported_including_an_expiry_out_of_range(service: Service) -> None:
    answer = service.post(KEYS, {"role": "root"})
    assert answer.status == 422
    assert [error["loc"] for error in answer.json["detail"]] == [
        ["body", "name"],
        ["body", "role"],
        ["body", "scope"],
    ]
    beyond = create(service, expires_at="9999-12-31T23:59:59-23:59")
    assert beyond.json["detail"][0]["type"] == "value_error"
    assert service.send("POST", KEYS, b"").json["detail"][0]["type"] == "missing"


@pytest.mark.parametrize(
    "moment", ["32503680000000", "3000-01-01T00:00:00Z", "3000-01-01 01:00+01:00"]
)
def test_an_expiry_is_accepted_in_every_format_with_a_zone(service: Service, moment: str) -> None:
    assert created(service, expires_at=moment)["expires_at"] == "3000-01-01T00:00:00.000Z"


def test_a_key_stops_working_when_it_expires(any_service: Service) -> None:
    end = datetime.now(UTC) + timedelta(seconds=2)
    secret = created(any_service, expires_at=end.isoformat())["key"]
    assert send_score(any_service, secret) == 200
    wait_for(lambda: send_score(any_service, secret) == 401)
    assert datetime.now(UTC) >= end - timedelta(milliseconds=1)
    answer = any_service.post("/v2/acme/eval/scores", SCORE, key=secret)
    assert (answer.status, answer.body) == (401, b'{"detail":"Not authenticated"}')


class Client:
    """Sends scores one after another with a key that may be replaced, and counts the responses."""

    def __init__(self, service: Service, key: str) -> None:
        self.key = key
        self.statuses: list[int] = []
        self.answered = ""
        """The key of the last response."""
        self._service = service
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._send, daemon=True)
        self._thread.start()

    def _send(self) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self._service.port, timeout=SECONDS)
        while not self._stopping.is_set():
            key = self.key
            headers = {"Authorization": f"Bearer {key}"}
            connection.request("POST", "/v2/acme/eval/scores", json.dumps(SCORE), headers)
            response = connection.getresponse()
            response.read()
            self.statuses.append(response.status)
            self.answered = key
        connection.close()

    def stop(self) -> None:
        self._stopping.set()
        self._thread.join(SECONDS)
        assert not self._thread.is_alive()


def all_answered(clients: list[Client], key: str) -> bool:
    return all(client.answered == key for client in clients)


def test_rotating_keys_under_load_refuses_no_request(any_service: Service) -> None:
    old = created(any_service)
    clients = [Client(any_service, old["key"]) for _ in range(4)]
    for _ in range(5):
        new = created(any_service)
        for client in clients:
            client.key = new["key"]
        # Nothing with the old key is under way once each client was answered with the new one.
        wait_for(partial(all_answered, clients, new["key"]))
        assert revoke(any_service, old["key_id"]).status == 200
        old = new
    counts = [len(client.statuses) for client in clients]
    wait_for(lambda: all(len(c.statuses) > n for c, n in zip(clients, counts, strict=True)))
    for client in clients:
        client.stop()
    assert {status for client in clients for status in client.statuses} == {200}
    threading.Event().wait(1.0)  # The promise of a revoked key is a second.
    assert send_score(any_service, old["key"]) == 200


@pytest.fixture(params=["sqlite", "mongodb"])
def own_store(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Return the URL of an empty store of each engine in turn."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/scoreline.db"
    return str(request.getfixturevalue("mongodb_uri"))


@pytest.fixture
def quiet(own_store: str, tmp_path: Path) -> Iterator[Service]:
    """Run a service with the least log level on its own store."""
    settings = {"SCORELINE_LOG_LEVEL": "error", "WEB_CONCURRENCY": "1"}
    with running(tmp_path, own_store, **settings) as started:
        yield started


def test_the_last_use_of_a_key_is_listed(quiet: Service) -> None:
    key, later = created(quiet), created(quiet)
    before = datetime.now(UTC) - timedelta(milliseconds=1)
    assert send_score(quiet, key["key"]) == 200
    used = wait_for(lambda: listed(quiet)[key["key_id"]]["last_used_at"])
    assert before <= datetime.fromisoformat(used) <= datetime.now(UTC)
    # Within the same minute a use is noted and not written, unless the process ends in order.
    assert send_score(quiet, later["key"]) == 200
    assert listed(quiet)[later["key_id"]]["last_used_at"] is None
    assert quiet.stop() == 0
    store = open_store(quiet.environ["SCORELINE_STORE"])
    found = {kept.key_id: kept.last_used_at for kept in store.list_keys()}
    store.close()
    assert found[later["key_id"]] is not None


def test_every_change_is_in_the_audit_log_whatever_the_level(quiet: Service) -> None:
    boss = created(quiet, role="admin", name="boss", owner="olga")
    key = created(quiet, boss["key"], name="ci", expires_at="2999-01-01T00:00:00Z")
    revoke(quiet, key["key_id"], boss["key"])
    scores = "/v2/acme/eval/scores"
    ids = sorted(quiet.post(scores, SCORE).json["score_id"] for _ in range(60))
    wanted = "&".join(f"score_ids={score_id}" for score_id in [*ids, "never-an-id"])
    answer = quiet.send("DELETE", f"{scores}?{wanted}", key=boss["key"])
    assert answer.json == {"num_deleted": 60}
    create(quiet, boss["key"], scope="*")  # Refused: no change.
    revoke(quiet, key["key_id"], boss["key"])
    lines = quiet.log_lines()
    assert {line["logger"] for line in lines} == {"scoreline.audit"}
    for line in lines:
        assert datetime.fromisoformat(line["time"]).year >= 2026
        assert (line["level"], line["message"], line["outcome"]) == ("info", "audit", "done")
    who = [(line["action"], line["by_key_id"], line["by_owner"]) for line in lines]
    deletes = [("scores.delete", boss["key_id"], "olga")] * 2
    assert who == [
        ("key.create", "admin", "admin"),
        ("key.create", boss["key_id"], "olga"),
        ("key.revoke", boss["key_id"], "olga"),
        *deletes,
    ]
    for line in lines[1:3]:
        assert (line["key_id"], line["name"], line["scope"]) == (key["key_id"], "ci", "acme/*")
        assert (line["role"], line["expires_at"]) == ("create", "2999-01-01T00:00:00.000Z")
    assert [line["score_ids"] for line in lines[3:]] == [ids[:50], ids[50:]]
    for line in lines[3:]:
        assert (line["entity"], line["project"], line["num_deleted"]) == ("acme", "eval", 60)
        assert line["request_id"] == answer.headers["X-Request-Id"]
    log = quiet.log.read_text()
    for word in (boss["key"], key["key"], "never-an-id"):
        assert word not in log


def test_the_routes_are_documented_and_below_the_prefix(tmp_path: Path) -> None:
    with running(tmp_path, WEB_CONCURRENCY="1", SCORELINE_URL_PREFIX="/traces") as service:
        document = service.send("GET", "/traces/openapi.json").json
        assert service.send("GET", f"/traces{KEYS}").json == {"keys": []}
        assert service.send("GET", KEYS).status == 404
    operations = [document["paths"][KEYS][method] for method in ("get", "post")]
    operations.append(document["paths"][f"{KEYS}/{{key_id}}"]["delete"])
    for operation in operations:
        assert operation["security"] == [{"HTTPBasic": []}, {"HTTPBearer": []}]
    shape = document["components"]["schemas"]["KeyCreateBody"]
    assert shape["required"] == ["name", "role", "scope"]
    assert shape["properties"]["role"]["enum"] == ["create", "read", "write", "admin"]
    assert re.fullmatch(shape["properties"]["scope"]["pattern"], "acme/*")
    assert "key" not in document["components"]["schemas"]["KeyReadRes"]["properties"]


def test_a_key_over_the_limit_is_refused_with_the_reason(
    app: Flask, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.services.keys.MAX_KEYS_IN_USE", 0)
    headers = {"Authorization": f"Bearer {ADMIN_KEY}"}
    wanted = {"name": "n", "role": "read", "scope": "*"}
    answer = app.test_client().post(KEYS, json=wanted, headers=headers)
    (error,) = answer.get_json()["detail"]
    assert (answer.status_code, error["type"], error["loc"]) == (422, "value_error", ["body"])
    assert "0 API keys are in use; revoke some first" in error["msg"]
