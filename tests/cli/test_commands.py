"""The command line in general: help, options, URLs, output and imports."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from app.cli.base import UNIX_ONLY
from app.cli.root import scoreline
from app.cli.transfers import FORMATS
from app.schemas import transfers
from tests.cli.test_exports import run
from tests.cli.test_scores import SCORE, path_of
from tests.cli.test_scores import project as project  # noqa: PLC0414 - a fixture.
from tests.processes import ROOT, Service, command, environment, free_port

SERVER = [
    *["flask", "gunicorn", "marshmallow", "pymongo", "numpy", "scipy", "werkzeug", "sqlite3"],
    *["app.stores", "app.services", "app.api", "config", *UNIX_ONLY],
]
"""Modules that commands for a running service must not import; some do not exist on Windows."""

_BLOCK = f"""
import sys, select
for name in {SERVER!r}:
    sys.modules[name] = None
for name in ("epoll", "poll"):
    if hasattr(select, name):
        delattr(select, name)
"""
_MAIN = "from app.cli import main; main()"


def without_server(service: Service, *arguments: str) -> str:
    ended = subprocess.run(
        [sys.executable, "-c", f"{_BLOCK}{_MAIN}", *arguments],
        check=False,
        env=environment(SCORELINE_KEY=service.key, SCORELINE_URL=service.url),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert "Traceback" not in ended.stderr, ended.stderr
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def test_commands_for_a_running_service_import_no_server_code(
    service: Service, project: str, tmp_path: Path
) -> None:
    of = ("--project", project)
    file, out = tmp_path / "f.jsonl", tmp_path / "out.jsonl"
    file.write_text(json.dumps({**SCORE, "evaluation_run_id": "r"}))
    for group in ((), ("scores",), ("export",)):
        assert "Usage: " in without_server(service, *group, "--help")
    without_server(service, "scores", "add", *of, "--file", str(file))
    line = without_server(service, "scores", "list", *of, "--json")
    score_id = json.loads(line)["score_id"]
    without_server(service, "scores", "get", *of, score_id)
    without_server(service, "export", *of, "--out", str(out))
    without_server(service, "import", *of, "--file", str(out))
    without_server(service, "runs", "list", *of)
    without_server(service, "runs", "rename", *of, "r", "n")
    without_server(service, "scorers", "list", *of)
    without_server(service, "projects", "list")
    without_server(service, "gate", *of, "--run", "r", "--scorer", "s", "--min", "0")
    without_server(service, "scores", "delete", *of, "--yes", score_id)


@pytest.mark.parametrize(
    "arguments",
    [
        *["serve", "doctor", "keys list", "keys revoke x", "store --help"],
        *["store backup x.db", "store restore x.db", "store copy a b"],
    ],
)
def test_a_command_that_needs_unix_says_so_elsewhere(tmp_path: Path, arguments: str) -> None:
    script = f"import sys; sys.modules.update(dict.fromkeys({sorted(UNIX_ONLY)})); {_MAIN}"
    ended = subprocess.run(
        [sys.executable, "-c", script, *arguments.split()],
        check=False,
        cwd=tmp_path,
        env=environment(PYTHONPATH=str(ROOT)),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (ended.returncode, ended.stdout) == (2, ""), ended.stderr
    assert re.fullmatch("scoreline: this command needs Linux or macOS; .*\n", ended.stderr)


def test_the_help_imports_no_command(tmp_path: Path) -> None:
    script = "import sys; from app.cli import main\ntry: main()\nfinally: print(*sys.modules)"
    shown = subprocess.run(
        [sys.executable, "-c", script, "--help"],
        check=True,
        env=environment(),
        capture_output=True,
        text=True,
    )
    modules = set(shown.stdout.splitlines()[-1].split())
    own = {name for name in modules if name.startswith("app.cli.")}
    assert own == {"app.cli.root", "app.cli.base"}
    assert not modules & {*SERVER, "urllib3"}


def commands(command: click.Command, *names: str) -> Iterator[tuple[click.Command, list[str]]]:
    """Return a command and all below it, each with its names."""
    yield command, list(names)
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            below = command.get_command(context, name)
            assert below, name
            yield from commands(below, *names, name)


def test_every_command_has_help_with_an_example() -> None:
    for command_, names in commands(scoreline):
        shown = CliRunner().invoke(scoreline, [*names, "--help"], prog_name="scoreline")
        assert shown.exit_code == 0, names
        assert shown.output.startswith("Usage: scoreline"), names
        for line in shown.output.partition("Commands:")[2].splitlines():
            assert not line.startswith("  ") or len(line.split(maxsplit=1)) == 2, line
        if not isinstance(command_, click.Group) and names[0] != "keys":
            example = " ".join(shown.output.partition("Example: ")[2].split())
            assert " ".join(["scoreline", *names]) in example, names


@pytest.mark.parametrize(
    "arguments",
    [
        ["gate", "--run", "r", "--scorer", "s", "--min", "0", "--leaf", "a", "--leaf", "b"],
        ["gate", "--run", "r", "--scorer", "s", "--min", "0", "--run=r"],
        ["scores", "list", "--project", "a/b"],
        ["export", "--format", "csv", "--format", "csv"],
        ["store", "backup", "--force", "x", "--no-such"],
        ["keys", "create", "--name", "a", "--name", "b", "--role", "read", "--scope", "*"],
    ],
)
def test_a_repeated_option_is_rejected(
    service: Service, project: str, arguments: list[str]
) -> None:
    of = [] if arguments[0] in ("store", "keys") else ["--project", project]
    ended = run(service, *arguments, *of)
    assert ended.returncode == 2
    assert "give it only once" in ended.stderr or "--no-such" in arguments


def test_ctrl_c_while_options_are_parsed_is_code_130(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(click.Group, "make_context", interrupt)
    with pytest.raises(SystemExit) as ended:
        scoreline.main(["--version"])
    assert ended.value.code == 130


def test_a_flag_and_its_opposite_are_rejected(service: Service, project: str) -> None:
    ended = run(service, "scores", "list", "--project", project, "--failed", "--not-failed")
    assert (ended.returncode, "--failed/--not-failed is given 2 times" in ended.stderr) == (2, True)


def test_flags_and_options_of_several_values_may_be_repeated(
    service: Service, project: str
) -> None:
    service.post(path_of(project), {**SCORE, "value": {"a": 1, "b": 2}})
    columns = ("--format", "csv", "--column", "a", "--column", "b")
    assert run(service, "export", "--project", project, *columns).returncode == 0
    assert run(service, "scores", "list", "--project", project, "--json", "--json").returncode == 0


def test_a_url_works_or_is_rejected_with_a_reason(service: Service, project: str) -> None:
    service.post(path_of(project), SCORE)
    given = ("scores", "list", "--project", project)
    for url in (
        f"localhost:{service.port}",
        f"127.0.0.1:{service.port}/",
        f" {service.url}/\n",
        f"HTTP://127.0.0.1:{service.port}//",
    ):
        ended = run(service, *given, SCORELINE_URL=url)
        assert (ended.returncode, ended.stderr) == (0, ""), url
    for url, why in {
        "scores.example.com": "has no scheme",
        "ftp://localhost": "begins with ftp://",
        "http://me:hush@localhost": "contains a user name or password",
        "http://": "has no host",
        "http://localhost:no": "is not a URL",
        "http://localhost:99999": "is not a URL",
        "http://localhost?x=1": "has a query or fragment",
        "http://local host": "contains characters that are not allowed",
        "http://[::1": "is not a URL",
        "http://exämple": "contains characters that are not allowed",
    }.items():
        ended = run(service, *given, SCORELINE_URL=url)
        assert (ended.returncode, len(ended.stderr.splitlines())) == (2, 1), (url, ended.stderr)
        assert why in ended.stderr, url
        assert "hush" not in ended.stderr


def test_a_path_that_is_not_scorelines_is_reported(service: Service, project: str) -> None:
    for of in (("runs", "rename", "r", "name"), ("runs", "list"), ("scores", "get", "x")):
        ended = run(service, *of, "--project", project, "--url", f"{service.url}/prefix")
        assert (ended.returncode, ended.stdout) == (1, "")
        assert ended.stderr == "scoreline: 404 Not Found: is the URL right?\n"


def test_names_that_a_url_cannot_have_are_reported(service: Service, project: str) -> None:
    for name in ("acme/..", "./demo"):
        ended = run(service, "scores", "list", "--project", name)
        assert (ended.returncode, "a URL cannot name it" in ended.stderr) == (2, True)
    for score_id in ("", ".", ".."):
        ended = run(service, "scores", "get", "--project", project, score_id)
        assert ended.stderr == f"scoreline: 404 Score {score_id} not found\n"


WEAVES = b'{"score_id":"x","scorer":"s","value":"v","evaluation_run_id":null,"wb_user_id":null}\n'


@pytest.mark.parametrize(
    ("body", "code", "shown", "says"),
    [
        (WEAVES, 0, 'x         -           s       -              -                  "v"', ""),
        (WEAVES + b"<html>", 1, "", "the response is not Scoreline's"),
        (b'{"score_id":1,"scorer":[2]}\n', 0, "1         -           2", ""),
    ],
)
def test_a_list_of_another_service_is_shown_or_reported(
    service: Service, body: bytes, code: int, shown: str, says: str
) -> None:
    with answering(body) as url:
        ended = run(service, "scores", "list", "--project", "a/b", "--url", url)
    assert (ended.returncode, "Traceback" in ended.stderr) == (code, False)
    assert shown in ended.stdout
    assert says in ended.stderr


@contextmanager
def answering(body: bytes) -> Iterator[str]:
    """Run another service, which answers every GET with `body`; yield its URL."""

    class Other(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Other) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,)).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()


def test_an_unknown_run_or_project_is_reported(service: Service, project: str) -> None:
    service.post(path_of(project), {**SCORE, "evaluation_run_id": "r"})
    limits = ("--scorer", "s", "--min", "0")
    for arguments in (("scores", "list", "--run", "no"), ("export", "--run", "no")):
        ended = run(service, *arguments, "--project", project)
        assert ended.returncode == 1, arguments
        assert f"no scores of run no in {project}" in ended.stderr
    for more in (("scores", "list"), ("scores", "delete", "--yes", "x"), ("export",)):
        ended = run(service, *more, "--project", "no/where")
        assert ended.returncode == 1, more
        assert "no scores in no/where" in ended.stderr
    for gated in (("--run", "no"), ("--run", "r", "--baseline", "no", "--max-drop", "1")):
        ended = run(service, "gate", *gated, *limits, "--project", project)
        assert ended.returncode == 2, gated
        assert "No evaluation run has the id or the name 'no'" in ended.stderr
    ended = run(service, "scores", "list", "--project", project, "--scorer", "other")
    assert (ended.returncode, ended.stderr) == (0, "no scores match\n")


def test_delete_without_a_terminal_requires_yes(service: Service, project: str) -> None:
    score_id = service.post(path_of(project), SCORE).json["score_id"]
    arguments = ("scores", "delete", "--project", project, score_id)
    refused = run(service, *arguments)
    assert (refused.returncode, len(refused.stderr.splitlines())) == (2, 1)
    done = run(service, *arguments, "--yes", "--json")
    assert (done.returncode, json.loads(done.stdout)) == (0, {"num_deleted": 1})


def test_a_question_names_the_number_of_scores(service: Service, project: str) -> None:
    for ids, question in ((["a"], "Delete 1 score permanently?"), (["a", "b"], "Delete 2 scores")):
        leader, follower = pty.openpty()
        os.write(leader, b"n\n")
        ended = subprocess.run(
            command("scores", "delete", "--project", project, *ids),
            check=False,
            env=environment(SCORELINE_KEY=service.key, SCORELINE_URL=service.url),
            stdin=follower,
            stderr=subprocess.PIPE,
            text=True,
        )
        os.close(leader)
        os.close(follower)
        assert (ended.returncode, question in ended.stderr) == (1, True), ended.stderr


def test_a_closed_output_prints_no_error(service: Service, project: str) -> None:
    body = {"scores": [{**SCORE, "value": "x" * 500}] * 3_000}
    service.post(f"{path_of(project)}/batch", body)
    for name in (("scores", "list", "--json"), ("export",)):
        with subprocess.Popen(
            command(*name, "--project", project),
            env=environment(SCORELINE_KEY=service.key, SCORELINE_URL=service.url),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        ) as process:
            assert process.stdout
            assert process.stderr
            process.stdout.readline()
            process.stdout.close()
            assert (process.wait(timeout=60), process.stderr.read()) == (141, b"")


@pytest.mark.skipif(not Path("/dev/full").is_char_device(), reason="the machine has no /dev/full")
def test_a_full_disk_is_reported_in_one_line(service: Service, project: str) -> None:
    service.post(path_of(project), SCORE)
    for name in (("scores", "list"), ("scores", "list", "--json"), ("export",), ("--help",)):
        of = () if name == ("--help",) else ("--project", project)
        with Path("/dev/full").open("wb") as full:
            ended = subprocess.run(
                command(*name, *of),
                check=False,
                env=environment(SCORELINE_KEY=service.key, SCORELINE_URL=service.url),
                stdout=full,
                stderr=subprocess.PIPE,
                text=True,
            )
        assert (ended.returncode, len(ended.stderr.splitlines())) == (2, 1), (name, ended.stderr)
    out = run(service, "export", "--project", project, "--out", "/dev/full")
    assert (out.returncode, len(out.stderr.splitlines())) == (2, 1), out.stderr


def test_the_extension_of_an_export_determines_its_format(
    service: Service, project: str, tmp_path: Path
) -> None:
    service.post(path_of(project), SCORE)
    csv = tmp_path / "scores.CSV"
    assert run(service, "export", "--project", project, "--out", str(csv)).returncode == 0
    assert csv.read_text().startswith('"score_id",')
    of = ("export", "--project", project, "--out", str(tmp_path / "scores.json"))
    refused = run(service, *of)
    assert (refused.returncode, len(refused.stderr.splitlines())) == (2, 1)
    assert run(service, *of, "--format", "jsonl").returncode == 0
    assert transfers.FORMATS == FORMATS


def test_serve_works_in_a_directory_with_python_files_of_the_user(tmp_path: Path) -> None:
    for name in ("app.py", "config.py", "gunicorn.conf.py", "flask.py"):
        (tmp_path / name).write_text("raise SystemExit('the file of the user was imported')")
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "__init__.py").write_text("raise SystemExit('imported')")
    port = free_port()
    script = Path(sys.executable).with_name("scoreline")
    with subprocess.Popen(
        [script, "serve"], cwd=tmp_path, env=environment(PORT=str(port)), stderr=subprocess.PIPE
    ) as process:
        from tests.processes import wait_until_listening

        wait_until_listening(port, process)
        process.terminate()
        assert process.wait(timeout=60) == 0
