"""What Weave's SDK reads back is what Weave's own server answered to the same requests.

`tests/golden/weave-readback-0.54.0.jsonl` holds the requests of recorded programs for objects,
tables and files, in their order, with the answers of Weave's server.
"""

from __future__ import annotations

import json
from typing import Any
from uuid import uuid4

import pytest

from tests.golden import golden_rows
from tests.processes import Answer, Service

RECORDED = ("acme/eval", "acme/p2")
NOT_COMPARED = frozenset({"created_at", "wb_user_id"})
"""The fields of an object that differ between servers."""

BOUNDARY = "b0undary"


@pytest.fixture
def project() -> str:
    """Return the name of a new project."""
    return f"p{uuid4().hex}"


def add_file(service: Service, project_id: str, content: str) -> Answer:
    parts = [
        f'Content-Disposition: form-data; name="project_id"\r\n\r\n{project_id}',
        f'Content-Disposition: form-data; name="file"; filename="obj.py"\r\n\r\n{content}',
    ]
    body = "".join(f"--{BOUNDARY}\r\n{part}\r\n" for part in parts) + f"--{BOUNDARY}--\r\n"
    headers = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}
    return service.send("POST", "/file/create", body.encode(), headers)


def send(service: Service, path: str, request: Any) -> Answer:
    if path == "/file/create":
        return add_file(service, request["project_id"], request["file"])
    return service.post(path, request)


def with_names(row: Any, renamed: dict[str, str]) -> Any:
    """Return a recorded row with other names of its projects and digests."""
    text = json.dumps(row)
    for theirs, ours in renamed.items():
        text = text.replace(theirs, ours)
    return json.loads(text)


def digests_of(response: Any) -> list[str]:
    """Return the digests that a create answered."""
    rows = response.get("row_digests", []) + response.get("updated_row_digests", [])
    return [response["digest"], *rows]


def comparable(response: Any) -> Any:
    """Return a response without what differs between servers."""
    if isinstance(response, dict):
        return {
            name: comparable(each) for name, each in response.items() if name not in NOT_COMPARED
        }
    return [comparable(each) for each in response] if isinstance(response, list) else response


def test_reading_back_answers_what_weaves_own_server_answers(
    any_service: Service, project: str
) -> None:
    renamed = {name: f"{name}-{project}" for name in RECORDED}
    compared = 0
    for recorded in golden_rows("weave-readback-0.54.0.jsonl"):
        row = with_names(recorded, renamed)
        answer = send(any_service, row["path"], row["request"])
        assert answer.status == row["status"], row
        if row["path"].endswith(("/create", "/update")):
            pairs = zip(digests_of(row["response"]), digests_of(answer.json), strict=True)
            # Weave computes the digest of an object with references to others differently.
            renamed |= {theirs: ours for theirs, ours in pairs if theirs != ours}
        elif row["path"] == "/file/content":
            assert answer.body.decode() == row["response"]
            assert answer.headers["Content-Type"] == "application/octet-stream"
            compared += 1
        elif answer.status == 200:
            assert comparable(answer.json) == comparable(row["response"])
            compared += 1
        else:
            assert row["response"]["reason"] == f"NotFoundError: {answer.json['reason']}"
    assert compared == 45


def publish(service: Service, project: str, object_id: str, value: Any) -> str:
    """Create a version of an object and return its digest."""
    obj = {"project_id": f"acme/{project}", "object_id": object_id, "val": value}
    digest: str = service.post("/obj/create", {"obj": obj}).json["digest"]
    return digest


def read(service: Service, project: str, object_id: str, digest: str) -> Answer:
    body = {"project_id": f"acme/{project}", "object_id": object_id, "digest": digest}
    return service.post("/obj/read", body)


def named(service: Service, project: str, **wanted: Any) -> list[str]:
    """Return the names and numbers of the versions that a query finds."""
    answer = service.post("/objs/query", {"project_id": f"acme/{project}", **wanted})
    assert answer.status == 200
    return [f"{each['object_id']}:v{each['version_index']}" for each in answer.json["objs"]]


