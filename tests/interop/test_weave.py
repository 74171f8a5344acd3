"""The official client: the `weave` package, unchanged, on a real service."""

from __future__ import annotations

import contextlib
import json
import logging
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.api.test_auth import create as create_key
from tests.interop import client as official
from tests.interop.loopback import Foreign, loopback_only
from tests.processes import ROOT, Service, environment, running

if official.is_missing:
    pytest.skip(official.MISSING, allow_module_level=True)

SCORER = "weave:///acme/interop/object/Exact:v0"
SCORE = {"prediction_id": "p-1", "scorer": SCORER, "value": 0.5}
FOREIGN = ("192.0.2.1", 9)  # TEST-NET-1 (RFC 5737), which belongs to nobody.
Connect = Callable[..., Any]
_projects = iter(range(10**9))


@pytest.fixture(scope="module", autouse=True)
def settings_of_weave() -> Iterator[None]:
    with official.settings_of_weave():
        yield


@pytest.fixture(autouse=True)
def tried(settings_of_weave: None) -> Iterator[list[str]]:
    """Yield the list of attempts to connect to other machines, and check that it stays empty."""
    with loopback_only() as found:
        yield found
    assert found == []


@pytest.fixture
def project() -> str:
    """Return a new project, as Weave's clients name it."""
    return f"acme/interop-{next(_projects)}"


@pytest.fixture
def connect(settings_of_weave: None) -> Iterator[Connect]:
    """Return a function that creates clients, by default with the administrator's key."""
    with contextlib.ExitStack() as stack:

        def client(service: Service, key: str | None = None, path: str = "") -> Any:
            password = service.key if key is None else key
            return stack.enter_context(official.weave_client(f"{service.url}{path}", password))

        yield client


def sdk() -> Any:
    """Return the module with the exceptions of the client, and of the generated client below it."""
    from weave.vendor import weave_server_sdk

    return weave_server_sdk


def create(server: Any, project: str, **fields: Any) -> str:
    return str(server.score_create({"project_id": project, **SCORE, **fields}).score_id)


def read(server: Any, project: str, score_id: str) -> Any:
    return server.score_read({"project_id": project, "score_id": score_id})


def listed(server: Any, project: str, **query: Any) -> list[Any]:
    return list(server.score_list({"project_id": project, **query}))


def delete(server: Any, project: str, *score_ids: str) -> int:
    answer = server.score_delete({"project_id": project, "score_ids": list(score_ids)})
    return int(answer.num_deleted)


def ids(scores: list[Any]) -> list[str]:
    return [score.score_id for score in scores]


# The four calls


def test_a_score_is_created_and_read(any_service: Service, connect: Connect, project: str) -> None:
    server = connect(any_service)
    score_id = create(server, project, evaluation_run_id="run-1")
    score = read(server, project, score_id)
    assert type(score).__name__ == "V2ScoreReadResponse"
    assert (score.score_id, score.scorer, score.value) == (score_id, SCORER, 0.5)
    assert (score.evaluation_run_id, score.wb_user_id) == ("run-1", "admin")


def test_a_score_without_a_run_reads_back_without_one(
    any_service: Service, connect: Connect, project: str
) -> None:
    server = connect(any_service)
    made = [create(server, project), create(server, project, evaluation_run_id=None)]
    assert [read(server, project, score_id).evaluation_run_id for score_id in made] == [None, None]


def test_a_list_has_run_limit_and_offset(
    any_service: Service, connect: Connect, project: str
) -> None:
    server = connect(any_service)
    sent = [create(server, project, evaluation_run_id=f"run/{n % 2}&ü") for n in range(6)]
    for query, wanted in (
        ({}, sent),
        ({"evaluation_run_id": None, "limit": None, "offset": None}, sent),
        ({"limit": 2}, sent[:2]),
        ({"limit": 0}, []),
        ({"limit": 2, "offset": 3}, sent[3:5]),
        ({"offset": 5}, sent[5:]),
        ({"offset": 6}, []),
        ({"evaluation_run_id": "run/1&ü"}, sent[1::2]),
        ({"evaluation_run_id": "run/1&ü", "limit": 1, "offset": 1}, sent[3:4]),
        ({"evaluation_run_id": "no such run"}, []),
    ):
        assert ids(listed(server, project, **query)) == wanted, query


