"""`scoreline gate`: check a run of a running service against limits, for CI."""

from __future__ import annotations

import re
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from xml.etree import ElementTree as ET

import click

from app.cli.base import Command, ServiceError, ServiceUnreachable, fail, note, table, write
from app.cli.client import Client, not_scoreline
from app.cli.project import project_options, why_no_scores

HEADER = ("check", "wanted", "found", "passed", "why")

_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that XML 1.0 does not allow (section 2.2)."""


@dataclass(frozen=True)
class Case:
    """A JUnit test case: its class, its name, and what went wrong, if anything."""

    class_name: str
    name: str
    outcome: Literal["passed", "failure", "error"] = "passed"
    message: str = ""


@click.command(
    cls=Command, epilog="Exit codes: 0 passed; 1 failed, also if data is missing; 2 no result."
)
@project_options
@click.option("--run", required=True, help="The evaluation run to check.")
@click.option(
    "--scorer", required=True, help="The scorer: its name, or a reference to any version."
)
@click.option("--leaf", default="", help="The path inside the value; leave it out for a scalar.")
@click.option("--baseline", help="The run to compare with.")
@click.option(
    "--repeats",
    type=click.Choice(["current", "all"]),
    help="Whether superseded scores count too; they do not by default.",
)
@click.option("--min", type=float, help="The lowest mean, or rate of true, that passes.")
@click.option("--max", type=float, help="The highest mean, or rate of true, that passes.")
@click.option("--max-drop", type=float, help="How far it may fall below the baseline.")
@click.option("--max-rise", type=float, help="How far it may rise above the baseline.")
@click.option("--min-coverage", type=float, help="The lowest share of attempts with a value.")
@click.option("--json", "as_json", is_flag=True, help="Print the API's JSON response.")
@click.option(
    "--junit",
    type=click.Path(dir_okay=False, path_type=Path),
    help="A JUnit XML file to write for CI, with a test case for each check.",
)
def gate(client: Client, *, as_json: bool, junit: Path | None, **given: str | float | None) -> None:
    """Check one leaf of a run against at least one limit. A check without data fails.

    Example: scoreline gate --project acme/demo --run run-2 --baseline run-1 --scorer exact
    --max-drop 0.02
    """
    query = {name: str(value) for name, value in given.items() if value is not None}
    try:
        text, result = client.gate(query)
        rows = _rows(result)
        missing = _missing(client, query) if not result["passed"] else []
    except (ServiceError, ServiceUnreachable) as error:
        _write_junit(junit, [Case(_name(query), "gate", "error", str(error))])
        fail(str(error), 2)
    _write_junit(junit, [_case(_name(query), check) for check in result["checks"]])
    for why in missing:
        note(why)
    if as_json:
        write(text + b"\n")
    else:
        table(HEADER, rows)
    sys.exit(0 if result["passed"] else 1)


def _rows(result: dict[str, Any]) -> list[list[str]]:
    """Return a table row for each check. Raises ServiceError for a response of another program."""
    try:
        rows = [_row(check) for check in result["checks"]]
    except (TypeError, KeyError, ValueError):
        raise not_scoreline(200) from None
    if not rows or not isinstance(result["passed"], bool):
        raise not_scoreline(200)
    return rows


def _missing(client: Client, query: dict[str, str]) -> list[str]:
    """Return a message for each run without scores, or one if the project has none."""
    runs = [query[name] for name in ("run", "baseline") if name in query]
    return list(dict.fromkeys(why for run in runs if (why := why_no_scores(client, run))))


def _name(query: dict[str, str]) -> str:
    """Return the name of the gate in a report."""
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


def _write_junit(file: Path | None, cases: Sequence[Case]) -> None:
    """Write the cases as one JUnit test suite."""
    if file is None:
        return
    outcomes = Counter(case.outcome for case in cases)
    counts = {
        "tests": str(len(cases)),
        "failures": str(outcomes["failure"]),
        "errors": str(outcomes["error"]),
    }
    root = ET.Element("testsuites", counts)
    suite = ET.SubElement(root, "testsuite", {"name": "scoreline gate", **counts})
    for case in cases:
        attributes = {"classname": _safe(case.class_name), "name": _safe(case.name)}
        element = ET.SubElement(suite, "testcase", attributes)
        if case.outcome != "passed":
            ET.SubElement(element, case.outcome, {"message": _safe(case.message)})
    try:
        file.write_bytes(ET.tostring(root, "utf-8", xml_declaration=True) + b"\n")
    except OSError as error:
        fail(f"{file} cannot be written: {error.strerror}", 2)


def _safe(text: str) -> str:
    return _NOT_XML.sub("\ufffd", text)