def test_the_latest_version_is_the_one_that_was_published_last(
    any_service: Service, project: str
) -> None:
    digests = [publish(any_service, project, "o", value) for value in (1, 2, 3)]
    publish(any_service, project, "o", 1)
    latest = read(any_service, project, "o", "latest").json["obj"]
    assert (latest["digest"], latest["version_index"], latest["is_latest"]) == (digests[0], 0, 1)
    assert [read(any_service, project, "o", f"v{n}").json["obj"]["val"] for n in range(3)] == [
        *(1, 2, 3)
    ]


def test_an_object_of_null_is_kept(any_service: Service, project: str) -> None:
    digest = publish(any_service, project, "o", None)
    assert read(any_service, project, "o", digest).json["obj"]["val"] is None


def test_a_deleted_version_is_gone_and_the_others_keep_their_numbers(
    any_service: Service, project: str
) -> None:
    digests = [publish(any_service, project, "o", value) for value in ("a", "b", "c")]
    body = {"project_id": f"acme/{project}", "object_id": "o", "digests": ["v0", digests[2]]}
    deleted = any_service.post("/obj/delete", body)
    assert deleted.json["num_deleted"] == 2
    assert [each["digest"] for each in deleted.json["deleted_versions"]] == digests[::2]
    assert any_service.post("/obj/delete", body).status == 404
    gone = read(any_service, project, "o", "v0")
    assert gone.status == 404
    assert gone.json["reason"] == f"o:v0 was deleted at {gone.json['deleted_at']}"
    assert read(any_service, project, "o", "latest").json["obj"]["version_index"] == 1
    assert named(any_service, project) == ["o:v1"]
    # Published again, it is back under its number.
    publish(any_service, project, "o", "a")
    assert read(any_service, project, "o", "latest").json["obj"]["val"] == "a"
    assert named(any_service, project) == ["o:v0", "o:v1"]


@pytest.mark.parametrize("digest", ["v1", "v" + "1" * 5_000], ids=["v1", "digits"])
def test_a_version_that_does_not_exist_is_not_found(
    service: Service, project: str, digest: str
) -> None:
    publish(service, project, "o", {"x": 1})
    assert read(service, project, "o", digest).status == 404


def test_versions_are_listed_by_class_kind_name_and_age(any_service: Service, project: str) -> None:
    model = {"_class_name": "M", "_bases": ["Model", "Object", "BaseModel"]}
    op = {"_type": "CustomWeaveType", "weave_type": {"type": "Op"}, "files": {}}
    publish(any_service, project, "m", model)
    publish(any_service, project, "f", op)
    publish(any_service, project, "m", {**model, "x": 1})
    publish(any_service, project, "a", [1])

    def found(**conditions: Any) -> list[str]:
        return named(any_service, project, filter=conditions)

    assert found() == named(any_service, project) == ["m:v0", "f:v0", "m:v1", "a:v0"]
    assert found(is_op=True) == ["f:v0"]
    assert found(base_object_classes=["Model"], is_op=False) == ["m:v0", "m:v1"]
    assert found(leaf_object_classes=["M"], latest_only=True) == ["m:v1"]
    assert found(exclude_base_object_classes=["Model"]) == ["f:v0", "a:v0"]
    assert found(object_ids=["a", "f"]) == ["f:v0", "a:v0"]
    assert found(aliases=["latest"]) == ["f:v0", "m:v1", "a:v0"]
    assert found(aliases=["prod"]) == found(tags=["golden"]) == []
    by_name = [{"field": "object_id", "direction": "desc"}]
    assert named(any_service, project, sort_by=by_name, offset=1, limit=2) == ["m:v1", "f:v0"]
    body = {"project_id": f"acme/{project}", "filter": {"kind": "op"}}
    assert any_service.post("/objs/query", body).status == 422


