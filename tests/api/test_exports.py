"""Exports of scores: three formats, complete, typed and safe to open."""

from __future__ import annotations

import csv
import http.client
import io
import json
import re
import secrets
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from flask import Flask
from hypothesis import HealthCheck, given, settings
from hypothesis.strategies import lists

from app.api.transfers import attachment, file_name
from app.errors import StoreUnavailable
from app.exports import parquet
from app.exports.exports import export_scores
from app.exports.tables import LAST_COLUMNS
from app.schemas.transfers import MAX_COLUMNS
from app.stores.base import Store
from app.stores.model import Score
from app.stores.sqlite.store import SqliteStore
from tests.api.test_http import peak_kilobytes
from tests.api.test_resource import SCORE, add, listed
from tests.api.test_resource import scores as scores  # noqa: PLC0414 - a fixture.
from tests.processes import ADMIN_KEY, Answer, Service, running
from tests.stores.test_contract import a_score
from tests.test_jsontext import any_json

VALUES: list[Any] = [
    0.5,
    -1,
    True,
    None,
    "",
    "good",
    {"f1": 1.0, "note": 'a,b\r\n"c"', "ok": False},
    {"f1": None, "note": None},
    {"f1": "n/a", "ok": 10**30, "deep": {"a.b": [2**53 + 1, 1e300]}},
    [],
    {},
]


_predictions = iter(range(10**9))


def fill(service: Service, path: str, values: list[Any] = VALUES) -> list[str]:
    """Create a score of a new prediction for each value, so that none supersedes another."""
    sent = [
        {**SCORE, "prediction_id": f"p-{next(_predictions)}", "value": value} for value in values
    ]
    answer = service.post(f"{path}/batch", {"scores": sent})
    ids: list[str] = answer.json["score_ids"]
    return ids


def export(service: Service, path: str, query: str) -> Answer:
    answer = service.send("GET", f"{path}/export?{query}")
    assert answer.status == 200, answer.body
    return answer


def raw_rows(text: str) -> list[list[str]]:
    """Return the cells of CSV with their quotes, which distinguish "" from an empty cell."""
    cell = r'"(?:[^"]|"")*"|[^",\r\n]*'
    lines = re.findall(rf"(?:{cell})(?:,(?:{cell}))*\r\n", text)
    assert "".join(lines) == text
    return [re.findall(rf"({cell})(?:,|\r\n)", line) for line in lines]


def csv_rows(answer: Answer) -> list[dict[str, str]]:
    assert answer.headers["Content-Type"] == "text/csv; charset=utf-8"
    return list(csv.DictReader(io.StringIO(answer.body.decode(), newline=""), strict=True))


def parquet_table(answer: Answer) -> Any:
    assert answer.headers["Content-Type"] == "application/vnd.apache.parquet"
    return pytest.importorskip("pyarrow.parquet").read_table(io.BytesIO(answer.body))


# JSON lines


def test_jsonl_equals_the_list(any_service: Service, scores: str) -> None:
    ids = fill(any_service, scores)
    for query in ("", f"limit=3&offset=2&after={ids[1]}", "prediction_id=nobody"):
        answer = export(any_service, scores, query)
        assert listed(answer) == listed(any_service.send("GET", f"{scores}?{query}"))
        assert answer.headers["Link"] is None
    disposition = export(any_service, scores, "").headers["Content-Disposition"]
    assert disposition == f'attachment; filename="scores-acme-{scores.split("/")[3]}.jsonl"'


# CSV


