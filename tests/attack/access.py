"""The access matrix: one row for each route and method, used by test_access.py.

A new route needs a row here. The row of a project's route is for keys whose scope covers the
project. Other keys must get a 403, whether or not the project exists.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

ROLES = ("create", "read", "write", "admin")
SCOPES = ("*", "acme/*", "acme/mine")

PROJECTS = {
    "own": "acme/mine",
    "sibling": "acme/other",
    "foreign": "globex/mine",
    "missing": "acme/nothing",
    "nowhere": "nobody/nothing",
}
"""The role of each project in the test, and its name; `missing` and `nowhere` have no scores."""

EMPTY = ("missing", "nowhere")

COVERS = {
    "*": ("own", "sibling", "foreign", "missing", "nowhere"),
    "acme/*": ("own", "sibling", "missing"),
    "acme/mine": ("own",),
}
"""The projects in which a key of each scope may do what its role allows."""


@dataclass(frozen=True)
class Row:
    """The expected status of a call for each caller.

    `stranger` is for callers without a key or with a wrong or revoked one. The roles in `roles` get
    `status`, or `empty` if the project has no scores; other roles get a 403. `scopes` are the
    scopes that suffice for a route without a project. `query` and `body` make the call valid;
    `{score_id}` in them is replaced by a score of the project, `{project_id}` by its name.
    """

    stranger: int
    roles: tuple[str, ...]
    status: int
    empty: int | None = None
    scopes: tuple[str, ...] = SCOPES
    query: str = ""
    body: Any = None
    names: dict[str, str] = field(default_factory=dict)
    """Return the value of a path variable other than entity, project and score_id."""


PROJECT = "/v2/<entity>/<project>"
SCORES = f"{PROJECT}/scores"
NEW = {"prediction_id": "p", "scorer": "s", "value": 1}
"""The score that a call of the matrix creates."""

SCORE = {**NEW, "evaluation_run_id": "run"}
"""The scores in each project that is not empty."""


PREDICTIONS = "/v2/<entity>/<project>/predictions"
PREDICTION = {"model": "m", "inputs": {}, "output": 1}
NAMED_PREDICTION = {"<document_id:prediction_id>": "prediction"}

RUNS = "/v2/<entity>/<project>/evaluation_runs"
RUN = {"evaluation": "e", "model": "m"}
NAMED_RUN = {"<document_id:evaluation_run_id>": "run"}

DOCUMENTS = {
    "predictions": {**PREDICTION, "prediction_id": "prediction"},
    "evaluation_runs": {**RUN, "evaluation_run_id": "run"},
}
"""The prediction and the run in each project that is not empty."""

PAST = {
    **SCORE,
    "score_id": "018cc251-f400-7000-8000-000000000001",
    "created_at": "2024-01-01T00:00:00.000Z",
}

PAST_LINE = {"kind": "score", **PAST}

CALL = {"project_id": "{project_id}", "id": "c", "trace_id": "t", "op_name": "f"}
FEEDBACK = {
    "project_id": "{project_id}",
    "weave_ref": "weave:///{project_id}/call/c",
    "feedback_type": "wandb.note.1",
    "payload": {"note": "n"},
}


NAMED_VERSION = {"<object_id>": "none", "<digest>": "d"}


def sdk(body: Any) -> Row:
    """Return the row of a route by which Weave's SDK sends something."""
    return Row(401, ("create", "write", "admin"), 200, 200, body=body)


def sdk_change(body: Any, status: int = 200, names: dict[str, str] | None = None) -> Row:
    """Return the row of a route by which Weave's SDK changes or deletes something."""
    return Row(401, ("write", "admin"), status, status, body=body, names=names or {})


def sdk_read(body: Any) -> Row:
    """Return the row of a route by which Weave's SDK reads something."""
    return Row(401, ("read", "write", "admin"), 200, 200, body=body)


DEFINITIONS: dict[str, dict[str, Any]] = {
    "ops": {"name": "n"},
    "datasets": {"rows": []},
    "scorers": {"name": "n", "op_source_code": ""},
    "models": {"name": "n", "source_code": ""},
    "evaluations": {"name": "n", "dataset": "d"},
}
"""The body that creates a definition of each kind."""


