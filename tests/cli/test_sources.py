"""Exports of other services, in files written by hand from their documented formats."""

from __future__ import annotations

import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from uuid import UUID

import pytest

from app.cli.files import InputFile
from app.cli.rows import NotRows, Origin, Row, Unmappable, is_lines, read_rows
from app.cli.sources import SOURCES
from app.schemas.transfers import ScoreImportLine

AT = "2024-03-01T10:00:00.123Z"


def mapped(source: str, content: Any, *, is_text: bool = False, **defaults: str) -> list[Any]:
    """Return scorer, prediction, run, value and time of each score in a row."""
    row = Row("row 1", 1, 0, content, is_text=is_text)
    scores = SOURCES[source](row, Origin(source, "acme/demo", **defaults))
    for score in scores:
        ScoreImportLine().load(score)  # The service accepts it.
    return [
        (
            score["scorer"],
            score["prediction_id"],
            score["evaluation_run_id"],
            score["value"],
            score["created_at"],
        )
        for score in scores
    ]


@pytest.mark.parametrize(
    ("source", "row", "found"),
    [
        (
            "langfuse",
            {
                "id": "a",
                "name": "n",
                "value": 1,
                "traceId": "t",
                "timestamp": AT,
                "source": "ANNOTATION",
                "comment": "too short",
                "authorUserId": "u-1",
            },
            {"reason": "too short", "annotator": "u-1"},
        ),
        (
            "langfuse",
            {
                "id": "a",
                "name": "n",
                "value": 1,
                "traceId": "t",
                "timestamp": AT,
                "source": "EVAL",
                "authorUserId": "u-1",
            },
            {},
        ),
        (
            "phoenix",
            {
                "id": "a",
                "name": "n",
                "annotator_kind": "HUMAN",
                "user_id": "u-1",
                "span_id": "s",
                "created_at": AT,
                "result": {"score": 1.0, "explanation": "it is right"},
            },
            {"reason": "it is right", "annotator": "u-1"},
        ),
        (
            "phoenix",
            {
                "id": "a",
                "name": "n",
                "annotator_kind": "LLM",
                "user_id": "u-1",
                "span_id": "s",
                "created_at": AT,
                "result": {"label": "good"},
            },
            {},
        ),
        (
            "mlflow",
            {
                "assessment_id": "a",
                "assessment_name": "n",
                "trace_id": "t",
                "create_time": AT,
                "source": {"source_type": "HUMAN", "source_id": "olga"},
                "rationale": "it is right",
                "feedback": {"value": True},
            },
            {"reason": "it is right", "annotator": "olga"},
        ),
        (
            "mlflow",
            {
                "assessment_id": "a",
                "assessment_name": "n",
                "trace_id": "t",
                "create_time": AT,
                "source": {"source_type": "LLM_JUDGE", "source_id": "gpt"},
                "feedback": {"error": {"error_code": "TIMEOUT", "error_message": "too slow"}},
            },
            {"error": "too slow"},
        ),
    ],
)
def test_reasons_errors_and_annotators_are_imported(
    source: str, row: dict[str, Any], found: dict[str, str]
) -> None:
    (score,) = SOURCES[source](Row("row 1", 1, 0, row), Origin(source, "acme/demo"))
    ScoreImportLine().load(score)
    names = ("reason", "error", "annotator")
    assert {name: score[name] for name in names if name in score} == found


def refusal(source: str, content: Any, **defaults: Any) -> str:
    with pytest.raises(Unmappable) as refused:
        mapped(source, content, **defaults)
    return str(refused.value)


# Ids


def ids(content: Any, project: str = "acme/demo") -> list[str]:
    row = Row("row 1", 1, 0, content)
    return [each["score_id"] for each in SOURCES["langfuse"](row, Origin("langfuse", project))]


def test_an_id_depends_on_the_original_id_its_time_and_the_project() -> None:
    row = {"id": "a", "name": "n", "value": 1, "traceId": "t", "timestamp": AT}
    (first,) = ids(row)
    found = UUID(first)
    assert (found.version, found.variant, str(found)) == (7, "specified in RFC 4122", first)
    assert found.int >> 80 == 1_709_287_200_123
    assert ids({**row, "value": 2, "comment": "changed"}) == [first]
    others = [ids({**row, "id": "b"}), ids(row, "acme/other"), ids({**row, "timestamp": 1})]
    assert len({first, *(each for (each,) in others)}) == 4


# Langfuse