def test_rows_are_filtered_sorted_and_cut(any_service: Service, project: str) -> None:
    rows = [{"a": {"b": value}} for value in (2, None, "x", 1.5, 2)]
    place = {"project_id": f"acme/{project}"}
    made = any_service.post("/table/create", {"table": {**place, "rows": rows}}).json
    query = {**place, "digest": made["digest"]}

    def found(**wanted: Any) -> list[int]:
        answer = any_service.post("/table/query", {**query, **wanted})
        assert all(row["val"] == rows[row["original_index"]] for row in answer.json["rows"])
        return [row["original_index"] for row in answer.json["rows"]]

    assert found() == [0, 1, 2, 3, 4]
    assert found(limit=2, offset=1) == [1, 2]
    assert found(filter={"row_digests": [made["row_digests"][0]]}) == [0, 4]
    assert found(sort_by=[{"field": "a.b", "direction": "asc"}]) == [1, 3, 0, 4, 2]
    assert found(sort_by=[{"field": "a.b", "direction": "desc"}], limit=2) == [2, 0]
    for wrong in ("", ".a", "a..b"):
        order = [{"field": wrong, "direction": "asc"}]
        assert any_service.post("/table/query", {**query, "sort_by": order}).status == 422
    assert any_service.post("/table/query_stats", query).json == {"count": 5}
    unknown = {**place, "digest": "unknown"}
    assert any_service.post("/table/query", unknown).json == {"rows": []}
    assert any_service.post("/table/query_stats", unknown).json == {"count": 0}


def test_rows_are_sorted_by_a_position_in_a_list(any_service: Service, project: str) -> None:
    rows = [{"a": [1, 5]}, {"a": [2, 9]}, {"a": [3]}]
    place = {"project_id": f"acme/{project}"}
    made = any_service.post("/table/create", {"table": {**place, "rows": rows}}).json
    order = [{"field": "a.1", "direction": "desc"}]
    query = {**place, "digest": made["digest"], "sort_by": order}
    found = any_service.post("/table/query", query).json["rows"]
    assert [row["original_index"] for row in found] == [1, 0, 2]


def test_the_rows_of_several_tables_are_counted(any_service: Service, project: str) -> None:
    place = {"project_id": f"acme/{project}"}
    tables = [{**place, "rows": [{"a": 1}] * count} for count in (0, 3)]
    digests = [any_service.post("/table/create", {"table": each}).json["digest"] for each in tables]
    body = {**place, "digests": [digests[1], "unknown", digests[0]]}
    answer = any_service.post("/table/query_stats_batch", body)
    assert answer.json["tables"] == [
        {"count": 3, "digest": digests[1], "storage_size_bytes": None},
        {"count": 0, "digest": digests[0], "storage_size_bytes": None},
    ]
    assert any_service.post("/table/query_stats_batch", place).json == {"tables": []}
    too_many = {**place, "digests": ["d"] * 1_001}
    assert any_service.post("/table/query_stats_batch", too_many).status == 422


def test_an_update_answers_the_row_of_each_step(any_service: Service, project: str) -> None:
    place = {"project_id": f"acme/{project}"}
    rows = [{"a": 1}, {"a": 2}]
    made = any_service.post("/table/create", {"table": {**place, "rows": rows}}).json
    updates = [
        {"pop": {"index": 0}},
        {"insert": {"index": 1, "row": {"a": 3}}},
        {"append": {"row": {"a": 3}}},
    ]
    body = {**place, "base_digest": made["digest"], "updates": updates}
    updated = any_service.post("/table/update", body).json
    first, second = made["row_digests"]
    new = updated["updated_row_digests"][1]
    assert updated["updated_row_digests"] == [first, new, new]
    found = any_service.post("/table/query", {**place, "digest": updated["digest"]}).json["rows"]
    assert [row["digest"] for row in found] == [second, new, new]
    assert found[1]["val"] == {"a": 3}


def test_a_row_that_was_never_sent_is_null(any_service: Service, project: str) -> None:
    place = {"project_id": f"acme/{project}"}
    made = any_service.post("/table/create", {"table": {**place, "rows": [{"q": 1}]}}).json
    digests = ["never", *made["row_digests"]]
    body = {**place, "row_digests": digests}
    digest = any_service.post("/table/create_from_digests", body).json["digest"]
    rows = any_service.post("/table/query", {**place, "digest": digest}).json["rows"]
    assert [(row["digest"], row["val"]) for row in rows] == [
        ("never", None),
        (digests[1], {"q": 1}),
    ]