def test_csv_has_a_column_for_each_leaf_and_the_whole_value(
    any_service: Service, scores: str
) -> None:
    ids = fill(any_service, scores)
    answer = export(any_service, scores, "format=csv")
    rows = csv_rows(answer)
    assert list(rows[0]) == [
        "score_id",
        "created_at",
        "scorer",
        "prediction_id",
        "evaluation_run_id",
        "wb_user_id",
        "value",
        "value.f1",
        "value.note",
        "value.ok",
        "value.deep.a\\.b[0]",
        "value.deep.a\\.b[1]",
        *LAST_COLUMNS,
    ]
    assert [row["score_id"] for row in rows] == ids
    assert [json.loads(row["value_json"]) for row in rows] == VALUES
    assert [row["value"] for row in rows[:6]] == ["0.5", "-1", "true", "", "", "good"]
    assert [row["value.f1"] for row in rows[6:9]] == ["1.0", "", "n/a"]
    assert rows[6]["value.note"] == 'a,b\r\n"c"'
    assert rows[8]["value.ok"] == str(10**30)
    assert rows[8]["value.deep.a\\.b[0]"] == str(2**53 + 1)
    (first,) = listed(any_service.send("GET", f"{scores}?limit=1"))
    shown = {name: text or None for name, text in rows[0].items() if not name.startswith("value")}
    assert shown == {name: first.get(name) for name in shown}


def test_csv_distinguishes_null_from_an_empty_text_and_text_from_numbers(
    service: Service, scores: str
) -> None:
    fill(service, scores, [None, "", 1, "1", True, "true", []])
    text = export(service, scores, "format=csv").body.decode()
    cells = [row[6] for row in raw_rows(text)[1:]]
    assert cells == ["", '""', "1", '"1"', "true", '"true"', ""]


@pytest.mark.parametrize(
    "text",
    [
        "=1+1",
        "+1",
        "-1",
        "@SUM(A1)",
        "\t=1",
        "\r=1",
        "\x00=1",
        "\ufeff=1",
        " \u200b\xad+1",
        "\n=1",
        " =1",
        "'=1",
        "'",
        "\uff1d1",
        "\uff20x",
    ],
)
def test_csv_text_is_never_a_formula_and_its_prefix_can_be_removed(
    service: Service, scores: str, text: str
) -> None:
    ids = {"scorer": text, "prediction_id": text, "evaluation_run_id": text}
    add(service, scores, value=text, **ids)
    (row,) = csv_rows(export(service, scores, "format=csv"))
    for name in ("scorer", "prediction_id", "evaluation_run_id", "value"):
        assert row[name] == f"'{text}"
    assert json.loads(row["value_json"]) == text


def test_csv_does_not_change_other_text_or_negative_numbers(service: Service, scores: str) -> None:
    fill(service, scores, [-0.5, -(10**30), {"=x": "a=b"}, "a'b", "1-2"])
    rows = csv_rows(export(service, scores, "format=csv"))
    assert [rows[0]["value"], rows[1]["value"]] == ["-0.5", str(-(10**30))]
    assert rows[2]["value.=x"] == "a=b"
    assert [rows[3]["value"], rows[4]["value"]] == ["a'b", "1-2"]
    for row in rows:
        assert not row["value_json"].startswith(("=", "+", "@", "\t", "\r"))


def test_csv_escapes_a_lone_surrogate_as_in_json(service: Service, scores: str) -> None:
    fill(service, scores, ["a\ud800", "\0é😀"])
    rows = csv_rows(export(service, scores, "format=csv"))
    assert [row["value"] for row in rows] == ["a\\ud800", "\0é😀"]
    assert json.loads(rows[0]["value_json"]) == "a\ud800"


def test_long_texts_and_many_leaves_are_not_truncated(service: Service, scores: str) -> None:
    value = {"text": "x" * 5_000, "many": list(range(400))}
    fill(service, scores, [value])
    (row,) = csv_rows(export(service, scores, "format=csv"))
    assert row["value.text"] == "x" * 5_000
    assert row["value.many[399]"] == "399"