LANGFUSE: dict[str, Any] = {
    "id": "5b1f",
    "traceId": "trace-1",
    "observationId": None,
    "sessionId": None,
    "datasetRunId": None,
    "name": "correctness",
    "value": 0.9,
    "stringValue": None,
    "dataType": "NUMERIC",
    "source": "EVAL",
    "comment": "why",
    "metadata": {},
    "timestamp": AT,
    "createdAt": "2024-03-02T00:00:00.000Z",
    "updatedAt": "2024-03-02T00:00:00.000Z",
    "configId": None,
    "environment": "default",
    "trace": {"userId": "u", "tags": []},
}


@pytest.mark.parametrize(
    ("change", "value"),
    [
        ({}, 0.9),
        ({"value": 3}, 3),
        ({"value": None}, None),
        ({"dataType": "BOOLEAN", "value": 1, "stringValue": "True"}, True),
        ({"dataType": "BOOLEAN", "value": 0, "stringValue": "False"}, False),
        ({"dataType": "BOOLEAN", "value": False}, False),
        ({"dataType": "BOOLEAN", "value": None}, None),
        ({"dataType": "CATEGORICAL", "value": 2, "stringValue": "good"}, "good"),
        ({"dataType": "CATEGORICAL", "value": "good", "stringValue": None}, "good"),
        ({"dataType": "CATEGORICAL", "value": None, "stringValue": ""}, ""),
        ({"dataType": "TEXT", "value": "well done"}, "well done"),
        ({"dataType": "CATEGORICAL", "value": None}, None),
    ],
)
def test_langfuse_values_have_their_type(change: dict[str, Any], value: Any) -> None:
    row = {**LANGFUSE, **change}
    ((_, _, _, found, _),) = mapped("langfuse", row)
    assert json.dumps(found) == json.dumps(value)
    assert mapped("langfuse", row) == [("langfuse:EVAL/correctness", "trace-1", None, value, AT)]


def test_langfuse_scores_refer_to_the_most_specific_object() -> None:
    row = {**LANGFUSE, "observationId": "o-1", "sessionId": "s-1", "datasetRunId": "r-1"}
    assert [score[1:3] for score in mapped("langfuse", row)] == [("o-1", "r-1")]
    session = {**row, "observationId": None, "traceId": None}
    assert [score[1] for score in mapped("langfuse", session)] == ["s-1"]
    assert [score[2] for score in mapped("langfuse", LANGFUSE, run="mine")] == ["mine"]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"traceId": None}, "no traceId"),
        ({"traceId": None, "datasetRunId": "r"}, "it scores a dataset run, not a prediction"),
        ({"id": None}, "no id"),
        ({"name": ""}, "no name"),
        ({"value": "0.9"}, "value is not a number"),
        ({"value": True}, "value is not a number"),
        ({"dataType": "BOOLEAN", "value": 0.5}, "value is not a boolean"),
        ({"dataType": "CORRECTION", "value": "x"}, "dataType CORRECTION is not a score"),
        ({"dataType": "CATEGORICAL", "stringValue": 3}, "stringValue is not text"),
        ({"timestamp": None, "createdAt": None}, "no timestamp; use --created-at"),
        ({"timestamp": "soon"}, "timestamp: Input should be a valid"),
        ({"timestamp": "1969-01-01"}, "timestamp is before 1970"),
    ],
)
def test_langfuse_scores_that_cannot_be_mapped_say_why(change: dict[str, Any], reason: str) -> None:
    assert refusal("langfuse", {**LANGFUSE, **change}).startswith(reason)


def test_a_csv_of_langfuses_scores_table_is_read() -> None:
    header = "id,traceId,timestamp,source,name,dataType,value,stringValue,comment,observationId"
    lines = [
        "1,t,2024-03-01T10:00:00.123Z,API,n,NUMERIC,0.5,,,",
        "2,t,2024-03-01T10:00:00.123Z,API,n,BOOLEAN,1,True,,",
        "3,t,2024-03-01T10:00:00.123Z,API,n,CATEGORICAL,,007,,o",
        "4,t,2024-03-01T10:00:00.123Z,API,n,NUMERIC,,,,",
    ]
    found = [
        mapped("langfuse", row.content, is_text=row.is_text)[0][1:4]
        for row in rows_of("scores.csv", "\r\n".join([header, *lines]))
    ]
    assert found == [
        ("t", None, 0.5),
        ("t", None, True),
        ("o", None, "007"),
        ("t", None, None),
    ]


# Phoenix

PHOENIX: dict[str, Any] = {
    "id": "U3BhbkFubm90YXRpb246MQ==",
    "span_id": "67f6740bbe1ddc3f",
    "name": "correctness",
    "annotator_kind": "LLM",
    "result": {"label": "correct", "score": 0.85, "explanation": "It is."},
    "metadata": {"model": "m"},
    "identifier": "",
    "source": "API",
    "user_id": None,
    "created_at": "2024-03-01T10:00:00.123456+00:00",
    "updated_at": "2024-03-02T10:00:00+00:00",
}


