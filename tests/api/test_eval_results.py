"""Evaluation results over HTTP, on every engine: what Weave's server answered, and more."""

from __future__ import annotations

import json
import re
import secrets
from datetime import datetime
from typing import Any

import pytest

from app.examples import row_digest
from app.ids import is_uuid7
from app.schemas.eval_results import EvalResultsRes
from tests.golden import golden_rows
from tests.processes import Answer, Service

UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}")
ACC = "weave:///acme/demo/object/acc:v0"


@pytest.fixture
def project() -> str:
    """The path of a project of its own."""
    return f"/v2/acme/{secrets.token_hex(8)}"


def created(service: Service, path: str, **fields: Any) -> str:
    """Create something and return its id."""
    answer = service.post(path, fields)
    assert answer.status == 200, answer.body
    (new,) = answer.json.values()
    return str(new)


def predict(service: Service, project: str, run: str | None, q: Any, **fields: Any) -> str:
    body = {"model": "m", "inputs": {"q": q}, "output": f"o{q}", "evaluation_run_id": run}
    return created(service, f"{project}/predictions", **{**body, **fields})


def judge(service: Service, project: str, run: str | None, on: str, value: Any, **more: Any) -> str:
    body = {"prediction_id": on, "scorer": ACC, "value": value, "evaluation_run_id": run}
    return created(service, f"{project}/scores", **{**body, **more})


def ask(service: Service, project: str, *runs: str, **wanted: Any) -> dict[str, Any]:
    body = {"evaluation_run_ids": runs, **wanted}
    answer = service.post(f"{project}/eval_results/query", body)
    assert answer.status == 200, answer.body
    found: dict[str, Any] = answer.json
    return found


def questions(found: dict[str, Any]) -> list[Any]:
    return [row["raw_data_row"]["q"] for row in found["rows"]]


def trials(row: dict[str, Any], run: str) -> list[dict[str, Any]]:
    return [
        trial
        for evaluation in row["evaluations"]
        if evaluation["evaluation_call_id"] == run
        for trial in evaluation["trials"]
    ]


# What Weave's own server answered


def pair_call_ids(recorded: Any, found: Any, ids: dict[str, str]) -> None:
    """Note which of our ids stands for a recorded `predict_and_score_call_id`."""
    for row, ours in zip(recorded["rows"], found["rows"], strict=True):
        for one, other in zip(row["evaluations"], ours["evaluations"], strict=True):
            for trial, our in zip(one["trials"], other["trials"], strict=True):
                call_id = our["predict_and_score_call_id"]
                assert is_uuid7(call_id)
                assert call_id != our["predict_call_id"]
                assert ids.setdefault(trial["predict_and_score_call_id"], call_id) == call_id
                trial["model_latency_seconds"] = None  # It was not sent.
    both = [(each["summary"] or {"evaluations": []})["evaluations"] for each in (recorded, found)]
    for run, our in zip(*both, strict=True):
        assert datetime.fromisoformat(our["started_at"]).tzinfo
        assert our["started_at"].endswith("+00:00")
        run["started_at"] = our["started_at"]


def test_every_answer_is_that_of_weaves_server(any_service: Service, project: str) -> None:
    ids: dict[str, str] = {}

    def ours(content: Any) -> Any:
        return json.loads(UUID.sub(lambda m: ids.get(m[0], m[0]), json.dumps(content)))

    asked = 0
    for row in golden_rows("weave_eval_results.jsonl"):
        path = row["path"].replace("/v2/acme/v2", project)
        answer = any_service.post(path, ours(row["request"]))
        assert answer.status == row["status"], answer.body
        wanted, found = row["response"], answer.json
        if path.endswith("/query"):
            asked += 1
            pair_call_ids(wanted, found, ids)
            # As text: the order of the fields is Weave's too.
            assert json.dumps(found) == json.dumps(ours(wanted)), row["request"]
            assert json.loads(json.dumps(EvalResultsRes().dump(found))) == found
        else:
            (theirs,), (new,) = wanted.values(), found.values()
            ids[theirs] = new
    assert asked == 4


# Which scores count


