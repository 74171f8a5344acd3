"""`scoreline gate`: check a run of a running service against limits, for CI."""

from __future__ import annotations

import re
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from xml.etree import ElementTree as ET

import click

from app.cli.base import (
    Command,
    ServiceError,
    ServiceUnreachable,
    fail,
    note,
    printable,
    table,
    write,
)
from app.cli.client import Client, not_scoreline
from app.cli.comparison_tables import show_changes
from app.cli.gate_comment import (
    WORST,
    Json,
    check_title,
    comment,
    comment_without_result,
    figure,
    several_baselines,
)
from app.cli.project import BASELINE, MEANT, PAIR_BY, project_options, why_no_scores
from app.cli.project_file import read_tables

HEADER = ("check", "wanted", "found", "outcome", "why")

EXIT_CODES = {"passed": 0, "failed": 1, "inconclusive": 4}

TAGS: dict[str, Literal["failure", "error"]] = {"failed": "failure", "inconclusive": "error"}
"""The elements of a JUnit report, by outcome."""

_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that XML 1.0 does not allow (section 2.2)."""


@dataclass(frozen=True)
class Case:
    """A JUnit test case: its class, its name, and what went wrong, if anything."""

    class_name: str
    name: str
    tag: Literal["passed", "failure", "error"] = "passed"
    message: str = ""


@click.command(
    cls=Command,
    epilog="Exit codes: 0 passed; 1 failed; 2 no result; 4 inconclusive.",
)
@project_options
@click.option("--run", required=True, help=f"The evaluation run to check: {MEANT}")
@click.option("--scorer", help="The scorer: its name, or a reference to any version.")
@click.option("--leaf", help="The path inside the value; leave it out for a scalar.")
@click.option(
    "--file",
    "config",
    type=click.Path(dir_okay=False, path_type=Path),
    help="A file such as scoreline.toml, whose [[gate]] tables name metrics and their limits.",
)
@click.option("--baseline", help=BASELINE)
@click.option("--pair-by", help=PAIR_BY)
@click.option(
    "--repeats",
    type=click.Choice(["current", "all"]),
    help="Whether superseded scores count too; they do not by default.",
)
@click.option(
    "--direction",
    type=click.Choice(["higher", "lower"]),
    help="Which values are better. Default: what the project declares.",
)
@click.option("--min", type=float, help="The lowest mean, or rate of true, that passes.")
@click.option("--max", type=float, help="The highest mean, or rate of true, that passes.")
@click.option(
    "--confidence",
    is_flag=True,
    default=None,
    help="Hold --min, --max and --min-pass-… against all of the figure's 95 % interval.",
)
@click.option("--k", type=int, help="The number of trials that --min-pass-… are about.")
@click.option("--min-pass-at-k", type=float, help="How often one of k trials must be true.")
@click.option("--min-pass-hat-k", type=float, help="How often all of k trials must be true.")
@click.option("--max-drop", type=float, help="How far it may fall below the baseline.")
@click.option("--max-rise", type=float, help="How far it may rise above the baseline.")
@click.option(
    "--not-worse-by",
    type=float,
    help="By how much it must be shown not to be worse than the baseline (95 % confidence).",
)
@click.option("--min-coverage", type=float, help="The lowest share of attempts with a value.")
@click.option(
    "--max-failed",
    type=float,
    help="The share of attempts that the scorer may fail on; above it, it is inconclusive.",
)
@click.option(
    "--min-compared",
    type=float,
    help="The share of the baseline's examples to compare; below it, it is inconclusive. "
    "Default: 0.9.",
)
@click.option(
    "--slice",
    help="An attribute of the examples (inputs.PATH, metadata.PATH or leaf:PATH): no slice may be "
    "worse than in the baseline.",
)
@click.option(
    "--protected",
    multiple=True,
    callback=lambda _context, _option, values: list(values) or None,
    help="Examples that may not fail at all: tag:NAME, or an id; repeatable.",
)
@click.option(
    "--worst",
    type=int,
    help=f"How many regressions of each metric to list. Default: 0, with --markdown {WORST}.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the API's JSON response.")
@click.option(
    "--junit",
    type=click.Path(dir_okay=False, path_type=Path),
    help="A JUnit XML file to write for CI, with a test case for each check.",
)
@click.option(
    "--markdown",
    help="A file for one comment on a pull request, with the checks and the worst regressions; "
    "`-` prints it in place of the table.",
)
@click.option(
    "--title",
    help="The title of that comment. Give two gates of a project on one pull request different "
    "ones, for each to replace its own.",
)
def gate(
    client: Client,
    *,
    config: Path | None,
    as_json: bool,
    junit: Path | None,
    markdown: str | None,
    title: str | None,
    **given: str | float | bool | list[str] | None,
) -> None:
    """Check metrics of a run against limits: passed, failed or inconclusive.

    Name one metric and at least one limit, or give a file with several.

    Example: scoreline gate --project acme/demo --run run-2 --baseline run-1 --scorer exact
    --direction higher --not-worse-by 0.02
    """
    wanted = _wanted(config, given)
    metric = " ".join(str(wanted[name]) for name in ("run", "scorer", "leaf") if name in wanted)
    if title is not None and markdown is None:
        fail("--title is that of --markdown", 2)
    if as_json and markdown == "-":
        fail("give only one of --json and --markdown -", 2)
    if markdown is not None:
        wanted.setdefault("worst", WORST)
    try:
        text, result = _ask(client, wanted)
        rows = _rows(result)
        missing = [] if result["outcome"] == "passed" else _missing(client, result)
        shown = None if markdown is None else comment(client, result, title)
    except (ServiceError, ServiceUnreachable) as error:
        _write_junit(junit, [Case(metric, "gate", "error", str(error))])
        _write_comment(markdown, comment_without_result(client.project, title, str(error)))
        fail(str(error), 2)
    _write_junit(junit, _cases(metric, result))
    _write_comment(markdown, shown)
    for why in missing:
        note(why)
    if as_json:
        write(text + b"\n")
    elif markdown != "-":
        table(HEADER, rows)
        click.echo(printable(result["reason"]))
        show_changes("table", result.get("gates", [result]) if given["worst"] else ())
    sys.exit(EXIT_CODES[result["outcome"]])


def _wanted(config: Path | None, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return what to ask the service for, with the gates of the file if there is one, or exit."""
    wanted = {name: each for name, each in given.items() if each is not None}
    if config is not None:
        return {**_for_file(wanted), "gates": _read_gates(config)}
    if "scorer" not in wanted:
        fail("give --scorer and a limit, or --file", 2)
    return wanted