@pytest.mark.parametrize(
    ("result", "value"),
    [
        (PHOENIX["result"], {"score": 0.85, "label": "correct", "explanation": "It is."}),
        ({"score": 0, "label": None}, {"score": 0}),
        ({"label": "good"}, {"label": "good"}),
        ({"score": None, "label": None, "explanation": "It failed."}, None),
        ({}, None),
        (None, None),
    ],
)
def test_phoenix_results_become_values(result: Any, value: Any) -> None:
    assert mapped("phoenix", {**PHOENIX, "result": result}) == [
        ("phoenix:LLM/correctness", "67f6740bbe1ddc3f", None, value, AT)
    ]


def test_phoenix_documents_traces_and_sessions_are_predictions_too() -> None:
    document = {**PHOENIX, "document_position": 0}
    trace = {**PHOENIX, "span_id": None, "trace_id": "t"}
    session = {**PHOENIX, "span_id": None, "session_id": "s"}
    found = [mapped("phoenix", row)[0][1] for row in (document, trace, session)]
    assert found == ["67f6740bbe1ddc3f:0", "t", "s"]


def test_a_csv_of_phoenixs_annotations_is_read() -> None:
    text = (
        "span_id,annotation_name,annotator_kind,metadata,identifier,id,created_at,"
        "result.score,result.label,result.explanation\n"
        "ab,quality,HUMAN,{},,QQ==,2024-03-01 10:00:00.123000+00:00,1.0,good,\n"
        "cd,quality,HUMAN,{},,Qg==,2024-03-01 10:00:00.123000+00:00,,,\n"
    )
    found = [mapped("phoenix", row.content, is_text=True)[0] for row in rows_of("a.csv", text)]
    assert found == [
        ("phoenix:HUMAN/quality", "ab", None, {"score": 1.0, "label": "good"}, AT),
        ("phoenix:HUMAN/quality", "cd", None, None, AT),
    ]


def test_evaluations_that_were_never_logged_need_a_time() -> None:
    row = {"context.span_id": "ab", "name": "n", "label": "x", "score": 1}
    assert refusal("phoenix", row) == "no created_at; use --created-at to set it"
    assert mapped("phoenix", row, created_at=AT) == [
        ("phoenix:n", "ab", None, {"score": 1, "label": "x"}, AT)
    ]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"name": None}, "no name"),
        ({"span_id": None}, "no span_id"),
        ({"result": {"score": "high"}}, "score is not a number"),
        ({"result": {"label": ["a"]}}, "label is not text"),
        ({"result": "good"}, "not a JSON object"),
    ],
)
def test_phoenix_annotations_that_cannot_be_mapped_say_why(
    change: dict[str, Any], reason: str
) -> None:
    assert refusal("phoenix", {**PHOENIX, **change}) == reason


# MLflow

FEEDBACK: dict[str, Any] = {
    "assessment_id": "a-1",
    "assessment_name": "relevance",
    "trace_id": "tr-1",
    "source": {"source_type": "LLM_JUDGE", "source_id": "m"},
    "create_time": "2024-03-01T10:00:00.123Z",
    "last_update_time": "2024-03-02T10:00:00Z",
    "feedback": {"value": "yes"},
    "rationale": "why",
    "metadata": {"mlflow.assessment.sourceRunId": "run-1"},
    "valid": True,
}


@pytest.mark.parametrize(
    ("change", "value"),
    [
        ({}, "yes"),
        ({"feedback": {"value": 0.5}}, 0.5),
        ({"feedback": {"value": False}}, False),
        ({"feedback": {"value": {"a": [1]}}}, {"a": [1]}),
        ({"feedback": {"value": None}}, None),
        ({"feedback": {"error": {"error_code": "RATE_LIMIT"}}}, None),
        ({"feedback": {"value": 0, "error": {"error_code": "RATE_LIMIT"}}}, None),
        ({"feedback": None, "error": {"error_code": "RATE_LIMIT"}}, None),
    ],
)
def test_mlflow_feedback_becomes_a_value_and_an_error_null(
    change: dict[str, Any], value: Any
) -> None:
    assert mapped("mlflow", {**FEEDBACK, **change}) == [
        ("mlflow:LLM_JUDGE/relevance", "tr-1", "run-1", value, AT)
    ]