def test_a_reference_leads_to_a_part_of_an_object(any_service: Service, project: str) -> None:
    place = {"project_id": f"acme/{project}"}
    made = any_service.post("/table/create", {"table": {**place, "rows": [{"q é": [7]}]}}).json
    table = f"weave:///acme/{project}/table/{made['digest']}"
    foreign = f"weave:///acme/{project}-2/table/{made['digest']}"
    publish(any_service, project, "o", {"rows": table, "d": {"a/b": [1, 2]}, "foreign": foreign})
    start = f"weave:///acme/{project}/object/o:latest"
    row = f"id/{made['row_digests'][0]}"

    def meant(*refs: str) -> Any:
        answer = any_service.post("/refs/read_batch", {"refs": list(refs)})
        return answer.json["vals"] if answer.status == 200 else answer.status

    assert meant() == []
    assert meant(
        f"{start}/key/d/key/a%2Fb/index/1",
        f"{start}/attr/rows",
        f"{start}/attr/rows/{row}/key/q%20é",
    ) == [2, table, [7]]
    assert meant(f"{start}/key/none") == meant(f"{start}/attr/rows/id/none") == 404
    assert meant(f"{start}/attr/foreign/{row}") == meant(f"{start}/attr/d/{row}") == 404
    assert meant(f"weave:///acme/{project}/object/o:unknown") == 404
    for wrong in (f"weave:///acme/{project}/call/c", f"{start}/key", f"{start}/step/1", "o"):
        assert meant(wrong) == 422
    assert meant(*[start] * 1_001) == 422


def test_a_reference_to_a_deleted_object_is_null(any_service: Service, project: str) -> None:
    digests = [publish(any_service, project, "o", {"a": number}) for number in (1, 2)]
    body = {"project_id": f"acme/{project}", "object_id": "o", "digests": digests[:1]}
    assert any_service.post("/obj/delete", body).status == 200
    refs = [f"weave:///acme/{project}/object/o:{digest}/attr/a" for digest in digests]
    assert any_service.post("/refs/read_batch", {"refs": refs}).json == {"vals": [None, 2]}


def test_an_error_names_all_objects_that_are_not_there(any_service: Service, project: str) -> None:
    digest = publish(any_service, project, "o", 1)
    start = f"weave:///acme/{project}/object"
    refs = [f"{start}/o:{digest}", f"{start}/o:two", f"{start}/p:one", f"{start}/p:one/attr/a"]
    answer = any_service.post("/refs/read_batch", {"refs": refs})
    assert answer.status == 404
    assert answer.json["missing_object_digests"] == ["one", "two"]
    assert answer.json["reason"] == "Obj o:two not found; Obj p:one not found"


def test_nothing_of_another_project_is_there(any_service: Service, project: str) -> None:
    digest = publish(any_service, project, "o", 1)
    file = add_file(any_service, f"acme/{project}", "text").json["digest"]
    other = f"{project}-2"
    assert read(any_service, other, "o", digest).status == 404
    assert named(any_service, other) == []
    for path in ("/file/content", "/files/content"):
        body = {"project_id": f"acme/{project}", "digest": file}
        assert any_service.post(path, body).body == b"text"
        assert any_service.post(path, {**body, "project_id": f"acme/{other}"}).status == 404
    ref = f"weave:///acme/{other}/object/o:{digest}"
    assert any_service.post("/refs/read_batch", {"refs": [ref]}).status == 404


def test_the_scorers_of_a_published_evaluation_attempted_what_failed(
    any_service: Service, project: str
) -> None:
    base, scorer = f"/v2/acme/{project}", f"weave:///acme/{project}/op/accuracy:d"
    digest = publish(any_service, project, "my eval", {"_type": "Evaluation", "scorers": [scorer]})
    evaluation = f"weave:///acme/{project}/object/my%20eval:{digest}"
    of_run = {"model": "m", "evaluation_run_id": "run"}
    run = {**of_run, "evaluation": evaluation}
    assert any_service.post(f"{base}/evaluation_runs", run).status == 200
    failed: dict[str, Any] = {**of_run, "inputs": {"q": 1}, "output": None, "error": "no answer"}
    assert any_service.post(f"{base}/predictions", failed).status == 200
    answer = any_service.send("GET", f"{base}/scores/summary?group_by=scorer").json
    found = [(each["scorer"], each["attempted"], each["scored"]) for each in answer["groups"]]
    assert found == [(scorer, 1, 0)]