def test_a_list_has_whole_scores(any_service: Service, connect: Connect, project: str) -> None:
    server = connect(any_service)
    create(server, project, evaluation_run_id="run-1", value={"ok": True})
    (score,) = listed(server, project)
    assert type(score).__name__ == "V2ScoreListResponse"
    assert (score.scorer, score.value) == (SCORER, {"ok": True})
    assert (score.evaluation_run_id, score.wb_user_id) == ("run-1", "admin")


def test_an_empty_project_lists_as_nothing(
    any_service: Service, connect: Connect, project: str
) -> None:
    assert listed(connect(any_service), project) == []


def test_a_long_list_arrives_whole_and_in_order(
    any_service: Service, connect: Connect, project: str
) -> None:
    values = [{"n": number, "why": "ü\u2028" * number} for number in range(400)]
    scores = [{**SCORE, "value": value} for value in values]
    sent = any_service.post(f"/v2/{project}/scores/batch", {"scores": scores}).json["score_ids"]
    found = listed(connect(any_service), project)
    assert (ids(found), [score.value for score in found]) == (sent, values)


def test_a_list_may_be_left_in_the_middle(
    any_service: Service, connect: Connect, project: str
) -> None:
    scores = [{**SCORE, "value": "x" * 10_000}] * 200
    any_service.post(f"/v2/{project}/scores/batch", {"scores": scores})
    server = connect(any_service)
    lines = server.score_list({"project_id": project})
    first = next(lines)
    lines.close()
    assert read(server, project, first.score_id).value == "x" * 10_000


def test_a_delete_counts_what_was_there(
    any_service: Service, connect: Connect, project: str
) -> None:
    server = connect(any_service)
    first, second, third = (create(server, project) for _ in range(3))
    elsewhere = create(server, "acme/interop-elsewhere")
    assert delete(server, project, first, third, "nope", elsewhere, first) == 2
    assert delete(server, project, first, third) == 0
    assert ids(listed(server, project)) == [second]
    assert read(server, "acme/interop-elsewhere", elsewhere).score_id == elsewhere


def test_scores_after_a_batch_of_calls_are_scores_of_their_own(
    any_service: Service, connect: Connect, project: str
) -> None:
    server = connect(any_service)
    with contextlib.suppress(sdk().NotFoundError):
        server.calls_complete({"batch": [{"project_id": project, "id": "call"}]})
    made = [create(server, project, value=value) for value in (1, 1, 2)]
    assert ids(listed(server, project)) == made
    assert len(set(made)) == 3


# Predictions and evaluation runs

MODEL = "weave:///acme/interop/object/Model:v0"
RUN = {"evaluation": "weave:///acme/interop/object/Evaluation:v0", "model": MODEL}
PREDICTION = {"model": MODEL, "inputs": {"q": 1}, "output": {"answer": 2.0}}


def create_run(server: Any, project: str, **fields: Any) -> str:
    answer = server.evaluation_run_create({"project_id": project, **RUN, **fields})
    return str(answer.evaluation_run_id)


def create_prediction(server: Any, project: str, **fields: Any) -> str:
    answer = server.prediction_create({"project_id": project, **PREDICTION, **fields})
    return str(answer.prediction_id)


def test_an_evaluation_is_sent_and_read_back(
    any_service: Service, connect: Connect, project: str
) -> None:
    server = connect(any_service)
    place = {"project_id": project}
    run_id = create_run(server, project)
    named = {**place, "evaluation_run_id": run_id}
    running_ = server.evaluation_run_read(named)
    assert type(running_).__name__ == "V2EvaluationRunReadResponse"
    assert (running_.status, running_.finished_at) == ("running", None)
    made = [create_prediction(server, project, evaluation_run_id=run_id) for _ in range(2)]
    for prediction_id in made:
        create(server, project, prediction_id=prediction_id, evaluation_run_id=run_id)
        finished = server.prediction_finish({**place, "prediction_id": prediction_id})
        assert finished.success is True
    assert server.evaluation_run_finish({**named, "summary": {"mean": 0.5}}).success is True
    run = server.evaluation_run_read(named)
    assert (run.status, run.summary["mean"]) == ("completed", 0.5)
    assert run.summary["weave"]["status"] == "success"
    assert run.started_at == running_.started_at
    assert run.finished_at >= run.started_at
    prediction = server.prediction_read({**place, "prediction_id": made[0]})
    assert type(prediction).__name__ == "V2PredictionReadResponse"
    assert (prediction.inputs, prediction.output) == (PREDICTION["inputs"], PREDICTION["output"])
    assert (prediction.evaluation_run_id, prediction.wb_user_id) == (run_id, "admin")
    found = list(server.prediction_list(named))
    assert [each.prediction_id for each in found] == made
    assert found[0].output == PREDICTION["output"]
    scores = listed(server, project, evaluation_run_id=run_id)
    assert [score.prediction_id for score in scores] == made