def test_of_the_scores_of_one_scorer_the_newest_counts(any_service: Service, project: str) -> None:
    on = predict(any_service, project, "r", 1)
    judge(any_service, project, "r", on, False)
    newest = judge(any_service, project, "r", on, True, scorer=ACC.replace("v0", "v1"))
    judge(any_service, project, "other", on, False)
    judge(any_service, project, None, on, False)
    old = {
        "score_id": f"018cc251-f400-7000-8000-{secrets.token_hex(6)}",
        "created_at": "2024-01-01T00:00:00.000Z",
        "prediction_id": on,
        "scorer": ACC,
        "value": False,
        "evaluation_run_id": "r",
    }
    assert any_service.post(f"{project}/scores/import", {"scores": [old]}).status == 200
    found = ask(any_service, project, "r", include_summary=True)
    ((trial,),) = [trials(row, "r") for row in found["rows"]]
    assert (trial["scores"], trial["scorer_call_ids"]) == ({"acc": True}, {"acc": newest})
    (stats,) = found["summary"]["evaluations"][0]["scorer_stats"]
    assert (stats["trial_count"], stats["pass_rate"]) == (1, 1.0)


def test_each_annotator_counts(any_service: Service, project: str) -> None:
    on = predict(any_service, project, "r", 1)
    for annotator, value in (("ann", 1), ("bob", 5), ("ann", 3)):
        judge(any_service, project, "r", on, value, annotator=annotator)
    found = ask(any_service, project, "r", include_summary=True)
    assert trials(found["rows"][0], "r")[0]["scores"] == {"acc": 3}
    (stats,) = found["summary"]["evaluations"][0]["scorer_stats"]
    assert (stats["numeric_count"], stats["numeric_mean"]) == (2, 4.0)


def test_without_the_newest_score_the_one_before_counts(any_service: Service, project: str) -> None:
    on = predict(any_service, project, "r", 1)
    judge(any_service, project, "r", on, 1)
    newest = judge(any_service, project, "r", on, 2)
    assert any_service.send("DELETE", f"{project}/scores?score_ids={newest}").status == 200
    assert trials(ask(any_service, project, "r")["rows"][0], "r")[0]["scores"] == {"acc": 1}


def test_a_failed_judgement_is_null_and_not_in_the_statistics(
    any_service: Service, project: str
) -> None:
    for q, more in ((1, {"value": None, "error": "timeout"}), (2, {"value": 0.5})):
        on = predict(any_service, project, "r", q)
        value = more.pop("value")
        judge(any_service, project, "r", on, value, **more)
    found = ask(any_service, project, "r", include_summary=True, include_raw_data_rows=True)
    scores = {row["raw_data_row"]["q"]: trials(row, "r")[0]["scores"] for row in found["rows"]}
    assert scores == {1: {"acc": None}, 2: {"acc": 0.5}}
    (summary,) = found["summary"]["evaluations"]
    assert (summary["trial_count"], summary["scorer_stats"][0]["trial_count"]) == (2, 1)


def test_scores_without_a_prediction_are_rows_of_their_own(
    any_service: Service, project: str
) -> None:
    score_id = judge(any_service, project, "r", "p/1", 0.5, scorer="exact")
    found = ask(any_service, project, "r", include_summary=True, include_raw_data_rows=True)
    (row,) = found["rows"]
    assert (row["row_digest"], row["raw_data_row"]) == ("p/1", None)
    (trial,) = trials(row, "r")
    assert (trial["predict_call_id"], trial["model_output"]) == ("p/1", None)
    assert (trial["scores"], trial["scorer_call_ids"]) == ({"exact": 0.5}, {"exact": score_id})
    (summary,) = found["summary"]["evaluations"]
    assert (summary["evaluation_ref"], summary["started_at"]) == (None, None)


def test_a_run_that_scores_predictions_of_another_shows_them(
    any_service: Service, project: str
) -> None:
    on = predict(any_service, project, "first", 7)
    judge(any_service, project, "again", on, True)
    (row,) = ask(any_service, project, "first", "again", require_intersection=True)["rows"]
    assert row["row_digest"] == row_digest({"q": 7})
    assert trials(row, "again")[0]["model_output"] == "o7"
    assert trials(row, "first")[0]["scores"] == {}


def test_an_empty_run_id_names_no_run(any_service: Service, project: str) -> None:
    judge(any_service, project, "", predict(any_service, project, "", 1), True)
    assert ask(any_service, project, "")["rows"] == []


# Rows