@pytest.mark.parametrize("form", ["csv", "parquet"])
@pytest.mark.parametrize(
    ("value", "column", "new"),
    [({"a": [{"b": 1}]}, "a.0.b", "a[0].b"), ([1], "0", "[0]"), ({"": 1}, "", r"\e")],
)
def test_a_column_by_the_name_of_an_older_release_is_refused_with_the_new_one(
    any_service: Service, scores: str, form: str, value: object, column: str, new: str
) -> None:
    fill(any_service, scores, [value])
    query = urlencode({"format": form, "columns": column})
    answer = any_service.send("GET", f"{scores}/export?{query}")
    (error,) = answer.json["detail"]
    assert (answer.status, error["loc"], error["input"]) == (422, ["query", "columns"], column)
    assert f"is now named '{new}'" in error["msg"]
    named = export(any_service, scores, urlencode({"format": form, "columns": new}))
    assert named.status == 200


def test_a_name_that_leaves_have_today_is_exported_beside_leaves_that_had_it(
    any_service: Service, scores: str
) -> None:
    fill(any_service, scores, [[1], {"0": 2}])
    rows = csv_rows(export(any_service, scores, "format=csv&columns=0"))
    assert [row["value.0"] for row in rows] == ["", "2"]


def test_only_declared_columns_are_exported(any_service: Service, scores: str) -> None:
    fill(any_service, scores)
    answer = export(any_service, scores, "format=csv&columns=ok&columns=&columns=never")
    assert list(csv_rows(answer)[0])[6:] == ["value.ok", "value", "value.never", *LAST_COLUMNS]
    assert [row["value.ok"] for row in csv_rows(answer)][6:9] == ["false", "", str(10**30)]


def test_filters_limit_and_offset_select_the_rows(any_service: Service, scores: str) -> None:
    for number in range(8):
        add(
            any_service,
            scores,
            value={f"n{number}": number},
            scorer=f"s{number % 2}",
            prediction_id=f"p{number}",
        )

    def values(query: str) -> list[Any]:
        rows = csv_rows(export(any_service, scores, f"format=csv&{query}"))
        return [next(iter(json.loads(row["value_json"]).values())) for row in rows]

    assert values("") == list(range(8))
    assert values("limit=3&offset=2") == [2, 3, 4]
    assert values("offset=6") == [6, 7]
    assert values("scorer=s1&limit=2") == [1, 3]
    assert values("limit=99999999999999999999&offset=7") == [7]
    assert values("offset=99999999999999999999") == values("limit=0") == []
    assert values("limit=3&offset=2&columns=n2") == [2, 3, 4]
    limited = export(any_service, scores, "format=csv&limit=1")
    assert list(csv_rows(limited)[0])[6:] == ["value.n0", *LAST_COLUMNS]


def test_an_empty_project_exports_a_header(any_service: Service, scores: str) -> None:
    text = export(any_service, scores, "format=csv").body.decode()
    assert raw_rows(text) == [
        [
            '"score_id"',
            '"created_at"',
            '"scorer"',
            '"prediction_id"',
            '"evaluation_run_id"',
            '"wb_user_id"',
            *(f'"{name}"' for name in LAST_COLUMNS),
        ]
    ]
    assert export(any_service, scores, "").body == b""
    assert parquet_table(export(any_service, scores, "format=parquet")).num_rows == 0


# Parquet


def test_parquet_has_types_and_nulls(any_service: Service, scores: str) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    values = [{"n": 1, "b": True, "t": "é", "x": None}, {"n": None, "b": False}, {"n": 2**60}]
    ids = fill(any_service, scores, values)
    table = parquet_table(export(any_service, scores, "format=parquet"))
    assert {name: table.schema.field(name).type for name in table.column_names} == {
        **dict.fromkeys(("score_id", "scorer", "prediction_id"), pyarrow.string()),
        **dict.fromkeys(("evaluation_run_id", "wb_user_id", *LAST_COLUMNS), pyarrow.string()),
        "created_at": pyarrow.timestamp("ms", "UTC"),
        "value.n": pyarrow.float64(),
        "value.b": pyarrow.bool_(),
        "value.t": pyarrow.string(),
        "value.x": pyarrow.float64(),
    }
    columns = table.to_pydict()
    assert columns["score_id"] == ids
    assert columns["value.n"] == [1.0, None, 2.0**60]
    assert columns["value.b"] == [True, False, None]
    assert columns["value.t"] == ["é", None, None]
    assert [json.loads(text) for text in columns["value_json"]] == values
    (first,) = listed(any_service.send("GET", f"{scores}?limit=1"))
    assert columns["created_at"][0] == datetime.fromisoformat(first["created_at"])