def test_runs_are_filtered_as_the_client_sends_it(
    any_service: Service, connect: Connect, project: str
) -> None:
    server = connect(any_service)
    made = [
        create_run(server, project, evaluation=f"e{number % 2}", model=f"m{number % 3}")
        for number in range(6)
    ]
    for query, wanted in (
        ({}, made),
        ({"filter": None, "limit": None}, made),
        ({"limit": 2, "offset": 1}, made[1:3]),
        ({"filter": {"evaluations": ["e1"]}}, made[1::2]),
        (
            {"filter": {"evaluations": ["e0", "e1"], "models": ["m2", "m1"]}},
            [*made[1:3], *made[4:]],
        ),
        ({"filter": {"evaluation_run_ids": [made[4], made[0]]}}, [made[0], made[4]]),
        ({"filter": {"models": ["no such model"]}}, []),
    ):
        found = server.evaluation_run_list({"project_id": project, **query})
        assert [run.evaluation_run_id for run in found] == wanted, query


def test_results_of_two_runs_are_read_as_the_client_sends_it(
    any_service: Service, connect: Connect, project: str
) -> None:
    server = connect(any_service)
    runs, made = [create_run(server, project) for _ in range(2)], []
    for run_id, value in zip(runs, (0.5, 1.0), strict=True):
        prediction_id = create_prediction(server, project, evaluation_run_id=run_id)
        made.append(prediction_id)
        create(server, project, prediction_id=prediction_id, evaluation_run_id=run_id, value=value)
    create_prediction(server, project, evaluation_run_id=runs[0], inputs={"other": 1})
    above = {"$gte": [{"$getField": "scores.Exact"}, {"$literal": 0.75}]}
    found = server.eval_results_query(
        {
            "project_id": project,
            "evaluation_run_ids": runs,
            "include_raw_data_rows": True,
            "include_summary": True,
            "require_intersection": True,
            "summary_require_intersection": False,
            "filters": [{"query": {"$expr": above}, "evaluation_call_id": runs[1]}],
            "sort_by": [{"field": "scores.Exact", "direction": "desc", "mode": "difference"}],
            "limit": 10,
            "offset": 0,
        }
    )
    assert type(found).__name__ == "V2EvalResultQueryResponse"
    assert (found.total_rows, found.warnings) == (1, [])
    (row,) = found.rows
    assert row.raw_data_row == PREDICTION["inputs"]
    assert [each.evaluation_call_id for each in row.evaluations] == runs
    trials = [trial for each in row.evaluations for trial in each.trials]
    assert [trial.predict_call_id for trial in trials] == made
    assert [trial.scores for trial in trials] == [{"Exact": 0.5}, {"Exact": 1.0}]
    assert trials[0].api_model_output == PREDICTION["output"]
    assert found.summary.row_count == 2
    assert [each.trial_count for each in found.summary.evaluations] == [2, 1]
    (stats,) = found.summary.evaluations[1].scorer_stats
    assert (stats.value_type, stats.numeric_mean) == ("continuous", 1.0)
    unknown = server.eval_results_query(
        {"project_id": project, "evaluation_run_ids": ["nobody"], "include_summary": True}
    )
    assert (unknown.rows, unknown.total_rows, unknown.summary.evaluations) == ([], 0, [])