def test_mlflow_assessments_of_earlier_versions_are_read() -> None:
    row = {**FEEDBACK, "assessment_name": None, "create_time": None, "metadata": None}
    row |= {"name": "relevance", "create_time_ms": 1_709_287_200_123, "span_id": "s"}
    assert mapped("mlflow", row) == [("mlflow:LLM_JUDGE/relevance", "tr-1/s", None, "yes", AT)]


def test_the_feedback_of_mlflow_traces_is_read() -> None:
    inner = {name: value for name, value in FEEDBACK.items() if name != "trace_id"}
    expectation = {**inner, "feedback": None, "expectation": {"value": "Paris"}}
    replaced = {**inner, "assessment_id": "a-0", "valid": False}
    assessments = [inner, expectation, replaced, {**inner, "assessment_id": "a-2"}]
    searched = {"trace_id": "tr-9", "assessments": assessments}
    exported = {"info": {"trace_id": "tr-9", "assessments": assessments}, "data": {"spans": []}}
    for row in (searched, exported):
        assert [score[:2] for score in mapped("mlflow", row)] == [
            ("mlflow:LLM_JUDGE/relevance", "tr-9")
        ] * 2
    assert mapped("mlflow", {"trace_id": "tr-9", "assessments": []}) == []


def test_each_metric_of_an_mlflow_table_becomes_a_score() -> None:
    table = {
        "columns": [
            *("inputs", "outputs", "toxicity/v1/score", "similarity/v1/score", "token_count"),
            "similarity/v1/justification",
        ],
        "data": [["q", "a", 0.25, None, 7, None], ["q", "a", 1, 4, 7, "The same."]],
    }
    rows = rows_of("eval_results_table.json", json.dumps(table))
    found = [
        score
        for row in rows
        for score in SOURCES["mlflow"](row, Origin("mlflow", "a/b", created_at=AT, run="r"))
    ]
    assert [(each["scorer"], each["prediction_id"], each["value"]) for each in found] == [
        ("mlflow:toxicity", "r/1", 0.25),
        ("mlflow:similarity", "r/1", None),
        ("mlflow:toxicity", "r/2", 1),
        ("mlflow:similarity", "r/2", 4),
    ]
    assert len({each["score_id"] for each in found}) == 4
    assert [each.get("reason") for each in found] == [None, None, None, "The same."]


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({**FEEDBACK, "feedback": None, "expectation": {"value": 1}}, "it is an expectation"),
        ({**FEEDBACK, "valid": False}, "it was replaced by a later assessment"),
        ({**FEEDBACK, "trace_id": None}, "no trace_id"),
        ({**FEEDBACK, "assessment_id": None}, "no assessment_id"),
        ({**FEEDBACK, "feedback": {}}, "neither feedback nor an error"),
        ({"inputs": "q"}, "neither an assessment nor a column"),
        ({"toxicity/v1/score": 1}, "no trace_id, request_id or run_id; use --run"),
        ({"toxicity/v1/score": 1, "run_id": "r"}, "no timestamp; use --created-at"),
        ([1], "not a JSON object"),
        (None, "not a JSON object"),
    ],
)
def test_mlflow_rows_that_cannot_be_mapped_say_why(row: Any, reason: str) -> None:
    assert refusal("mlflow", row).startswith(reason)


# Files


def rows_of(name: str, text: str) -> list[Row]:
    with TemporaryDirectory() as folder:
        path = Path(folder, name)
        path.write_bytes(text.encode())
        with InputFile(str(path)) as file:
            return list(read_rows(file, 0, as_lines=is_lines(name)))


def test_rows_are_found_in_every_form_of_json() -> None:
    row = {"id": 1}
    texts = [[row], {"data": [row], "meta": {}}, {"traces": [row]}, {"assessments": [row]}, row]
    for text in texts:
        assert [each.content for each in rows_of("a.json", json.dumps(text))] == [row]
    trace = {"trace_id": "t", "assessments": [row]}
    assert [each.content for each in rows_of("a.json", json.dumps(trace))] == [trace]


@pytest.mark.parametrize(
    ("name", "text"),
    [("a.json", "{}\n{}"), ("a.json", "3"), ("a.csv", 'a\n"x'), ("a.json", "[" * 100_000)],
)
def test_a_file_without_rows_says_so(name: str, text: str) -> None:
    with pytest.raises(NotRows):
        rows_of(name, text)


def test_rows_of_csv_are_numbered_by_their_lines() -> None:
    rows = rows_of("a.csv", 'id,note\r\n1,"two\r\nlines"\r\n\r\n2,\r\n')
    assert [(row.position, row.content) for row in rows if not row.is_blank] == [
        ("line 3", {"id": "1", "note": "two\r\nlines"}),
        ("line 5", {"id": "2", "note": None}),
    ]
