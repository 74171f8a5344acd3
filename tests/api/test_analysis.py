"""Summary, compare and gate over HTTP, on every engine: parameters, responses and errors."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import urlencode

import pytest

from app.schemas.agreement import AgreementRes
from app.schemas.comparisons import CompareRes
from app.schemas.gates import GateRes, GatesRes
from app.schemas.summaries import SummaryRes
from app.schemas.trends import TrendRes
from tests.processes import Answer, Service

_projects = iter(range(10**9))


@pytest.fixture
def scores(any_service: Service) -> str:
    """Return the path of a new project with two runs, A and B."""
    path = f"/v2/acme/analysis-{next(_projects)}/scores"
    for run, values in (("A", [0.5, 0.75, 1.0, None]), ("B", [0.5, 0.5, 1.0, 1.0])):
        items = [
            {
                "prediction_id": f"p{place}",
                "scorer": "s",
                "value": {"f1": value, "ok": value == 1.0},
                "evaluation_run_id": run,
            }
            for place, value in enumerate(values)
        ]
        assert any_service.post(f"{path}/batch", {"scores": items}).status == 200
    return path


def get(service: Service, path: str, *query: tuple[str, str]) -> Answer:
    return service.send("GET", f"{path}?{urlencode(query)}")


def only_error(answer: Answer) -> dict[str, Any]:
    assert answer.status == 422, answer.body
    error: dict[str, Any]
    (error,) = answer.json["detail"]
    return error


def test_a_summary_matches_its_schema(any_service: Service, scores: str) -> None:
    answer = get(any_service, f"{scores}/summary")
    assert answer.status == 200
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.json["group_by"] == ["scorer", "leaf"]
    f1, ok = answer.json["groups"]
    assert (f1["leaf"], f1["attempted"], f1["nulls"], f1["number"]["n"]) == ("f1", 8, 1, 7)
    assert (ok["leaf"], ok["boolean"]["true"], ok["boolean"]["n"]) == ("ok", 3, 8)
    # The schema has every key of the response.
    assert json.loads(json.dumps(SummaryRes().dump(answer.json))) == answer.json


def test_group_by_is_repeated_or_separated_by_commas(any_service: Service, scores: str) -> None:
    path = f"{scores}/summary"
    commas = get(any_service, path, ("group_by", "evaluation_run_id,leaf"))
    repeated = get(any_service, path, ("group_by", "evaluation_run_id"), ("group_by", "leaf"))
    assert commas.json == repeated.json
    assert [each["evaluation_run_id"] for each in commas.json["groups"]] == ["A", "A", "B", "B"]


def test_a_summary_takes_the_filters_of_the_list(any_service: Service, scores: str) -> None:
    path = f"{scores}/summary"
    assert get(any_service, path, ("created_before", "2020-01-01")).json["groups"] == []
    only_a = get(any_service, path, ("evaluation_run_id", "A")).json["groups"]
    assert [each["attempted"] for each in only_a] == [4, 4]


def test_a_run_of_a_summary_or_an_agreement_is_looked_for(
    any_service: Service, scores: str
) -> None:
    for path, given in (
        ("summary", ()),
        ("agreement", (("first", "s"), ("second", "s"), ("second_leaf", "x"))),
    ):
        answer = get(any_service, f"{scores}/{path}", *given, ("run", "nobody"))
        assert answer.status == 404
        assert answer.json["reason"].startswith("No evaluation run has the id or the name 'nobody'")
        answer = get(any_service, f"{scores}/{path}", *given, ("run", "approved"))
        assert answer.json["reason"] == "No evaluation run of this project is approved"
    found = get(any_service, f"{scores}/summary", ("run", "A")).json
    assert found["run"] == "A"
    assert [each["attempted"] for each in found["groups"]] == [4, 4]
    twice = get(any_service, f"{scores}/summary", ("run", "A"), ("evaluation_run_id", "A"))
    assert only_error(twice)["loc"] == ["query", "run"]


def test_an_unknown_group_by_is_refused(any_service: Service, scores: str) -> None:
    error = only_error(get(any_service, f"{scores}/summary", ("group_by", "scorer,colour")))
    assert error["type"] == "literal_error"
    assert error["loc"] == ["query", "group_by"]
    assert error["input"] == ["scorer,colour"]


def test_a_comparison_matches_its_schema(any_service: Service, scores: str) -> None:
    query = (("baseline", "A"), ("candidate", "B"), ("higher_is_better", "f1"))
    answer = get(any_service, f"{scores}/compare", *query)
    assert answer.status == 200
    assert answer.json["correction"] == "holm"
    rows = {(row["leaf"], row["kind"]): row for row in answer.json["comparisons"]}
    assert list(rows) == [("f1", "number"), ("ok", "boolean")]
    assert rows["f1", "number"]["pairs"]["failed_in_baseline"] == 1
    (regression,) = rows["f1", "number"]["regressions"]
    assert (regression["prediction_id"], regression["candidate_value"]) == ("p1", 0.5)
    assert json.loads(json.dumps(CompareRes().dump(answer.json))) == answer.json


def test_a_trend_matches_its_schema(any_service: Service, scores: str) -> None:
    answer = get(any_service, f"{scores}/trend", ("scorer", "s"), ("leaf", "f1"))
    assert answer.status == 200
    assert [(each["run"], each["mean"]) for each in answer.json["runs"]] == [
        ("A", 0.75),
        ("B", 0.75),
    ]
    assert (
        answer.json["reason"] == "By s f1, B has too few examples in common with A, the run before."
    )
    assert json.loads(json.dumps(TrendRes().dump(answer.json))) == answer.json


@pytest.mark.parametrize(
    ("query", "parameter"),
    [
        ((("scorer", "t"),), "scorer"),
        ((("scorer", "s"), ("leaf", "f2")), "leaf"),
        ((("scorer", "s"), ("leaf", "f1"), ("runs", "A")), "runs"),
        ((), "scorer"),
    ],
)
def test_a_trend_refuses_what_is_not_there(
    any_service: Service, scores: str, query: tuple[tuple[str, str], ...], parameter: str
) -> None:
    assert only_error(get(any_service, f"{scores}/trend", *query))["loc"] == ["query", parameter]


def test_agreement_matches_its_schema(any_service: Service, scores: str) -> None:
    query = (("first", "s"), ("second", "s"), ("leaf", "f1"), ("second_leaf", "ok"))
    assert only_error(get(any_service, f"{scores}/agreement", *query))["loc"] == ["query", "second"]
    items = [
        {
            "prediction_id": f"p{place}",
            "scorer": "t",
            "value": {"f1": 0.5},
            "evaluation_run_id": "A",
            "reason": "half",
        }
        for place in range(4)
    ]
    assert any_service.post(f"{scores}/batch", {"scores": items}).status == 200
    query = (("first", "s"), ("second", "t"), ("leaf", "f1"), ("run", "A"))
    answer = get(any_service, f"{scores}/agreement", *query)
    assert answer.status == 200, answer.body
    assert answer.json["predictions"]["compared"] == 3
    assert answer.json["table"]["counts"] == [[1, 0, 0], [1, 0, 0], [1, 0, 0]]
    worst = answer.json["disagreements"][0]
    assert (worst["prediction_id"], worst["second_reason"]) == ("p2", "half")
    assert json.loads(json.dumps(AgreementRes().dump(answer.json))) == answer.json
    assert get(any_service, f"{scores}/agreement", *query, ("run", "none")).status == 404


def test_a_comparison_says_how_it_counted(any_service: Service) -> None:
    project = f"/v2/acme/analysis-{next(_projects)}"
    scorers = [f"weave:///acme/demo/object/exact:v{number}" for number in (0, 1)]
    for run in "AB":
        for trial in (0, 1):
            prediction: dict[str, Any] = {
                "prediction_id": f"{run}{trial}",
                "evaluation_run_id": run,
                "model": "m",
                "inputs": {"q": [1.0, "é"], "a": None} if trial else {"a": None, "q": [1.0, "é"]},
                "output": None,
            }
            assert any_service.post(f"{project}/predictions", prediction).status == 200
            score: dict[str, Any]
            score = {"prediction_id": f"{run}{trial}", "evaluation_run_id": run}
            for scorer in scorers:
                score |= {"scorer": scorer, "value": trial + (run == "B") / 2}
                assert any_service.post(f"{project}/scores", score).status == 200
    failed: dict[str, Any] = {"prediction_id": "A2", "evaluation_run_id": "A", "model": "m"}
    failed |= {"inputs": {"q": 2}, "output": None, "error": "no answer"}
    assert any_service.post(f"{project}/predictions", failed).status == 200
    runs = (("baseline", "A"), ("candidate", "B"))
    answer = get(any_service, f"{project}/scores/compare", *runs, ("scorer", scorers[0]))
    assert (answer.json["pair_by"], answer.json["repeats"]) == ("example", "current")
    assert answer.json["superseded"] == {"A": 2, "B": 2}
    (row,) = answer.json["comparisons"]
    assert (row["scorer"], row["difference"]["mean"]) == ("exact", 0.5)
    assert row["pairs"]["compared"] == 1
    assert (row["pairs"]["trials_in_baseline"], row["pairs"]["trials_in_candidate"]) == (2, 2)
    assert row["summaries"]["baseline"]["coverage"] == pytest.approx(2 / 3)
    assert json.loads(json.dumps(CompareRes().dump(answer.json))) == answer.json
    gate = (("run", "A"), ("scorer", "exact"), ("min_coverage", "0.7"))
    answer = get(any_service, f"{project}/scores/gate", *gate)
    assert (answer.json["scorer"], answer.json["superseded"]) == ("exact", {"A": 2})
    (check,) = answer.json["checks"]
    assert (check["passed"], check["found"]) == (False, pytest.approx(2 / 3))
    assert json.loads(json.dumps(GateRes().dump(answer.json))) == answer.json
    answer = get(any_service, f"{project}/scores/gate", *gate, ("repeats", "all"))
    assert answer.json["summaries"]["run"]["attempted"] == 5
    assert (answer.json["repeats"], answer.json["superseded"]) == ("all", {"A": 0})


def test_a_ranking_matches_its_schema(any_service: Service, scores: str) -> None:
    answer = get(any_service, f"{scores}/compare", ("run", "A"), ("run", "B"))
    assert answer.status == 200
    assert [each["leaf"] for each in answer.json["rankings"]] == ["f1", "ok"]
    assert json.loads(json.dumps(CompareRes().dump(answer.json))) == answer.json
    error = only_error(get(any_service, f"{scores}/compare", ("run", "A")))
    assert (error["type"], error["loc"]) == ("value_error", ["query", "run"])


UNKNOWN_RUN = "No evaluation run has the id or the name 'C'"


def test_a_run_that_does_not_exist_is_not_found(any_service: Service, scores: str) -> None:
    for answer in (
        get(any_service, f"{scores}/compare", ("baseline", "A"), ("candidate", "C")),
        get(any_service, f"{scores}/gate", *RUN, ("baseline", "C"), ("max_drop", "1")),
        get(any_service, f"{scores}/gate", ("run", "C"), ("scorer", "s"), ("min", "1")),
    ):
        assert answer.status == 404
        assert answer.json == {"detail": "Not Found", "reason": UNKNOWN_RUN}


@pytest.mark.parametrize(
    ("query", "type_", "field"),
    [
        ([("candidate", "B")], "missing", "baseline"),
        ([("baseline", "A")], "missing", "candidate"),
        (
            [("baseline", "A"), ("candidate", "B"), ("pair_by", "id")],
            "string_pattern_mismatch",
            "pair_by",
        ),
        ([("baseline", "A"), ("candidate", "B"), ("worst", "1001")], "less_than_equal", "worst"),
        ([("baseline", "A"), ("candidate", "B"), ("failures", "0")], "literal_error", "failures"),
        ([("baseline", "A"), ("candidate", "B"), ("leaf", "f2")], "value_error", "leaf"),
        (
            [("baseline", "A"), ("candidate", "B"), ("slice_by", "lang")],
            "string_pattern_mismatch",
            "slice_by",
        ),
        (
            [("baseline", "A"), ("candidate", "B"), ("slice_by", "inputs.lang")],
            "value_error",
            "slice_by",
        ),
        ([("run", "A"), ("run", "B"), ("slice_by", "leaf:f1")], "value_error", "slice_by"),
        ([("run", "A"), ("run", "B"), ("k", "2")], "value_error", "k"),
        ([("run", "A"), ("run", "B"), ("effect", "0.1")], "value_error", "effect"),
        ([("run", "A"), ("run", "B"), ("worst", "5")], "value_error", "worst"),
        ([("run", "A"), ("run", "B"), ("histograms", "true")], "value_error", "histograms"),
        ([("baseline", "A"), ("candidate", "B"), ("k", "0")], "greater_than_equal", "k"),
        ([("baseline", "A"), ("candidate", "B"), ("colour", "1")], "extra_forbidden", "colour"),
        ([("baseline", "A"), *[("candidate", "B")] * 21], "too_long", "candidate"),
    ],
)
def test_an_invalid_comparison_is_refused(
    any_service: Service, scores: str, query: list[tuple[str, str]], type_: str, field: str
) -> None:
    error = only_error(get(any_service, f"{scores}/compare", *query))
    assert (error["type"], error["loc"]) == (type_, ["query", field])


RUN = (("run", "B"), ("scorer", "s"))


@pytest.mark.parametrize(
    ("query", "outcome"),
    [
        ([("leaf", "f1"), ("min", "0.75")], "passed"),
        ([("leaf", "f1"), ("min", "0.76")], "failed"),
        ([("leaf", "f1"), ("max", "0.75")], "passed"),
        ([("leaf", "ok"), ("min", "0.5"), ("min_coverage", "1")], "passed"),
        ([("leaf", "f1"), ("baseline", "A"), ("max_drop", "1")], "passed"),
        ([("leaf", "ok"), ("baseline", "A"), ("max_rise", "0.25")], "passed"),
        ([("leaf", "ok"), ("baseline", "A"), ("max_rise", "0.2")], "failed"),
        ([("leaf", "f1"), ("min", "0.74"), ("confidence", "true")], "inconclusive"),
        ([("leaf", "ok"), ("k", "1"), ("min_pass_at_k", "0.5")], "passed"),
        ([("leaf", "ok"), ("k", "1"), ("min_pass_hat_k", "0.51")], "failed"),
        ([("leaf", "ok"), ("k", "2"), ("min_pass_hat_k", "0.5")], "inconclusive"),
        ([("leaf", "ok"), ("protected", "p2"), ("protected", "p3")], "passed"),
        ([("leaf", "ok"), ("protected", "p2"), ("protected", "p1")], "failed"),
        (
            [("leaf", "f1"), ("baseline", "A"), ("slice", "leaf:ok"), ("direction", "higher")],
            "inconclusive",
        ),
    ],
)
def test_a_gate_checks_a_run_against_limits_and_says_what_it_does_not_know(
    any_service: Service, scores: str, query: list[tuple[str, str]], outcome: str
) -> None:
    answer = get(any_service, f"{scores}/gate", *RUN, *query)
    assert answer.status == 200, answer.body
    assert answer.json["outcome"] == outcome, answer.json["checks"]
    assert answer.json["passed"] is (outcome == "passed")
    for check in answer.json["checks"]:
        assert check["passed"] or check["why"] or check["found"] is not None
    assert json.loads(json.dumps(GateRes().dump(answer.json))) == answer.json


def test_a_gate_of_several_metrics_is_one_call(any_service: Service, scores: str) -> None:
    body: dict[str, Any] = {
        "run": "B",
        "baseline": "A",
        "gates": [
            {"scorer": "s", "leaf": "f1", "min": 0.5},
            {"scorer": "s", "leaf": "ok", "max_drop": 1, "protected": ["p2"]},
            {"scorer": "s", "leaf": "ok", "k": 1, "min_pass_at_k": 0, "baseline": "A"},
        ],
    }
    answer = any_service.post(f"{scores}/gate", body)
    assert answer.status == 200, answer.body
    assert [(each["leaf"], each["name"]) for each in answer.json["checks"]] == [
        *(("f1", "min"), ("f1", "min_compared")),
        *(("ok", "max_drop"), ("ok", "min_compared"), ("ok", "protected")),
        *(("ok", "min_compared"), ("ok", "min_pass_at_k")),
    ]
    assert [gate["leaf"] for gate in answer.json["gates"]] == ["f1", "ok", "ok"]
    assert json.loads(json.dumps(GatesRes().dump(answer.json))) == answer.json


OF_F1 = {"scorer": "s", "leaf": "f1", "min": 0}


@pytest.mark.parametrize(
    ("gates", "type_", "loc"),
    [
        ([], "too_short", ["body", "gates"]),
        ([{"leaf": "f1", "min": 0}], "missing", ["body", "gates", 0, "scorer"]),
        ([{"scorer": "s", "min": True}], "float_parsing", ["body", "gates", 0, "min"]),
        ([{"scorer": "s", "protected": "p"}], "list_type", ["body", "gates", 0, "protected"]),
        ([{"scorer": "s", "least": 1}], "extra_forbidden", ["body", "gates", 0, "least"]),
        ([OF_F1, {**OF_F1, "leaf": "f2"}], "value_error", ["body", "gates", 1, "leaf"]),
        ([OF_F1, {**OF_F1, "min": None}], "float_parsing", ["body", "gates", 1, "min"]),
        ([OF_F1, {"scorer": "s"}], "value_error", ["body", "gates", 1, "min"]),
        ([OF_F1, {**OF_F1, "max_drop": 0}], "value_error", ["body", "gates", 1, "baseline"]),
        ([OF_F1, {**OF_F1, "min_compared": 1}], "value_error", ["body", "gates", 1, "baseline"]),
        ([OF_F1, {**OF_F1, "scorer": "z"}], "value_error", ["body", "gates", 1, "scorer"]),
        (
            [OF_F1, {**OF_F1, "protected": ["tag:x"]}],
            "value_error",
            ["body", "gates", 1, "protected"],
        ),
        (None, "missing", ["body", "gates"]),
        (5, "list_type", ["body", "gates"]),
        ([5], "model_attributes_type", ["body", "gates", 0]),
        ([None], "model_attributes_type", ["body", "gates", 0]),
    ],
)
def test_an_invalid_gate_of_several_metrics_is_refused(
    any_service: Service, scores: str, gates: Any, type_: str, loc: list[Any]
) -> None:
    body = {"run": "B"} if gates is None else {"run": "B", "gates": gates}
    error = only_error(any_service.post(f"{scores}/gate", body))
    assert (error["type"], error["loc"]) == (type_, loc)


def test_a_drop_is_not_increased_by_rounding(any_service: Service) -> None:
    path = f"/v2/acme/analysis-{next(_projects)}/scores"
    for run, value in (("A", 0.85), ("B", 0.83)):
        score = {"prediction_id": "p", "scorer": "s", "value": value, "evaluation_run_id": run}
        any_service.post(path, score)
    query = (("baseline", "A"), ("max_drop", "0.02"))  # 0.85 - 0.83 > 0.02 in floating point.
    assert get(any_service, f"{path}/gate", *RUN, *query).json["passed"] is True


def test_a_run_with_only_nulls_does_not_pass_its_gate(any_service: Service) -> None:
    path = f"/v2/acme/analysis-{next(_projects)}/scores"
    score = {"prediction_id": "p", "scorer": "s", "value": None, "evaluation_run_id": "B"}
    any_service.post(path, score)
    answer = get(any_service, f"{path}/gate", *RUN, ("min", "-1"), ("min_coverage", "0"))
    least, coverage = answer.json["checks"]
    assert (least["passed"], least["found"]) == (False, None)
    assert least["why"] == "the run has no values at this leaf"
    assert (coverage["passed"], coverage["found"]) == (True, 0.0)


@pytest.mark.parametrize(
    ("query", "type_", "field"),
    [
        ([], "value_error", "min"),
        ([("max_drop", "0.1")], "value_error", "baseline"),
        ([("min", "much")], "float_parsing", "min"),
        ([("min", "\N{ARABIC-INDIC DIGIT ONE}")], "float_parsing", "min"),
        ([("min", "nan")], "finite_number", "min"),
        ([("min_coverage", "1.5")], "less_than_equal", "min_coverage"),
        ([("baseline", "A"), ("max_drop", "-1")], "greater_than_equal", "max_drop"),
        ([("baseline", "A"), ("max_rise", "-0.1")], "greater_than_equal", "max_rise"),
        ([("leaf", "none"), ("min", "-1")], "value_error", "leaf"),
        ([("leaf", "none"), ("min_coverage", "0.1")], "value_error", "leaf"),
        ([("min", "-1")], "value_error", "leaf"),
        ([("leaf", "ok"), ("protected", "tag:x")], "value_error", "protected"),
        ([("leaf", "f1"), ("protected", "p1")], "value_error", "protected"),
        ([("leaf", "ok"), ("slice", "lang")], "string_pattern_mismatch", "slice"),
        ([("leaf", "ok"), ("min_pass_at_k", "0.5")], "value_error", "k"),
        ([("leaf", "f1"), ("k", "1"), ("min_pass_at_k", "0.5")], "value_error", "min_pass_at_k"),
    ],
)
def test_an_invalid_gate_is_refused(
    any_service: Service, scores: str, query: list[tuple[str, str]], type_: str, field: str
) -> None:
    error = only_error(get(any_service, f"{scores}/gate", *RUN, *query))
    assert (error["type"], error["loc"]) == (type_, ["query", field])


def test_a_leaf_that_no_score_has_is_refused_with_similar_ones(
    any_service: Service, scores: str
) -> None:
    for leaf, there in (("f2", "'f1'"), ("", "'f1' and 'ok'")):
        error = only_error(get(any_service, f"{scores}/gate", *RUN, ("leaf", leaf), ("min", "0")))
        assert error["msg"] == (
            f"Value error, none of the scores has the leaf '{leaf}'; there is {there}"
        )


def test_both_engines_compare_the_same_slices(service: Service, mongodb_service: Service) -> None:
    project = f"/v2/acme/analysis-{next(_projects)}"
    answers = []
    for each in (service, mongodb_service):
        for run in "AB":
            for place in range(20):
                prediction = {
                    "prediction_id": f"{run}{place}",
                    "evaluation_run_id": run,
                    "model": "m",
                    "inputs": {"q": place, "lang": "de" if place < 15 else "fr"},
                    "output": None,
                }
                score = {
                    "prediction_id": f"{run}{place}",
                    "evaluation_run_id": run,
                    "scorer": "s",
                    "value": run == "A",
                }
                assert each.post(f"{project}/predictions", prediction).status == 200
                assert each.post(f"{project}/scores", score).status == 200
        runs = (("baseline", "A"), ("candidate", "B"), ("slice_by", "inputs.lang"))
        answer = get(each, f"{project}/scores/compare", *runs, ("worst", "0"), ("k", "1"))
        assert answer.status == 200, answer.body
        assert json.loads(json.dumps(CompareRes().dump(answer.json))) == answer.json
        answers.append(answer.json)
    assert answers[0] == answers[1]
    (row,) = answers[0]["comparisons"]
    assert [(part["slice"], part["verdict"]) for part in row["slices"]] == [
        ("de", "lower"),
        ("fr", "not enough data"),
    ]


def test_both_engines_give_the_same_responses(service: Service, mongodb_service: Service) -> None:
    path = f"/v2/acme/analysis-{next(_projects)}/scores"
    values: list[Any] = [0.1, 1, True, None, "a", {"x": [1, "b", False, None]}, 10**400, {}, [[]]]
    items = [
        {"prediction_id": f"p{place}", "scorer": "s", "value": value, "evaluation_run_id": run}
        for run in "AB"
        for place, value in enumerate(values * 3)
    ]
    answers = []
    for each in (service, mongodb_service):
        assert each.post(f"{path}/batch", {"scores": items}).status == 200
        results = [
            get(each, f"{path}/summary", ("group_by", "scorer,evaluation_run_id,leaf")).json,
            get(each, f"{path}/summary", ("group_by", "scorer")).json,
            get(each, f"{path}/compare", ("baseline", "A"), ("candidate", "B")).json,
            get(each, f"{path}/gate", *RUN, ("min", "0")).json,
        ]
        for comparison in results[2]["comparisons"]:
            del comparison["regressions"]
        answers.append(results)
    assert answers[0] == answers[1]