def test_parquet_has_a_column_for_each_kind_of_a_mixed_leaf(
    any_service: Service, scores: str
) -> None:
    fill(any_service, scores, [1, "a", True, None, 10**400, {"x:text": 1, "big": 2**53 + 1}])
    columns = parquet_table(export(any_service, scores, "format=parquet")).to_pydict()
    leaves = {name: cells for name, cells in columns.items() if name.startswith("value")}
    assert leaves.pop("value_json")[:4] == ["1", '"a"', "true", "null"]
    assert leaves == {
        "value:number": [1.0, None, None, None, None, None],
        "value:integer": [None, None, None, None, str(10**400), None],
        "value:boolean": [None, None, True, None, None, None],
        "value:text": [None, "a", None, None, None, None],
        "value.x:text:number": [None] * 5 + [1.0],
        "value.big:integer": [None] * 5 + [str(2**53 + 1)],
    }


def test_parquet_has_only_declared_columns(service: Service, scores: str) -> None:
    fill(service, scores)
    query = "format=parquet&columns=ok&columns=never"
    columns = parquet_table(export(service, scores, query)).to_pydict()
    assert [name for name in columns if name.startswith("value")] == [
        "value.ok:integer",
        "value.ok:boolean",
        "value.never",
        "value_json",
    ]
    assert len(columns["score_id"]) == len(VALUES)


def test_parquet_has_several_row_groups(service: Service, scores: str) -> None:
    reader = pytest.importorskip("pyarrow.parquet")
    values = ["x" * 2_000] * 3_000 + list(range(2_000))
    fill(service, scores, values)
    file = reader.ParquetFile(io.BytesIO(export(service, scores, "format=parquet").body))
    assert file.num_row_groups > 1
    columns = file.read().to_pydict()
    assert columns["value:text"] == [*values[:3_000], *[None] * 2_000]
    assert columns["value:number"] == [*[None] * 3_000, *values[3_000:]]


def test_parquet_without_pyarrow_is_refused_with_a_hint_to_install_it(
    app: Flask, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parquet, "is_installed", lambda: False)
    headers = {"Authorization": f"Bearer {ADMIN_KEY}"}
    answer = app.test_client().get("/v2/a/b/scores/export?format=parquet", headers=headers)
    assert answer.status_code == 422
    (error,) = answer.get_json()["detail"]
    assert (error["loc"], error["type"]) == (["query", "format"], "value_error")
    assert "pip install 'scoreline[parquet]'" in error["msg"]


@settings(max_examples=80, deadline=None, suppress_health_check=list(HealthCheck))
@given(values=lists(any_json, max_size=6))
def test_any_value_is_complete_in_every_table(
    service: Service, scores: str, values: list[Any]
) -> None:
    path = scores.replace("resource", f"any-{secrets.token_hex(8)}")
    fill(service, path, values)
    sent = [json.dumps(value) for value in values]
    rows = csv_rows(export(service, path, "format=csv"))
    assert [json.dumps(json.loads(row["value_json"])) for row in rows] == sent
    unmarked = [row.get("value", "").removeprefix("'") for row in rows]
    texts = {
        number: value.encode("utf-8", "backslashreplace").decode()
        for number, value in enumerate(values)
        if isinstance(value, str)
    }
    assert {number: unmarked[number] for number in texts} == texts
    if parquet.is_installed():
        columns = parquet_table(export(service, path, "format=parquet")).to_pydict()
        assert [json.dumps(json.loads(text)) for text in columns["value_json"]] == sent


# Errors


