"""Authentication with Basic and Bearer, roles and scopes, and refusals."""

from __future__ import annotations

import base64
import json
import socket
import threading
from pathlib import Path

import pytest

from app.services.keys import create_key, revoke_key
from app.stores import open_store
from tests.processes import Answer, Service, running

SCORE = {"prediction_id": "p", "scorer": "s", "value": 1}


def basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def post(service: Service, authorization: str | None, path: str = "/v2/acme/eval/scores") -> Answer:
    headers = {} if authorization is None else {"Authorization": authorization}
    return service.post(path, SCORE, headers=headers, key=None)


def create(service: Service, role: str, scope: str) -> tuple[str, str]:
    """Create a key in the service's store; return its id and its secret."""
    store = open_store(service.environ["SCORELINE_STORE"])
    key, secret = create_key(store, name=f"{role} {scope}", role=role, scope=scope, owner="olga")
    store.close()
    return key.key_id, secret


def test_a_key_is_accepted_as_basic_password_and_as_bearer_token(service: Service) -> None:
    key = service.key
    for authorization in (
        basic("api", key),
        basic("", key),
        basic("ünï", key),
        f"Bearer {key}",
        f"bearer {key}",
        basic("api", key).replace("Basic", "BASIC"),
    ):
        assert post(service, authorization).status == 200, authorization


@pytest.mark.parametrize(
    "authorization",
    [
        None,
        "",
        "Basic",
        "Basic Og==",
        "Basic ????",
        "Basic " + base64.b64encode(b"\xff\xfe").decode(),
        basic("api", ""),
        basic("api", "sl_wrong"),
        "Bearer",
        "Bearer ",
        "Bearer sl_wrong",
        "Bearer \xe9",
        "Digest username=api",
        "sl_wrong",
    ],
)
def test_every_wrong_credential_gets_the_same_401(
    service: Service, authorization: str | None
) -> None:
    answer = post(service, authorization)
    assert (answer.status, answer.body) == (401, b'{"detail":"Not authenticated"}')
    assert answer.headers.get_all("WWW-Authenticate") == ['Basic realm="scoreline"', "Bearer"]


def test_a_wrong_key_is_refused_before_the_body_is_read(service: Service) -> None:
    assert service.send("POST", "/v2/a/b/scores", b"{", key="sl_wrong").status == 401


@pytest.mark.parametrize(
    ("role", "scope", "status"),
    [
        ("create", "*", 200),
        ("create", "acme/*", 200),
        ("create", "acme/eval", 200),
        ("write", "acme/eval", 200),
        ("admin", "acme/eval", 200),
        ("read", "*", 403),
        ("write", "acme/other", 403),
        ("write", "acm/*", 403),
        ("write", "other/eval", 403),
        ("admin", "other/*", 403),
    ],
)
def test_role_and_scope_decide_what_a_key_may_do(
    any_service: Service, role: str, scope: str, status: int
) -> None:
    _, secret = create(any_service, role, scope)
    answer = post(any_service, f"Bearer {secret}")
    assert answer.status == status
    if status == 403:
        reason = (
            "this needs a key with the role create or write or admin, not read"
            if role == "read"
            else f"the scope of this key is {scope}, which does not include the project"
        )
        assert answer.json == {"detail": "Forbidden", "reason": reason}


def test_a_refusal_does_not_tell_whether_the_project_exists(service: Service) -> None:
    _, secret = create(service, "write", "mine/*")
    service.post("/v2/theirs/there/scores", SCORE)
    there = post(service, f"Bearer {secret}", "/v2/theirs/there/scores")
    nowhere = post(service, f"Bearer {secret}", "/v2/nobodys/nowhere/scores")
    assert (there.status, there.body) == (nowhere.status, nowhere.body) == (403, nowhere.body)


def test_a_scope_is_not_a_pattern(service: Service) -> None:
    _, secret = create(service, "write", "a.b/*")
    assert post(service, f"Bearer {secret}", "/v2/a.b/x/scores").status == 200
    assert post(service, f"Bearer {secret}", "/v2/axb/x/scores").status == 403


def test_a_revoked_key_stops_working_within_a_second_in_every_worker(any_service: Service) -> None:
    key_id, secret = create(any_service, "create", "*")
    for _ in range(20):  # Every worker has seen the key.
        assert post(any_service, f"Bearer {secret}").status == 200
    store = open_store(any_service.environ["SCORELINE_STORE"])
    revoke_key(store, key_id)
    store.close()
    threading.Event().wait(1.0)  # The promise is a second.
    statuses = [post(any_service, f"Bearer {secret}").status for _ in range(20)]
    assert statuses == [401] * 20


def test_the_owner_of_the_key_is_stored_with_the_score(tmp_path: Path) -> None:
    with running(tmp_path) as service:
        _, secret = create(service, "create", "*")
        body = {**SCORE, "wb_user_id": "mallory"}
        headers = {"Authorization": f"Bearer {secret}"}
        made = service.post("/v2/a/b/scores", body, headers=headers, key=None)
        store = open_store(service.environ["SCORELINE_STORE"])
        score = store.find_score("a", "b", made.json["score_id"])
        store.close()
    assert score is not None
    assert score.wb_user_id == "olga"


def test_no_key_is_ever_logged(tmp_path: Path) -> None:
    with running(tmp_path, SCORELINE_LOG_LEVEL="debug") as service:
        _, secret = create(service, "create", "*")
        post(service, f"Bearer {secret}")
        post(service, basic("api", "sl_wrong-but-still-secret"))
        with socket.create_connection(("127.0.0.1", service.port)) as connection:
            connection.sendall(f"POST / HTTP/1.1\r\nAuthorization: Bearer {secret}\r\n".encode())
            connection.shutdown(socket.SHUT_WR)
            assert connection.recv(1) == b""
        log = service.log.read_text()
    assert json.dumps("request") in log
    for word in (secret, service.key, "still-secret", "prediction_id"):
        assert word not in log