def test_a_row_has_the_trials_of_its_example(any_service: Service, project: str) -> None:
    run_id = created(
        any_service, f"{project}/evaluation_runs", evaluation="e", model="m", name="nightly"
    )
    times = {"started_at": "2026-01-02T03:04:05Z", "finished_at": "2026-01-02T03:04:05.250000Z"}
    usage = {"usage": {"input_tokens": 3, "output_tokens": 4}}
    one = predict(any_service, project, run_id, 1, trial=1, **times, **usage)
    two = predict(any_service, project, run_id, 1, trial=0)
    named = predict(any_service, project, run_id, 1, example_id="row 9", output={"a": 1.0})
    found = ask(any_service, project, run_id, include_summary=True)
    assert [row["row_digest"] for row in found["rows"]] == sorted([row_digest({"q": 1}), "row 9"])
    rows = {row["row_digest"]: trials(row, run_id) for row in found["rows"]}
    assert [trial["predict_call_id"] for trial in rows[row_digest({"q": 1})]] == [two, one]
    assert [trial["predict_call_id"] for trial in rows["row 9"]] == [named]
    assert json.dumps(rows["row 9"][0]["model_output"]) == '{"a": 1.0}'
    latest = rows[row_digest({"q": 1})][1]
    assert (latest["model_latency_seconds"], latest["total_tokens"]) == (0.25, 7)
    (summary,) = found["summary"]["evaluations"]
    assert (summary["trial_count"], summary["display_name"]) == (3, "nightly")
    assert summary["predict_total_tokens"] == 7


def test_a_deleted_prediction_is_no_trial(any_service: Service, project: str) -> None:
    on = predict(any_service, project, "r", 1)
    any_service.send("DELETE", f"{project}/predictions?prediction_ids={on}")
    assert ask(any_service, project, "r", include_summary=True)["summary"]["row_count"] == 0


def test_a_run_without_predictions_has_an_empty_summary(any_service: Service, project: str) -> None:
    run_id = created(any_service, f"{project}/evaluation_runs", evaluation="e", model="m")
    (summary,) = ask(any_service, project, run_id, include_summary=True)["summary"]["evaluations"]
    assert (summary["trial_count"], summary["scorer_stats"]) == (0, [])
    assert (summary["evaluation_ref"], summary["model_ref"]) == ("e", "m")


def test_a_project_never_sees_another(any_service: Service, project: str) -> None:
    judge(any_service, project, "r", predict(any_service, project, "r", 1), True)
    assert ask(any_service, f"{project}-other", "r")["rows"] == []


@pytest.fixture
def two_runs(any_service: Service, project: str) -> str:
    """A project with the runs a (questions 1, 2, 3) and b (questions 2, 3, 4)."""
    for run, first, values in (("a", 1, [0.5, 0.25, "x"]), ("b", 2, [1, 0.75, None])):
        for q, value in enumerate(values, first):
            on = predict(any_service, project, run, q)
            judge(any_service, project, run, on, {"f1": value})
    return project


def test_rows_are_limited_and_counted(any_service: Service, two_runs: str) -> None:
    every = questions(ask(any_service, two_runs, "a", "b", include_raw_data_rows=True))
    assert sorted(every) == [1, 2, 3, 4]
    for wanted, expected in (
        ({"limit": 2}, every[:2]),
        ({"limit": 2, "offset": 1}, every[1:3]),
        ({"offset": 3}, every[3:]),
        ({"limit": 0}, []),
        ({"limit": None, "offset": 2**53 - 1}, []),
    ):
        found = ask(any_service, two_runs, "a", "b", include_raw_data_rows=True, **wanted)
        assert (questions(found), found["total_rows"]) == (expected, 4), wanted


def test_only_rows_of_all_runs_are_in_an_intersection(any_service: Service, two_runs: str) -> None:
    found = ask(
        any_service,
        two_runs,
        "a",
        "b",
        require_intersection=True,
        include_raw_data_rows=True,
        include_summary=True,
    )
    assert (sorted(questions(found)), found["total_rows"]) == ([2, 3], 2)
    assert found["summary"]["row_count"] == 2
    assert [each["trial_count"] for each in found["summary"]["evaluations"]] == [2, 2]
    for own, wanted in ((True, (4, 2)), (False, (2, 4))):
        found = ask(
            any_service,
            two_runs,
            "a",
            "b",
            require_intersection=not own,
            summary_require_intersection=own,
            include_summary=True,
        )
        assert (found["total_rows"], found["summary"]["row_count"]) == wanted
    assert ask(any_service, two_runs, "a", "nobody", require_intersection=True)["rows"] == []