def test_deleted_predictions_and_runs_are_not_found(
    any_service: Service, connect: Connect, project: str
) -> None:
    server = connect(any_service)
    place = {"project_id": project}
    runs = [create_run(server, project) for _ in range(3)]
    made = [create_prediction(server, project, output=None) for _ in range(3)]
    deleted = server.evaluation_run_delete({**place, "evaluation_run_ids": [*runs[:2], "nope"]})
    assert deleted.num_deleted == 2
    assert server.prediction_delete({**place, "prediction_ids": made[1:]}).num_deleted == 2
    with pytest.raises(sdk().NotFoundError) as raised:
        server.evaluation_run_read({**place, "evaluation_run_id": runs[0]})
    assert raised.value.body["reason"] == f"Evaluation run {runs[0]} not found"
    with pytest.raises(sdk().NotFoundError) as raised:
        server.prediction_finish({**place, "prediction_id": made[1]})
    assert raised.value.body["reason"] == f"Prediction {made[1]} not found"
    assert [run.evaluation_run_id for run in server.evaluation_run_list(place)] == runs[2:]
    assert [each.prediction_id for each in server.prediction_list(place)] == made[:1]


def test_a_run_with_slashes_in_its_id_is_read_and_finished(
    any_service: Service, connect: Connect, project: str
) -> None:
    server = connect(any_service)
    run_id = "ci/main/é 1"
    body = {**RUN, "evaluation_run_id": run_id}
    assert any_service.post(f"/v2/{project}/evaluation_runs", body).status == 200
    named = {"project_id": project, "evaluation_run_id": run_id}
    server.evaluation_run_finish(named)
    assert server.evaluation_run_read(named).status == "completed"


# Values


@pytest.mark.parametrize(
    "value",
    [
        None,
        True,
        False,
        0,
        1,
        1.0,
        -0.0,
        "",
        "1",
        [],
        {},
        {"accuracy": {"f1": 0.5, "why": None, "ok": True}, "": [], "$set": {"a.b": 1}},
        [1, 1.0, True, "1", None, [[]], {"z": 1, "a": 2}],
        2**63,
        -(10**400),
        [5e-324, 1.7976931348623157e308, 0.1],
        'ü 😀 \0 \u2028 \r\n " \\',
        "long ü " * 200_000,
        {str(number): number for number in range(10_000)},
    ],
    ids=lambda value: f"{type(value).__name__} {json.dumps(value)[:20]}",
)
def test_a_value_comes_back_exactly(
    any_service: Service, connect: Connect, project: str, value: Any
) -> None:
    server = connect(any_service)
    score_id = create(server, project, value=value)
    found = [read(server, project, score_id).value, listed(server, project)[0].value]
    # As text: 1, 1.0 and True are equal, and so are 0.0 and -0.0, but they are not the same.
    assert [json.dumps(each) for each in found] == [json.dumps(value)] * 2


# Projects


NAMES = [
    "my entity/my project",
    "ünï/prøjekt ü",
    "日本/🎉",
    "acme/a%2Fb",
    "acme/a+b",
    "acme/a b",
    "acme/a%20b",
    "acme/?x=1#y&z;",
    "acme/\"<'>\\",
    "scores/scores",
    "v2/batch",
]


def test_odd_names_are_projects_of_their_own(any_service: Service, connect: Connect) -> None:
    server = connect(any_service)
    made = {name: create(server, name, value=name) for name in NAMES}
    for name, score_id in made.items():
        assert [(s.score_id, s.value) for s in listed(server, name)] == [(score_id, name)]
        assert read(server, name, score_id).value == name
    assert [delete(server, name, *made.values()) for name in NAMES] == [1] * len(NAMES)


@pytest.mark.parametrize(("entity", "name"), [("acme", "a/b"), ("ac/me", "a"), ("acme", "a/")])
def test_a_slash_inside_a_name_is_404(
    any_service: Service, connect: Connect, entity: str, name: str
) -> None:
    with pytest.raises(ValueError, match="cannot contain '/'"):
        create(connect(any_service), "acme/a/b")
    # The generated client sends it, as %2F.
    login = {"username": "api", "password": any_service.key}
    with (
        sdk().Client(base_url=any_service.url, **login) as below,
        pytest.raises(sdk().NotFoundError) as raised,
    ):
        below.v2_scores.create(name, entity=entity, **SCORE)
    assert raised.value.body == {"detail": "Not Found"}
    assert "%2F" in str(raised.value.request.url)


def test_a_url_prefix_is_part_of_the_clients_url(
    tmp_path: Path, project: str, connect: Connect
) -> None:
    with running(tmp_path, SCORELINE_URL_PREFIX="/traces") as service:
        for path in ("/traces", "/traces/"):
            server = connect(service, path=path)
            score_id = create(server, project)
            assert read(server, project, score_id).value == 0.5
            assert ids(listed(server, project)) == [score_id]
            assert delete(server, project, score_id) == 1
        with pytest.raises(sdk().NotFoundError):
            create(connect(service), project)