def definition_rows() -> dict[tuple[str, str], Row]:
    """Return the rows of the routes of definitions."""
    rows = {}
    for name, body in DEFINITIONS.items():
        path, none = f"{PROJECT}/{name}", {"<object_id>": "none", "<digest>": "latest"}
        rows["POST", path] = sdk(body)
        rows["GET", path] = sdk_read(None)
        rows["GET", f"{path}/<object_id>/versions/<digest>"] = Row(
            401, ("read", "write", "admin"), 404, 404, names=none
        )
        rows["DELETE", f"{path}/<object_id>"] = Row(401, ("write", "admin"), 404, 404, names=none)
    return rows


FILE = {"project_id": "{project_id}", "digest": "d"}

ROWS = {
    ("POST", SCORES): Row(401, ("create", "write", "admin"), 200, 200, body=NEW),
    ("GET", SCORES): Row(401, ("read", "write", "admin"), 200, 200),
    ("DELETE", SCORES): Row(401, ("write", "admin"), 200, 200, query="score_ids={score_id}"),
    ("GET", f"{SCORES}/<score_id:score_id>"): Row(401, ("read", "write", "admin"), 200, 404),
    ("GET", f"{SCORES}/<score_id:score_id>/history"): Row(
        401, ("read", "write", "admin"), 200, 404
    ),
    ("POST", f"{SCORES}/batch"): Row(
        401, ("create", "write", "admin"), 200, 200, body={"scores": [NEW]}
    ),
    ("GET", f"{SCORES}/summary"): Row(401, ("read", "write", "admin"), 200, 200),
    ("GET", f"{SCORES}/compare"): Row(
        401, ("read", "write", "admin"), 200, 404, query="baseline=run&candidate=run"
    ),
    ("GET", f"{SCORES}/agreement"): Row(
        401, ("read", "write", "admin"), 200, 200, query="first=s&second=s&second_annotator="
    ),
    ("GET", f"{SCORES}/trend"): Row(401, ("read", "write", "admin"), 200, 200, query="scorer=s"),
    ("GET", f"{SCORES}/gate"): Row(
        401, ("read", "write", "admin"), 200, 404, query="run=run&scorer=s&min=0"
    ),
    ("POST", f"{SCORES}/gate"): Row(
        401,
        ("read", "write", "admin"),
        200,
        404,
        body={"run": "run", "gates": [{"scorer": "s", "min": 0}]},
    ),
    ("GET", f"{SCORES}/export"): Row(401, ("read", "write", "admin"), 200, 200, query="format=csv"),
    ("GET", f"{SCORES}/changes"): Row(
        401, ("read", "write", "admin"), 200, 200, query="cursor=start"
    ),
    ("POST", f"{SCORES}/import"): Row(401, ("write", "admin"), 200, 200, body={"scores": [PAST]}),
    ("GET", f"{PROJECT}/export"): Row(401, ("read", "write", "admin"), 200, 200),
    ("POST", f"{PROJECT}/import"): Row(401, ("write", "admin"), 200, 200, body=PAST_LINE),
    ("POST", PREDICTIONS): Row(401, ("create", "write", "admin"), 200, 200, body=PREDICTION),
    ("POST", f"{PREDICTIONS}/batch"): Row(
        401, ("create", "write", "admin"), 200, 200, body={"predictions": [PREDICTION]}
    ),
    ("GET", PREDICTIONS): Row(401, ("read", "write", "admin"), 200, 200),
    ("DELETE", PREDICTIONS): Row(
        401, ("write", "admin"), 200, 200, query="prediction_ids=prediction"
    ),
    ("GET", f"{PREDICTIONS}/<document_id:prediction_id>"): Row(
        401, ("read", "write", "admin"), 200, 404, names=NAMED_PREDICTION
    ),
    ("POST", f"{PREDICTIONS}/<document_id:prediction_id>/finish"): Row(
        401, ("create", "write", "admin"), 200, 404, names=NAMED_PREDICTION
    ),
    ("POST", RUNS): Row(401, ("create", "write", "admin"), 200, 200, body=RUN),
    ("GET", RUNS): Row(401, ("read", "write", "admin"), 200, 200),
    ("DELETE", RUNS): Row(401, ("write", "admin"), 200, 200, query="evaluation_run_ids=run"),
    ("GET", f"{RUNS}/<document_id:evaluation_run_id>"): Row(
        401, ("read", "write", "admin"), 200, 404, names=NAMED_RUN
    ),
    ("POST", f"{RUNS}/<document_id:evaluation_run_id>/finish"): Row(
        401, ("create", "write", "admin"), 200, 404, names=NAMED_RUN
    ),
    ("POST", "/v2/<entity>/<project>/eval_results/query"): Row(
        401, ("read", "write", "admin"), 200, 200, body={"evaluation_run_ids": ["run"]}
    ),
    ("DELETE", "/v1/<entity>/<project>/runs"): Row(
        401, ("write", "admin"), 200, 200, query="run=run"
    ),
    ("DELETE", "/v1/<entity>/<project>/predictions"): Row(
        401, ("write", "admin"), 200, 200, query="run=run&prediction=p"
    ),
    ("GET", "/v1/<entity>/<project>/deletions"): Row(401, ("read", "write", "admin"), 200, 200),
    ("GET", "/v1/<entity>/<project>/runs"): Row(401, ("read", "write", "admin"), 200, 200),
    ("PATCH", "/v1/<entity>/<project>/runs"): Row(
        401, ("write", "admin"), 200, 404, query="run=run", body={"name": "n"}
    ),
    ("GET", "/v1/<entity>/<project>/runs/approvals"): Row(
        401, ("read", "write", "admin"), 200, 200
    ),
    ("POST", "/v1/<entity>/<project>/runs/approvals"): Row(
        401, ("write", "admin"), 200, 404, body={"run": "run", "reason": "r"}
    ),
    ("GET", "/v1/<entity>/<project>/predictions"): Row(
        401, ("read", "write", "admin"), 200, 404, query="run=run"
    ),
    ("GET", "/v1/<entity>/<project>/scorers"): Row(401, ("read", "write", "admin"), 200, 200),
    ("GET", "/v1/<entity>/<project>/metrics"): Row(401, ("read", "write", "admin"), 200, 200),
    ("GET", "/v1/<entity>/<project>/metrics/proposal"): Row(
        401, ("read", "write", "admin"), 200, 200
    ),
    ("GET", "/v1/<entity>/<project>/metrics/against_schema"): Row(
        401, ("read", "write", "admin"), 200, 200
    ),
    ("PUT", "/v1/<entity>/<project>/metrics"): Row(
        401, ("write", "admin"), 200, 200, body={"metrics": [{"scorer": "s"}]}
    ),
    ("DELETE", "/v1/<entity>/<project>/metrics"): Row(
        401, ("write", "admin"), 404, 404, query="scorer=none"
    ),
    ("GET", "/v1/projects"): Row(401, ("read", "write", "admin"), 200),
    ("GET", "/v1/keys"): Row(401, ("admin",), 200),
    ("POST", "/v1/keys"): Row(
        401, ("admin",), 200, body={"name": "n", "role": "read", "scope": "acme/mine"}
    ),
    ("DELETE", "/v1/keys/<key_id>"): Row(401, ("admin",), 404, names={"<key_id>": "unknown"}),
    ("GET", "/metrics"): Row(401, ("read", "write", "admin"), 200, scopes=("*",)),
    ("GET", "/version"): Row(200, ROLES, 200),
    ("GET", "/docs"): Row(200, ROLES, 200),
    ("GET", "/docs/start.js"): Row(200, ROLES, 200),
    ("GET", "/docs/<name>"): Row(200, ROLES, 200, names={"<name>": "swagger-ui.css"}),
    ("GET", "/openapi.json"): Row(200, ROLES, 200),
    ("GET", "/health/live"): Row(200, ROLES, 200),
    ("GET", "/health/ready"): Row(200, ROLES, 200),
    ("GET", "/server_info"): Row(401, ROLES, 200),
    ("POST", "/graphql"): Row(401, ROLES, 200, body={"query": "viewer"}),
    ("GET", "/<entity>/<project>/weave"): Row(401, ("read", "write", "admin"), 302, 302),
    ("GET", "/<entity>/<project>/r/call/<call_id>"): Row(
        401, ("read", "write", "admin"), 302, 404, names={"<call_id>": "run"}
    ),
    ("POST", "/obj/create"): sdk(
        {"obj": {"project_id": "{project_id}", "object_id": "o", "val": 1}}
    ),
    ("POST", "/table/create"): sdk({"table": {"project_id": "{project_id}", "rows": []}}),
    ("POST", "/table/create_from_digests"): sdk({"project_id": "{project_id}", "row_digests": []}),
    ("POST", "/table/update"): Row(
        401,
        ("create", "write", "admin"),
        404,
        404,
        body={"project_id": "{project_id}", "base_digest": "d", "updates": []},
    ),
    # Only multipart/form-data names its project.
    ("POST", "/file/create"): Row(401, ("create", "write", "admin"), 422, body={}),
    ("POST", "/files/create"): Row(401, ("create", "write", "admin"), 422, body={}),
    ("POST", "/obj/read"): Row(
        401,
        ("read", "write", "admin"),
        404,
        404,
        body={"project_id": "{project_id}", "object_id": "none", "digest": "latest"},
    ),
    ("POST", "/objs/query"): sdk_read({"project_id": "{project_id}"}),
    ("POST", "/obj/delete"): Row(
        401,
        ("write", "admin"),
        404,
        404,
        body={"project_id": "{project_id}", "object_id": "none"},
    ),
    ("PUT", "/objs/<object_id>/versions/<digest>/tags"): sdk_change(
        {"project_id": "{project_id}", "tags": ["t"]}, 404, NAMED_VERSION
    ),
    ("POST", "/objs/<object_id>/versions/<digest>/tags/remove"): sdk_change(
        {"project_id": "{project_id}", "tags": ["t"]}, 404, NAMED_VERSION
    ),
    ("PUT", "/objs/<object_id>/aliases"): sdk_change(
        {"project_id": "{project_id}", "aliases": ["a"], "digest": "d"}, 404, NAMED_VERSION
    ),
    ("POST", "/objs/<object_id>/aliases/remove"): sdk_change(
        {"project_id": "{project_id}", "aliases": ["a"]}, 200, NAMED_VERSION
    ),
    ("GET", "/tags"): Row(
        401, ("read", "write", "admin"), 200, 200, query="project_id={project_id}"
    ),
    ("GET", "/aliases"): Row(
        401, ("read", "write", "admin"), 200, 200, query="project_id={project_id}"
    ),
    ("POST", "/cost/create"): sdk_change(
        {
            "project_id": "{project_id}",
            "costs": {"m": {"prompt_token_cost": 1, "completion_token_cost": 2}},
        }
    ),
    ("POST", "/cost/query"): sdk_read({"project_id": "{project_id}"}),
    ("POST", "/cost/purge"): sdk_change(
        {
            "project_id": "{project_id}",
            "query": {"$expr": {"$eq": [{"$getField": "id"}, {"$literal": "none"}]}},
        }
    ),
    # The TypeScript SDK reads the digests of rows while it sends.
    ("POST", "/table/query"): Row(
        401, ROLES, 200, 200, body={"project_id": "{project_id}", "digest": "d"}
    ),
    ("POST", "/table/query_stats"): sdk_read({"project_id": "{project_id}", "digest": "d"}),
    ("POST", "/table/query_stats_batch"): sdk_read(
        {"project_id": "{project_id}", "digests": ["d"]}
    ),
    ("POST", "/file/content"): Row(401, ("read", "write", "admin"), 404, 404, body=FILE),
    ("POST", "/files/content"): Row(401, ("read", "write", "admin"), 404, 404, body=FILE),
    ("POST", "/refs/read_batch"): Row(
        401,
        ("read", "write", "admin"),
        404,
        404,
        body={"refs": ["weave:///{project_id}/object/none:latest"]},
    ),
    **definition_rows(),
    ("POST", f"{PROJECT}/calls/complete"): sdk({"batch": [CALL]}),
    ("POST", f"{PROJECT}/call/start"): sdk({"start": CALL}),
    ("POST", f"{PROJECT}/call/end"): sdk({"end": CALL}),
    ("POST", "/call/upsert_batch"): sdk({"batch": [{"mode": "start", "req": {"start": CALL}}]}),
    ("POST", "/calls/stream_query"): sdk_read({"project_id": "{project_id}"}),
    ("POST", "/calls/query_stats"): sdk_read({"project_id": "{project_id}"}),
    ("POST", "/call/read"): sdk_read({"project_id": "{project_id}", "id": "c"}),
    ("POST", "/feedback/query"): sdk_read({"project_id": "{project_id}"}),
    ("POST", "/call/update"): sdk_change(
        {"project_id": "{project_id}", "call_id": "none", "display_name": "n"}
    ),
    ("POST", "/calls/delete"): sdk_change({"project_id": "{project_id}", "call_ids": ["none"]}),
    ("POST", "/feedback/purge"): sdk_change(
        {
            "project_id": "{project_id}",
            "query": {"$expr": {"$eq": [{"$getField": "id"}, {"$literal": "none"}]}},
        }
    ),
    ("POST", "/feedback/replace"): sdk_change({**FEEDBACK, "feedback_id": "none"}),
    ("POST", "/feedback/create"): sdk(FEEDBACK),
    ("POST", "/feedback/batch/create"): sdk({"batch": [FEEDBACK]}),
}