def test_parts_are_left_out_on_request(any_service: Service, two_runs: str) -> None:
    found = ask(any_service, two_runs, "a", include_rows=False, include_summary=True)
    assert (found["rows"], found["total_rows"], found["summary"]["row_count"]) == ([], 0, 3)
    found = ask(
        any_service, two_runs, "a", include_predict_and_score_children=False, include_costs=True
    )
    (trial,) = trials(found["rows"][0], "a")
    assert (trial["predict_call_id"], trial["scorer_call_ids"]) == (None, {})
    assert found["rows"][0]["raw_data_row"] is None
    assert found["summary"] is None
    assert found["warnings"] == ["Scoreline does not know prices: every total_cost is null"]


def test_rows_are_sorted(any_service: Service, two_runs: str) -> None:
    def order(**sort: Any) -> list[Any]:
        return questions(ask(any_service, two_runs, "a", "b", sort_by=[sort]))

    assert order(field="inputs.q", direction="asc") == [1, 2, 3, 4]
    assert order(field="inputs.q", direction="desc") == [4, 3, 2, 1]
    assert order(field="outputs", direction="desc") == [4, 3, 2, 1]
    f1 = {"field": "scores.acc.f1"}
    assert order(**f1, direction="asc")[-1] == 4  # It has none.
    assert order(**f1, direction="desc")[-1] == 4
    # 1: 0.5, 2: (0.25 + 1) / 2, 3: 0.75.
    assert order(**f1, direction="asc") == [1, 2, 3, 4]
    assert order(**f1, direction="desc") == [3, 2, 1, 4]
    assert order(**f1, direction="asc", evaluation_call_id="a") == [2, 1, 3, 4]
    assert order(**f1, direction="desc", mode="difference")[0] == 2
    found = ask(
        any_service, two_runs, "a", sort_by=[{"field": "scores.nobody", "direction": "asc"}]
    )
    assert found["warnings"] == ["No row has a value of scores.nobody to sort by"]


def test_the_first_of_several_sort_orders_comes_first(any_service: Service, project: str) -> None:
    for q, group in ((1, "x"), (2, "y"), (3, "x")):
        predict(any_service, project, "r", q, inputs={"q": q, "group": group})
    sort_by = [
        {"field": "inputs.group", "direction": "desc"},
        {"field": "inputs.q", "direction": "desc"},
    ]
    assert questions(ask(any_service, project, "r", sort_by=sort_by)) == [2, 3, 1]


def test_rows_are_filtered(any_service: Service, two_runs: str) -> None:
    def left(*expressions: Any, scope: str | None = None, **wanted: Any) -> list[Any]:
        filters = [
            {"query": {"$expr": each}, **({"evaluation_call_id": scope} if scope else {})}
            for each in expressions
        ]
        return sorted(questions(ask(any_service, two_runs, "a", "b", filters=filters, **wanted)))

    def above(bound: float) -> Any:
        return {"$gte": [{"$getField": "scores.acc.f1"}, {"$literal": bound}]}

    assert left(above(0.5)) == [1, 2, 3]
    assert left(above(0.2), filter_logic_operator="and") == [2]
    assert left(above(0.2), scope="a") == [1, 2]
    assert left(above(0.2), scope="b") == [2, 3]
    assert left(above(0.5), {"$eq": [{"$getField": "inputs.q"}, {"$literal": 2}]}) == [2]
    assert left({"$in": [{"$getField": "outputs"}, [{"$literal": "o4"}]]}) == [4]
    assert left({"$eq": [{"$getField": "output.output"}, {"$literal": "o4"}]}) == [4]
    digest = {"$literal": row_digest({"q": 4})}
    assert left({"$eq": [{"$getField": "row_digest"}, digest]}) == [4]
    total = ask(any_service, two_runs, "a", filters=[{"query": {"$expr": above(0.5)}}], limit=0)
    assert total["total_rows"] == 1


def test_filters_leave_the_summary_alone(any_service: Service, two_runs: str) -> None:
    nothing = {"query": {"$expr": {"$literal": False}}}
    found = ask(any_service, two_runs, "a", filters=[nothing], include_summary=True)
    assert (found["total_rows"], found["summary"]["row_count"]) == (0, 3)


# Errors


def error_of(answer: Answer) -> tuple[str, list[Any]]:
    assert answer.status == 422, answer.body
    first = answer.json["detail"][0]
    return first["type"], first["loc"][1:]