@pytest.mark.parametrize(
    ("query", "name", "type_"),
    [
        ("format=xml", "format", "literal_error"),
        ("columns=a", "columns", "value_error"),
        ("limit=-1", "limit", "greater_than_equal"),
        ("format=csv&" + "&".join(["columns=a"] * 1_001), "columns", "too_long"),
    ],
)
def test_an_invalid_export_is_refused(
    service: Service, scores: str, query: str, name: str, type_: str
) -> None:
    answer = service.send("GET", f"{scores}/export?{query}")
    assert answer.status == 422
    (error,) = answer.json["detail"]
    assert (error["loc"], error["type"]) == (["query", name], type_)


def test_too_many_leaves_are_refused_unless_columns_are_declared(
    service: Service, scores: str
) -> None:
    fill(service, scores, [list(range(MAX_COLUMNS)), {"one": {"more": 1}}])
    for format_ in ("csv", "parquet"):
        answer = service.send("GET", f"{scores}/export?format={format_}")
        assert answer.status == 422
        (error,) = answer.json["detail"]
        assert error["loc"] == ["query", "columns"]
        assert f"more than {MAX_COLUMNS} leaves" in error["msg"]
    assert csv_rows(export(service, scores, "format=csv&columns=one.more"))[1]["value.one.more"]


@pytest.mark.parametrize("format_", ["jsonl", "csv", "parquet"])
def test_an_export_that_fails_midway_breaks_the_connection(
    app: Flask, monkeypatch: pytest.MonkeyPatch, format_: str
) -> None:
    client = app.test_client()
    headers = {"Authorization": f"Bearer {ADMIN_KEY}"}
    body = {
        "scores": [
            {**SCORE, "prediction_id": f"p-{number}", "value": secrets.token_hex(4_500)}
            for number in range(900)
        ]
    }
    assert client.post("/v2/a/b/scores/batch", json=body, headers=headers).status_code == 200
    store = app.extensions["scoreline"].store
    read_scores, readings = store.read_scores, []

    def break_off(entity: str, project: str, score_ids: list[str], **order: Any) -> Iterator[Any]:
        readings.append(1)
        if format_ == "jsonl" or len(readings) > 1:
            yield from read_scores(entity, project, score_ids[:800], **order)
            raise StoreUnavailable("the disk is gone")
        yield from read_scores(entity, project, score_ids, **order)

    monkeypatch.setattr(store, "read_scores", break_off)
    path = f"/v2/a/b/scores/export?format={format_}"
    answer = client.get(path, headers=headers, buffered=False)
    assert answer.status_code == 200
    with pytest.raises(ConnectionResetError):
        answer.get_data()


# Concurrent writes


@pytest.mark.parametrize("format_", ["csv", "parquet"])
def test_scores_added_between_the_passes_are_left_out_if_they_do_not_fit(
    store: Store, format_: str
) -> None:
    def score(score_id: str, value_json: str) -> Score:
        return a_score(
            score_id=score_id,
            entity="e",
            project="p",
            prediction_id=score_id,
            value_json=value_json,
        )

    ids = [f"01990000-0000-7000-8000-00000000000{number}" for number in range(9)]
    store.add_missing([score(ids[2], '{"a":1}'), score(ids[5], '{"a":2}')], partial=False)
    late = [score(ids[1], '{"b":3}'), score(ids[3], '{"a":4}'), score(ids[8], '{"a":5}')]
    late.append(replace(late[-1], score_id=ids[7], prediction_id=ids[2]))  # Corrects the first.
    wanted = dict.fromkeys(
        (
            "evaluation_run_id",
            "prediction_id",
            "scorer",
            "created_after",
            "created_before",
            "scorer_name",
            "repeats",
            "created_at_from",
            "created_at_to",
        )
    )
    options = {"limit": None, "offset": None, "after": None, "columns": None, "format": format_}
    pieces = export_scores(store, "e", "p", {**wanted, **options}).pieces
    if format_ == "csv":
        first = next(pieces)  # The header: the first pass is over.
        store.add_missing(late, partial=False)
        reader = csv.reader(io.StringIO((first + b"".join(pieces)).decode(), newline=""))
        rows = [(row[0], row[6]) for row in list(reader)[1:]]
    else:
        pytest.importorskip("pyarrow")
        read_scores, readings = store.read_scores, iter([None])

        def add_after_the_first_pass(
            entity: str, project: str, score_ids: Sequence[str], **options: Any
        ) -> Iterator[Score]:
            yield from read_scores(entity, project, score_ids, **options)
            for _ in readings:
                store.add_missing(late, partial=False)

        store.read_scores = add_after_the_first_pass  # type: ignore[method-assign]
        table = pytest.importorskip("pyarrow.parquet").read_table(io.BytesIO(b"".join(pieces)))
        rows = list(zip(*table.select(["score_id", "value.a"]).to_pydict().values(), strict=True))
    # The embedded store knows what is late; others include a lower id if it fits the columns.
    late_rows = [] if isinstance(store, SqliteStore) else [(ids[3], 4.0)]
    assert [(row[0], float(row[1])) for row in rows] == [(ids[2], 1.0), *late_rows, (ids[5], 2.0)]