# Errors

CALLS: dict[str, Callable[[Any], Any]] = {
    "score_create": lambda server: create(server, "acme/interop-calls"),
    "score_read": lambda server: read(server, "acme/interop-calls", "nope"),
    "score_list": lambda server: listed(server, "acme/interop-calls"),
    "score_delete": lambda server: delete(server, "acme/interop-calls", "nope"),
}


@pytest.fixture
def requests(caplog: pytest.LogCaptureFixture) -> Callable[[], int]:
    """Return how many requests the client has sent, according to the log of httpx."""
    caplog.set_level(logging.INFO, "httpx")
    return lambda: sum(record.name == "httpx" for record in caplog.records)


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("key", ["", "sl_wrong"])
def test_no_key_and_a_wrong_key_are_401(
    any_service: Service, connect: Connect, requests: Callable[[], int], key: str, call: str
) -> None:
    with pytest.raises(sdk().AuthenticationError) as raised:
        CALLS[call](connect(any_service, key))
    assert (raised.value.status_code, raised.value.body) == (401, {"detail": "Not authenticated"})
    assert requests() == 1


@pytest.mark.parametrize(
    ("call", "roles"),
    [
        ("score_read", "read or write or admin"),
        ("score_list", "read or write or admin"),
        ("score_delete", "write or admin"),
    ],
)
def test_a_key_for_creating_may_do_nothing_else(
    any_service: Service,
    connect: Connect,
    requests: Callable[[], int],
    call: str,
    roles: str,
) -> None:
    _, key = create_key(any_service, "create", "acme/interop-calls")
    CALLS["score_create"](connect(any_service, key))
    with pytest.raises(sdk().PermissionDeniedError) as raised:
        CALLS[call](connect(any_service, key))
    assert raised.value.body == {
        "detail": "Forbidden",
        "reason": f"this needs a key with the role {roles}, not create",
    }
    assert requests() == 2


def test_a_score_that_is_not_there_is_404_with_a_reason(
    any_service: Service, connect: Connect, project: str, requests: Callable[[], int]
) -> None:
    server = connect(any_service)
    elsewhere = create(server, "acme/interop-elsewhere")
    for score_id in ("nope", elsewhere):
        with pytest.raises(sdk().NotFoundError) as raised:
            read(server, project, score_id)
        reason = f"Score {score_id} not found"
        assert raised.value.body == {"detail": "Not Found", "reason": reason}
    assert requests() == 3


@pytest.mark.parametrize(
    "wrong", [{"prediction_id": 7}, {"scorer": None}, {"evaluation_run_id": ["r"]}]
)
def test_a_wrong_type_is_422_and_not_retried(
    any_service: Service,
    connect: Connect,
    project: str,
    requests: Callable[[], int],
    wrong: dict[str, Any],
) -> None:
    server = connect(any_service)
    with pytest.raises(sdk().UnprocessableEntityError) as raised:
        create(server, project, **wrong)
    ((name, sent),) = wrong.items()
    message = "Input should be a valid string"
    error = {"type": "string_type", "loc": ["body", name], "msg": message, "input": sent}
    assert raised.value.body == {"detail": [error]}
    assert requests() == 1
    assert listed(server, project) == []


def test_a_wrong_limit_is_422_and_not_retried(
    any_service: Service, connect: Connect, project: str, requests: Callable[[], int]
) -> None:
    with pytest.raises(sdk().UnprocessableEntityError) as raised:
        listed(connect(any_service), project, limit=-1)
    (error,) = raised.value.body["detail"]
    assert (error["type"], error["loc"]) == ("greater_than_equal", ["query", "limit"])
    assert requests() == 1


def test_a_limit_is_waited_for_as_long_as_the_service_asks(
    tmp_path: Path, connect: Connect, project: str, requests: Callable[[], int]
) -> None:
    settings = {"SCORELINE_RATE_LIMIT": "1/second", "WEB_CONCURRENCY": "1"}
    with running(tmp_path, **settings) as service:
        server = connect(service)
        made = [create(server, project, value=value) for value in (1, 2)]
        assert requests() == 3
    statuses = [line["status"] for line in service.log_lines() if line["message"] == "request"]
    assert (statuses, len(set(made))) == ([200, 429, 200], 2)


