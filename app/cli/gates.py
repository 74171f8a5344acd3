"""`scoreline gate`: whether a run of a running service is good enough to go on."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import click

from app.cli.client import Client, ServiceError, ServiceUnreachable
from app.cli.junit import Case, write_junit
from app.cli.output import fail, table
from app.cli.project import of_a_project

HEADER = ("check", "wanted", "found", "passed", "why")


@click.command(epilog="Exit codes: 0 passed; 1 failed, also for want of data; 2 no answer.")
@of_a_project
@click.option("--run", required=True, help="The evaluation run to judge.")
@click.option("--scorer", required=True, help="What judged.")
@click.option("--leaf", default="", help="The path inside the value; none for a bare scalar.")
@click.option("--baseline", help="The run to compare with.")
@click.option("--min", type=float, help="The mean, or rate of true, is at least this.")
@click.option("--max", type=float, help="It is at most this.")
@click.option("--max-drop", type=float, help="At most so far below the baseline's.")
@click.option("--max-rise", type=float, help="At most so far above the baseline's.")
@click.option("--min-coverage", type=float, help="At least this part of the scores has a value.")
@click.option("--json", "as_json", is_flag=True, help="The answer as the API sends it.")
@click.option(
    "--junit",
    type=click.Path(dir_okay=False, path_type=Path),
    help="A file to write for CI: a test case for each check.",
)
def gate(client: Client, *, as_json: bool, junit: Path | None, **given: str | float | None) -> None:
    """Hold one leaf of a run to bounds, at least one. Without data it fails."""
    query = {name: str(value) for name, value in given.items() if value is not None}
    try:
        text = client.gate(query)
        answer = _answer(text)
    except (ServiceError, ServiceUnreachable) as error:
        _write(junit, [Case(_name(query), "gate", "error", str(error))])
        fail(str(error), 2)
    _write(junit, [_case(_name(query), check) for check in answer["checks"]])
    try:
        if as_json:
            click.echo(text)
        else:
            table(HEADER, [_row(check) for check in answer["checks"]])
    except OSError as error:
        fail(f"the answer cannot be printed: {error.strerror}", 2)
    sys.exit(0 if answer["passed"] else 1)


def _answer(text: bytes) -> dict[str, Any]:
    """What Scoreline says of a gate. Raises ServiceError where it is somebody else's answer."""
    try:
        answer: dict[str, Any] = json.loads(text)
        rows = [_row(check) for check in answer["checks"]]
        is_whole = bool(rows) and isinstance(answer["passed"], bool)
    except (ValueError, TypeError, KeyError):
        is_whole = False
    if not is_whole:
        raise ServiceError(
            "200, with an answer that is none of Scoreline's: is the URL right?", 200
        )
    return answer


def _name(query: dict[str, str]) -> str:
    """What is judged, as a report names it."""
    return " ".join([query["run"], query["scorer"], query["leaf"]]).strip()


def _row(check: dict[str, Any]) -> list[str]:
    return [
        check["name"],
        _figure(check["wanted"]),
        _figure(check["found"]),
        "yes" if check["passed"] else "NO",
        check["why"] or "",
    ]


def _figure(number: float | None) -> str:
    return "-" if number is None else f"{number:.12g}"


def _case(name: str, check: dict[str, Any]) -> Case:
    wanted = f"{check['name']} {_figure(check['wanted'])}"
    if check["passed"]:
        return Case(name, wanted)
    return Case(name, wanted, "failure", check["why"] or f"found {_figure(check['found'])}")


def _write(file: Path | None, cases: list[Case]) -> None:
    if file is None:
        return
    try:
        write_junit(file, "scoreline gate", cases)
    except OSError as error:
        fail(f"{file} cannot be written: {error.strerror}", 2)