EXPR = {"$expr": {"$literal": True}}
SORT = {"field": "inputs.q", "direction": "asc"}


@pytest.mark.parametrize(
    ("wrong", "type_", "loc"),
    [
        ({"evaluation_run_ids": "a"}, "list_type", []),
        ({"evaluation_run_ids": ["a", 1]}, "string_type", [1]),
        ({"evaluation_call_ids": [""] * 101}, "too_long", []),
        ({"include_rows": "yes"}, "bool_type", []),
        ({"include_summary": None}, "bool_type", []),
        ({"limit": -1}, "greater_than_equal", []),
        ({"offset": "1"}, "int_type", []),
        ({"filter_logic_operator": "xor"}, "literal_error", []),
        ({"filters": {}}, "list_type", []),
        ({"offset": None}, "int_type", []),
        ({"filters": [1]}, "model_attributes_type", [0]),
        ({"filters": [None]}, "model_attributes_type", [0]),
        ({"filters": [{"query": None}]}, "model_attributes_type", [0, "query"]),
        ({"filters": [{"query": []}]}, "model_attributes_type", [0, "query"]),
        ({"filters": [{"query": {"$expr": None}}]}, "dict_type", [0, "query", "$expr"]),
        ({"filter_logic_operator": None}, "literal_error", []),
        ({"evaluation_run_ids": [None]}, "string_type", [0]),
        ({"sort_by": [None]}, "model_attributes_type", [0]),
        ({"sort_by": [{**SORT, "mode": None}]}, "literal_error", [0, "mode"]),
        ({"filters": [{}]}, "missing", [0, "query"]),
        ({"filters": [{"query": {}}]}, "missing", [0, "query", "$expr"]),
        ({"filters": [{"query": {"$expr": 1}}]}, "dict_type", [0, "query", "$expr"]),
        ({"filters": [{"query": EXPR, "run": "a"}]}, "extra_forbidden", [0, "run"]),
        ({"filters": [{"query": {"$expr": {"$where": 1}}}]}, "value_error", []),
        ({"filters": [{"query": EXPR, "evaluation_call_id": "b"}]}, "value_error", []),
        ({"filters": [{"query": EXPR}] * 21}, "too_long", []),
        ({"sort_by": [{"field": "inputs.q"}]}, "missing", [0, "direction"]),
        ({"sort_by": [{**SORT, "direction": "up"}]}, "literal_error", [0, "direction"]),
        ({"sort_by": [{**SORT, "field": "model"}]}, "value_error", []),
        ({"sort_by": [{**SORT, "evaluation_call_id": "b"}]}, "value_error", []),
    ],
)
def test_errors_have_fastapis_shape(
    service: Service, project: str, wrong: dict[str, Any], type_: str, loc: list[Any]
) -> None:
    body = {"evaluation_run_ids": ["a"], **wrong}
    answer = service.post(f"{project}/eval_results/query", body)
    assert error_of(answer) == (type_, [*wrong, *loc])
    assert answer.json["detail"][0]["loc"][0] == "body"


def test_the_input_of_a_missing_field_is_its_parent(service: Service, project: str) -> None:
    answer = service.post(f"{project}/eval_results/query", {"sort_by": [{"direction": "asc"}]})
    assert answer.json["detail"] == [
        {
            "type": "missing",
            "loc": ["body", "sort_by", 0, "field"],
            "msg": "Field required",
            "input": {"direction": "asc"},
        }
    ]


def test_unknown_fields_are_named(service: Service, project: str) -> None:
    body = {"evaluation_run_ids": ["r"], "include_row": False}
    answer = service.post(f"{project}/eval_results/query", body)
    assert (answer.status, answer.headers["Scoreline-Ignored"]) == (200, "include_row")
    assert error_of(service.send("POST", f"{project}/eval_results/query"))[0] == "missing"


@pytest.mark.parametrize("body", [{}, {"evaluation_run_ids": [], "evaluation_call_ids": None}])
def test_a_query_names_a_run(service: Service, project: str, body: dict[str, Any]) -> None:
    answer = service.post(f"{project}/eval_results/query", body)
    (error,) = answer.json["detail"]
    assert (answer.status, error["type"], error["loc"]) == (422, "value_error", ["body"])
    assert (error["input"], error["ctx"]) == (body, {"error": {}})