def test_a_long_list_and_a_large_export_are_streamed_in_constant_memory(tmp_path: Path) -> None:
    path, size, count = "/v2/a/b/scores", 10_000, 600
    formats = ["jsonl", "csv", *["parquet"] * parquet.is_installed()]
    with running(tmp_path, WEB_CONCURRENCY="1") as service:
        for _ in range(12):
            fill(service, path, ["x" * size] * count)
        for long in (f"{path}?", *(f"{path}/export?format={name}" for name in formats)):
            service.send("GET", f"{long}&limit=900")  # Import the modules that the format needs.
            before = resident_kilobytes(service)
            connection = http.client.HTTPConnection("127.0.0.1", service.port)
            connection.request("GET", long, headers={"Authorization": f"Bearer {service.key}"})
            response = connection.getresponse()
            received, most = 0, before
            while piece := response.read(1 << 20):
                received += len(piece)
                most = max(most, resident_kilobytes(service))
            connection.close()
            assert "parquet" in long or received > 12 * count * size, long
            assert most - before < 50_000, long


def resident_kilobytes(service: Service) -> int:
    """Return the memory of the only worker of a service."""
    (worker,) = service.workers()
    status = Path(f"/proc/{worker}/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0])


# The name of the file


@pytest.mark.parametrize(
    ("entity", "project", "header"),
    [
        ("acme", "demo", 'attachment; filename="scores-acme-demo.csv"'),
        (
            "ü",
            "a b",
            "attachment; filename=\"scores-_-a_b.csv\"; filename*=UTF-8''scores-%C3%BC-a%20b.csv",
        ),
        (
            'x"\r\n',
            "../;",
            'attachment; filename="scores-x___-..__.csv"; '
            "filename*=UTF-8''scores-x___-.._%3B.csv",
        ),
        ("n" * 300, "p", f'attachment; filename="scores-{"n" * 100}-p.csv"'),
    ],
)
def test_the_name_of_the_file_is_safe(entity: str, project: str, header: str) -> None:
    assert attachment(file_name("scores", entity, project, "csv")) == header


def test_a_large_value_with_many_small_parts_takes_little_memory(tmp_path: Path) -> None:
    most = {"jsonl": 60_000, "csv": 60_000, "parquet": 200_000}  # pyarrow itself takes half.
    value = f"[{','.join(['[]'] * 2_700_000)}]"
    body = f'{{"prediction_id":"p","scorer":"s","value":{value}}}'.encode()
    path = "/v2/acme/large/scores"
    with running(tmp_path, WEB_CONCURRENCY="1") as service:
        assert service.send("POST", path, body).status == 200
        for format_, kilobytes in most.items():
            service.stop()
            service.start_again()  # In a process that has not parsed the body.
            assert service.send("GET", f"{path}?limit=0").status == 200
            before = peak_kilobytes(service)
            answer = service.send("GET", f"{path}/export?format={format_}")
            assert (answer.status, len(answer.body) > 1000) == (200, True)
            assert peak_kilobytes(service) - before < kilobytes, format_