# Nothing leaves the machine


@pytest.mark.parametrize(
    "reach",
    [
        lambda connection: connection.connect(FOREIGN),
        lambda connection: connection.connect_ex(FOREIGN),
        lambda connection: socket.create_connection(FOREIGN, timeout=1),
        lambda connection: socket.getaddrinfo("weave.invalid", 443),
        lambda connection: socket.gethostbyname("weave.invalid"),
        lambda connection: connection.sendto(b"x", FOREIGN),
    ],
    ids=["connect", "connect_ex", "create_connection", "getaddrinfo", "gethostbyname", "sendto"],
)
def test_the_hook_refuses_what_is_not_loopback(
    tried: list[str], reach: Callable[[socket.socket], Any]
) -> None:
    with socket.socket() as connection:
        connection.settimeout(1)
        with pytest.raises(Foreign):
            reach(connection)
    assert len(tried) == 1
    tried.clear()


def test_the_hook_sees_other_threads_and_lets_loopback_through(
    tried: list[str], service: Service
) -> None:
    def swallow() -> None:
        with pytest.raises(Foreign):
            socket.create_connection(FOREIGN, timeout=1)

    thread = threading.Thread(target=swallow)
    thread.start()
    thread.join()
    assert tried == ["socket.getaddrinfo 192.0.2.1"]
    tried.clear()
    socket.create_connection(("localhost", service.port), timeout=5).close()


LIFE = """
import atexit, contextlib, json, os, socket
from tests.interop.loopback import loopback_only

life = contextlib.ExitStack()
tried = life.enter_context(loopback_only())
atexit.register(lambda: print(json.dumps(tried)))  # Registered first, so called last.
{more}
import weave
from weave.trace_server_bindings.remote_http_trace_server import RemoteHTTPTraceServer

score = {{"project_id": "acme/interop-life", "prediction_id": "p", "scorer": "s", "value": 1}}
RemoteHTTPTraceServer(os.environ["URL"], password=os.environ["KEY"]).score_create(score)
"""


@pytest.mark.parametrize(
    ("more", "wanted"),
    [
        ("", []),
        (
            "atexit.register(socket.getaddrinfo, 'weave.invalid', 443)",
            ["socket.getaddrinfo weave.invalid"],
        ),
    ],
    ids=["weave", "the-hook-itself"],
)
def test_nothing_leaves_the_machine_from_weaves_import_to_the_end_of_its_process(
    service: Service, more: str, wanted: list[str]
) -> None:
    finished = subprocess.run(
        [sys.executable, "-c", LIFE.format(more=more)],
        env={**environment(), "URL": service.url, "KEY": service.key},
        cwd=ROOT,
        stdout=subprocess.PIPE,
        check=True,
        timeout=60,
    )
    assert json.loads(finished.stdout) == wanted


def test_definitions_by_the_official_client(
    service: Service, project: str, connect: Connect
) -> None:
    server = connect(service)
    place = {"project_id": project}
    op = server.op_create({**place, "name": "f", "source_code": "def f(): pass"})
    version = {**place, "object_id": op.object_id, "digest": op.digest}
    assert server.op_read(version).code == "def f(): pass"
    dataset = server.dataset_create({**place, "name": "d", "rows": [{"q": 1}]})
    made = server.scorer_create({**place, "name": "s", "op_source_code": "def score(): pass"})
    evaluation = server.evaluation_create(
        {**place, "name": "e", "dataset": f"weave:///{project}/object/d:{dataset.digest}"}
        | {"scorers": [made.scorer], "trials": 2}
    )
    assert evaluation.evaluation_ref.endswith(evaluation.digest)
    model = server.model_create({**place, "name": "m", "source_code": "class M: pass"})
    assert model.model_ref.startswith(f"weave:///{project}/object/m:")
    assert [each.object_id for each in server.dataset_list(place)] == ["d"]
    assert [each.trials for each in server.evaluation_list(place)] == [2]
    assert [each.name for each in server.scorer_list({**place, "limit": 1})] == ["s"]
    assert server.model_delete({**place, "object_id": "m"}).num_deleted == 1
    assert list(server.model_list(place)) == []