def _for_file(wanted: dict[str, Any]) -> dict[str, Any]:
    """Return the options that a file may be combined with, or exit for any other."""
    for name in wanted.keys() - {"run", "baseline", "pair_by", "repeats", "worst"}:
        fail(f"--{name.replace('_', '-')} is given by the [[gate]] tables of --file", 2)
    return wanted


def _read_gates(path: Path) -> list[dict[str, Any]]:
    """Return the [[gate]] tables of a file, or exit."""
    return read_tables(path, "gate") or fail(f"{path} has no [[gate]]", 2)


def _ask(client: Client, wanted: dict[str, Any]) -> tuple[bytes, dict[str, Any]]:
    if "gates" in wanted:
        return client.gates(wanted)
    query = {name: each if isinstance(each, list) else str(each) for name, each in wanted.items()}
    return client.gate(query)


def _rows(result: dict[str, Any]) -> list[list[str]]:
    """Return a table row for each check. Raises ServiceError for a response of another program."""
    try:
        rows = [_row(check, _check_name(check, result)) for check in result["checks"]]
        is_known = result["outcome"] in EXIT_CODES and isinstance(result["reason"], str)
    except (TypeError, KeyError, ValueError):
        raise not_scoreline(200) from None
    if not rows or not is_known:
        raise not_scoreline(200)
    return rows


def _missing(client: Client, result: dict[str, Any]) -> list[str]:
    """Return a message for each run without scores, or one if the project has none."""
    runs = dict.fromkeys(
        [result["run"], *(check["baseline"] for check in result["checks"] if check.get("baseline"))]
    )
    return list(dict.fromkeys(why for run in runs if (why := why_no_scores(client, run))))


def _row(check: Json, name: str) -> list[str]:
    outcome = check["outcome"]
    return [
        name,
        figure(check["wanted"]),
        figure(check["found"]),
        outcome if outcome == "passed" else outcome.upper(),
        check["why"] or "",
    ]


def _check_name(check: Json, result: Json) -> str:
    """Return the name of a check, with its metric if the gate has several."""
    if len(result.get("gates", ())) > 1:
        return check_title(check, several_baselines(result))
    return str(check["name"])


def _cases(title: str, result: Json) -> list[Case]:
    """Return a JUnit case for each check."""
    return [_case(title, _check_name(check, result), check) for check in result["checks"]]


def _case(title: str, name: str, check: Json) -> Case:
    if check["wanted"] is not None:
        name = f"{name} {figure(check['wanted'])}"
    tag = TAGS.get(check["outcome"])
    if tag is None:
        return Case(title, name)
    return Case(title, name, tag, check["why"] or f"found {figure(check['found'])}")


def _write_junit(file: Path | None, cases: Sequence[Case]) -> None:
    """Write the cases as one JUnit test suite."""
    if file is None:
        return
    outcomes = Counter(case.tag for case in cases)
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
        if case.tag != "passed":
            ET.SubElement(element, case.tag, {"message": _safe(case.message)})
    _write_file(file, ET.tostring(root, "utf-8", xml_declaration=True) + b"\n")


def _write_comment(file: str | None, text: str | None) -> None:
    """Write the comment to a file, or to stdout if that is `-`."""
    if file is None or text is None:
        return
    content = text.encode()
    if file == "-":
        write(content)
    else:
        _write_file(Path(file), content)


def _write_file(file: Path, content: bytes) -> None:
    try:
        file.write_bytes(content)
    except OSError as error:
        fail(f"{file} cannot be written: {error.strerror}", 2)


def _safe(text: str) -> str:
    return _NOT_XML.sub("\ufffd", text)
