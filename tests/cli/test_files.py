"""`scoreline scores add` and `import` read files and pipes, and reject what is not JSON lines."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import signal
import socket
import subprocess
import threading
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from app.cli.adding import KEY
from app.cli.files import read_line
from app.cli.listing import PREDICTIONS
from app.cli.scores import SCORES
from app.cli.transfers import OWN_FIELDS
from app.schemas.predictions import PredictionBatchLine
from app.schemas.scores import ScoreBatchLine
from app.schemas.transfers import ScoreImportLine
from tests.cli.test_exports import run as run_any
from tests.cli.test_scores import SCORE, path_of, run, stored, write_lines
from tests.cli.test_scores import project as project  # noqa: PLC0414 - a fixture.
from tests.processes import Service, command, environment, free_port

LINE = json.dumps(SCORE)
DEEP = f'{{"a": {"[" * 200_000}{"]" * 200_000}}}'


def add(service: Service, project: str, file: Path | str, *more: str, **options: Any) -> str:
    """Add a file, and return what the command prints to stderr."""
    added = run(service, "add", "--project", project, "--file", str(file), *more, **options)
    assert "Traceback" not in added.stderr
    return added.stderr


def test_adding_or_removing_lines_stores_nothing_twice(
    service: Service, project: str, tmp_path: Path
) -> None:
    items = [{**SCORE, "prediction_id": name} for name in "aabc"]
    file = write_lines(tmp_path / "f.jsonl", items)
    assert add(service, project, file) == "new 4, already there 0, refused 0\n"
    write_lines(file, [{**SCORE, "prediction_id": "d"}, *items])
    assert add(service, project, file) == "new 1, already there 4, refused 0\n"
    write_lines(file, items[1:])
    assert add(service, project, file) == "new 0, already there 3, refused 0\n"
    write_lines(file, [items[0], *items])
    assert add(service, project, file) == "new 1, already there 4, refused 0\n"
    found = Counter(score["prediction_id"] for score in stored(service, project))
    assert found == {"a": 3, "b": 1, "c": 1, "d": 1}


def test_white_space_and_the_order_of_keys_do_not_matter(
    service: Service, project: str, tmp_path: Path
) -> None:
    file = tmp_path / "f.jsonl"
    items = [{**SCORE, "value": {"a": number, "b": [1, 2]}} for number in range(150)]
    write_lines(file, items)
    assert add(service, project, file) == "new 150, already there 0, refused 0\n"
    line = ' {"value": {"b" : [1,2], "a" : %d}, "scorer" :"s",  "prediction_id":"p"} \r\n'
    file.write_text("".join(line % number for number in range(150)))
    assert add(service, project, file) == "new 0, already there 150, refused 0\n"
    assert len(stored(service, project)) == 150


def test_idempotency_keys_are_the_same_after_an_interruption(
    service: Service, project: str, tmp_path: Path
) -> None:
    """The command was killed after it had sent and recorded four of seven equal lines."""
    file = write_lines(tmp_path / "f.jsonl", [SCORE] * 4)
    add(service, project, file)
    left = {
        "target": f"{service.url}{path_of(project)}",
        "offset": len(file.read_bytes()),
        "lines": 4,
        "created": 4,
        "digest": hashlib.sha256(file.read_bytes()).hexdigest(),
    }
    (tmp_path / "f.jsonl.progress").write_text(json.dumps(left))
    write_lines(file, [SCORE] * 7)
    message = add(service, project, file, "--batch-size", "2")
    assert message == (
        "resuming after line 4; the counts at the end include the earlier runs\n"
        "new 7, already there 0, refused 0\n"
    )
    assert len(stored(service, project)) == 7
    assert list(tmp_path.iterdir()) == [file]


def test_a_line_that_was_refused_before_an_interruption_counts_after_it(
    service: Service, project: str, tmp_path: Path
) -> None:
    file = write_lines(tmp_path / "f.jsonl", [{}])
    left = {
        "target": f"{service.url}{path_of(project)}",
        "offset": len(file.read_bytes()),
        "lines": 1,
        "rejected": 1,
        "digest": hashlib.sha256(file.read_bytes()).hexdigest(),
    }
    (tmp_path / "f.jsonl.progress").write_text(json.dumps(left))
    write_lines(file, [{}, SCORE])
    added = run(service, "add", "--project", project, "--file", str(file))
    assert (added.returncode, added.stderr) == (
        1,
        "resuming after line 1; the counts at the end include the earlier runs\n"
        "new 1, already there 0, refused 1\n",
    )


def test_every_rejected_line_has_its_reason_however_many_there_are(
    service: Service, project: str, tmp_path: Path
) -> None:
    items: list[Any] = [SCORE if n % 3 else {**SCORE, "scorer": n} for n in range(750)]
    message = add(service, project, write_lines(tmp_path / "f.jsonl", items)).splitlines()
    assert message[-1] == "new 500, already there 0, refused 250"
    assert message[:-1] == [
        f"line {n + 1}: scorer: Input should be a valid string" for n in range(0, 750, 3)
    ]


def test_positions_refer_to_the_original_file(
    service: Service, project: str, tmp_path: Path
) -> None:
    file = tmp_path / "f.jsonl"
    file.write_bytes(
        b"\xef\xbb\xbf"
        + f'{LINE}\n\n  {{"prediction_id": "ü", x}}\n'.encode()
        + b'{"a": "\xc3\xbc\xff"}\n[1]\n{} {}\n{"a": "\n'
        + LINE.encode()
    )
    assert add(service, project, file).splitlines() == [
        "line 3, column 26: not JSON: Expecting property name enclosed in double quotes",
        "line 4, column 9: not UTF-8",
        "line 5, column 1: JSON, but not an object",
        "line 6, column 4: not JSON: unexpected text after the JSON value",
        "line 7, column 8: not JSON: a string is not closed or contains a control character",
        "new 2, already there 0, refused 5",
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"bad", "column 1: not JSON: 'bad' is not a JSON value"),
        (b'{"value": nope, "a": 1}', "column 11: not JSON: 'nope' is not a JSON value"),
        (b'{"value": True}', "column 11: not JSON: 'True' is not a JSON value"),
        (b'{"value": }', "column 11: not JSON: a value is missing"),
        (b'{"value":', "column 10: not JSON: a value is missing"),
        (b"2030-01-31,x", "column 5: not JSON: unexpected text after the JSON value"),
    ],
)
def test_a_line_that_is_not_json_says_what_is_wrong_where(text: bytes, message: str) -> None:
    assert read_line(text, 1).error == message


def test_standard_input_and_pipes_can_be_read(
    service: Service, project: str, tmp_path: Path
) -> None:
    text = f"{LINE}\n{LINE}\n"
    assert add(service, project, "-", stdin=text) == "new 2, already there 0, refused 0\n"
    assert add(service, project, "/dev/stdin", stdin=text).startswith("new 0, already there 2")
    fifo = tmp_path / "pipe"
    os.mkfifo(fifo)
    writer = threading.Thread(target=lambda: fifo.write_text(text))
    writer.start()
    assert add(service, project, fifo).startswith("new 0, already there 2")
    writer.join()
    assert list(tmp_path.iterdir()) == [fifo]


@pytest.mark.parametrize("command_", ["add", "import"])
@pytest.mark.parametrize(
    ("content", "message"),
    [
        (f"[{LINE},\n{LINE}]", "a JSON array, not one object per line: `jq -c '.[]' {file} > NEW`"),
        (gzip.compress(LINE.encode(), mtime=0), "compressed with gzip: `gunzip -c {file} > NEW`"),
        (LINE.encode("utf-16"), "UTF-16, not UTF-8: `iconv -f UTF-16 -t UTF-8 {file} > NEW`"),
        (LINE.encode("utf-16-le"), "UTF-16LE, not UTF-8: `iconv -f UTF-16LE"),
        (LINE.encode("utf-16-be"), "UTF-16BE, not UTF-8: `iconv -f UTF-16BE"),
        (json.dumps(SCORE, indent=2), "JSON over several lines, not one object per line: `jq -c ."),
        (json.dumps({"scores": [SCORE]}), "one JSON object with a list"),
        (b"\x7fELF\0\0\1", "binary, not text"),
        ("a,b\n1,2\n", "not JSON lines: line 1, column 1: not JSON: 'a' is not a JSON value"),
        ("\nbad\n{}{}\n", "not JSON lines: line 2, column 1: not JSON: 'bad' is not a JSON value"),
        (f"{DEEP}\nbad\n", "not JSON lines: line 1, column 1: nested too deeply to be read"),
        ('{"a": 1\n{"a": 2\n', "not JSON lines: line 1, column 8: not JSON: Expecting ','"),
        ('{"a": nope}\n' * 2, "not JSON lines: line 1, column 7: not JSON: 'nope' is not a JSON"),
        ('{\n"a": 1,\n"b": [\n', "not one JSON object per line: if its JSON goes over several"),
        ("1\n2\n", "not JSON lines: line 1, column 1: JSON, but not an object"),
        (f"[![x](y)]\n# A\n{LINE}\n" + "text\n" * 18, "not JSON lines: line 1, column 2: not JSON"),
        ('{"id": 1, "rows": [{}]}\n' * 2, "another kind of file: line 1 has no field {names}; it"),
    ],
    ids=str.split(
        "array gzip utf-16 utf-16-le utf-16-be pretty object binary csv word deep brace value cut "
        "numbers readme other"
    ),
)
def test_a_file_that_is_not_json_lines_is_reported_in_one_line(
    service: Service,
    project: str,
    tmp_path: Path,
    command_: str,
    content: str | bytes,
    message: str,
) -> None:
    file = tmp_path / "scores.json"
    file.write_bytes(content.encode() if isinstance(content, str) else content)
    arguments = [command_] if command_ == "import" else ["scores", "add"]
    ended = run_any(service, *arguments, "--project", project, "--file", str(file))
    assert (ended.returncode, len(ended.stderr.splitlines())) == (2, 1), ended.stderr
    names = "score_id or kind" if command_ == "import" else "prediction_id or scorer"
    assert f"{file} is {message.format(file=file, names=names)}" in ended.stderr


def test_an_import_of_scores_without_ids_names_the_command_for_them(
    service: Service, project: str, tmp_path: Path
) -> None:
    file = write_lines(tmp_path / "f.jsonl", [SCORE] * 2)
    ended = run_any(service, "import", "--project", project, "--file", str(file))
    assert ended.stderr.endswith("; `scoreline scores add` sends scores without ids\n")


def test_a_directory_and_a_missing_file_are_reported(
    service: Service, project: str, tmp_path: Path
) -> None:
    assert add(service, project, tmp_path) == f"scoreline: {tmp_path} is a directory, not a file\n"
    message = add(service, project, tmp_path / "no")
    assert message == f"scoreline: {tmp_path}/no cannot be read: No such file or directory\n"


def test_a_journal_that_cannot_be_written_is_reported_once(
    service: Service, project: str, tmp_path: Path
) -> None:
    file = write_lines(tmp_path / "f.jsonl", [SCORE] * 5)
    (tmp_path / "f.jsonl.progress.new").mkdir()
    message = add(service, project, file, "--batch-size", "1").splitlines()
    assert len(message) == 2
    assert message[0].endswith(
        "f.jsonl.progress cannot be written: Is a directory; continuing without it"
    )
    assert message[1] == "new 5, already there 0, refused 0"


def test_the_fields_that_are_sent_are_those_of_the_service() -> None:
    assert SCORES.fields | {KEY} == set(ScoreBatchLine().fields)
    assert PREDICTIONS.fields | {KEY} == set(PredictionBatchLine().fields)
    assert OWN_FIELDS - {"wb_user_id"} == set(ScoreImportLine().fields)


def test_unknown_fields_are_listed_once(service: Service, project: str, tmp_path: Path) -> None:
    items = [{**SCORE, "run_id": "r", "note": n} for n in range(3)]
    file = write_lines(tmp_path / "f.jsonl", items)
    message = "ignored: note, run_id\nnew 3, already there 0, refused 0\n"
    assert add(service, project, file) == message
    again = run(service, "add", "--project", project, "--file", str(file), "--json")
    counts = {"num_created": 0, "num_replayed": 3, "num_failed": 0}
    assert (json.loads(again.stdout), again.stderr) == (counts, "ignored: note, run_id\n")


def test_ctrl_c_says_how_to_continue(tmp_path: Path) -> None:
    """The service accepts the connection, and never responds."""
    file = write_lines(tmp_path / "f.jsonl", [SCORE] * 5)
    export = write_lines(tmp_path / "e.jsonl", [{**SCORE, "kind": "score"}] * 5)
    with socket.create_server(("127.0.0.1", free_port())) as listener:
        listener.settimeout(60)
        given = environment(
            SCORELINE_KEY="k", SCORELINE_URL=f"localhost:{listener.getsockname()[1]}"
        )
        for arguments, message in (
            (("scores", "add", "--file", str(file)), "run the same command to resume"),
            (("import", "--file", str(export)), "run the same command to resume"),
            (("scores", "list"), "run the same command to start over"),
            (("scores", "follow"), "nothing was printed"),
            (("export",), "run the same command to start over"),
            (
                ("gate", "--run", "r", "--scorer", "s", "--min", "0"),
                "run the same command to start over",
            ),
        ):
            process = subprocess.Popen(
                command(*arguments, "--project", "a/b"),
                env=given,
                stderr=subprocess.PIPE,
                text=True,
            )
            connection, _ = listener.accept()
            with connection:
                connection.recv(1 << 16)
                process.send_signal(signal.SIGINT)
                _, stderr = process.communicate(timeout=60)
            assert process.returncode == 130, stderr
            assert stderr == f"scoreline: interrupted; {message}\n"
