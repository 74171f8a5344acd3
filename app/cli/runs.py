"""`scoreline runs`: create, finish, list, change and delete runs of a running service."""

from __future__ import annotations

import json
import sys
from collections import Counter
from typing import Any, NoReturn

import click

from app.cli.base import (
    Group,
    ServiceError,
    confirm,
    counted,
    fail,
    interruptible,
    note,
    printable,
    write,
    write_json,
)
from app.cli.client import Client, read_object
from app.cli.listing import show_list
from app.cli.project import list_options, project_options

COLUMNS = (
    *("evaluation_run_id", "name", "status", "model", "created_at", "approved"),
    *("expected", "predictions", "scores", "superseded", "scorers"),
)

APPROVAL_COLUMNS = ("approval_id", "created_at", "evaluation_run_id", "wb_user_id", "reason")


@click.group(cls=Group)
def runs() -> None:
    """Create, finish, list, change and delete evaluation runs of a running service.

    Runs that only scores or predictions name are listed too.
    """


@runs.command("list")
@project_options
@click.option("--name", help="Only runs whose name, or id without a name, contains this text.")
@click.option("--status", help="Only runs with this status: running, completed or failed.")
@click.option("--model", help="Only runs of this model.")
@click.option("--evaluation", help="Only runs of this evaluation.")
@click.option("--dataset", help="Only runs on this dataset.")
@click.option("--attribute", multiple=True, help="Only runs with this KEY or KEY=VALUE.")
@click.option("--archived", type=click.Choice(["true", "false", "all"]), help="Default: false.")
@click.option("--created-at-from", help="Only runs created at or after this time.")
@click.option("--created-at-to", help="Only runs created before this time.")
@list_options
def runs_list(
    client: Client, attribute: tuple[str, ...], limit: int | None, *, as_json: bool, **given: str
) -> None:
    """List runs with their counts, newest first: the first 100 in a table, or all with --json.

    Example: scoreline runs list --project acme/demo --status completed
    """
    filters = [(name, value) for name, value in given.items() if value is not None]
    filters += [("attribute", each) for each in attribute]
    url = f"{client.lists_url}/runs"
    if not show_list(client, url, COLUMNS, filters, limit, as_json=as_json):
        fail(
            "no runs match" if filters else f"no runs in {client.project} that are not archived", 1
        )


@runs.command("show")
@project_options
@click.option("--json", "as_json", is_flag=True, help="Print the API's line.")
@click.argument("run")
def runs_show(client: Client, run: str, *, as_json: bool) -> None:
    """Show one run, also if it is archived.

    Example: scoreline runs show --project acme/demo nightly-1
    """
    found = client.read_list(f"{client.lists_url}/runs", COLUMNS[0], [("run", run)], 1)
    text = next(found, None)
    if text is None:
        _fail_without(client, run)
    _show(text, json.loads(text), as_json=as_json)


@runs.command("create")
@project_options
@click.option("--evaluation", required=True, help="The evaluation that it is a run of.")
@click.option("--model", required=True, help="The model.")
@click.option("--dataset", help="The dataset.")
@click.option("--name", help="A name for people.")
@click.option("--expected", type=click.IntRange(min=0), help="How many predictions it should have.")
@click.option("--attribute", multiple=True, help="KEY=VALUE, such as branch=main; repeatable.")
@click.option(
    "--if-exists",
    type=click.Choice(["append", "replace"]),
    help="Add to a run with this id, or delete it first. Default: refuse.",
)
@click.argument("run")
def runs_create(
    client: Client, run: str, attribute: tuple[str, ...], if_exists: str | None, **given: Any
) -> None:
    """Create a run, before its predictions and scores are added.

    A gate on it is inconclusive until it is finished and has as many predictions as expected.

    Example: scoreline runs create --project acme/demo --evaluation faq --model bot --expected 100
    pr-7-4f1c2ab
    """
    body = {name: value for name, value in given.items() if value is not None}
    if attribute:
        body["attributes"] = dict(map(_attribute, attribute))
    try:
        created = client.create_run({**body, "evaluation_run_id": run}, if_exists)
    except ServiceError as error:
        if not any(each.get("type") == "evaluation_run_id_taken" for each in error.errors):
            raise
        fail(f"run {run} exists already: give --if-exists append or --if-exists replace", 1)
    click.echo(printable(created))


@runs.command("finish")
@project_options
@click.argument("run")
def runs_finish(client: Client, run: str) -> None:
    """Say that all predictions and scores of a run were added.

    Example: scoreline runs finish --project acme/demo pr-7-4f1c2ab
    """
    try:
        client.finish_run(run)
    except ServiceError as error:
        if not error.is_missing:
            raise
        _fail_without(client, run)
    note(f"finished {run}")


@runs.command("rename")
@project_options
@click.option("--json", "as_json", is_flag=True, help="Print the API's response.")
@click.argument("run")
@click.argument("name")
def runs_rename(client: Client, run: str, name: str, *, as_json: bool) -> None:
    """Give a run a name; its id stays as it is. An empty name removes it.

    Example: scoreline runs rename --project acme/demo nightly-1 "With the new prompt"
    """
    _change(client, run, {"name": name or None}, as_json=as_json)


@runs.command("describe")
@project_options
@click.option("--json", "as_json", is_flag=True, help="Print the API's response.")
@click.argument("run")
@click.argument("text")
def runs_describe(client: Client, run: str, text: str, *, as_json: bool) -> None:
    """Give a run a description. An empty text removes it.

    Example: scoreline runs describe --project acme/demo nightly-1 "Before the release"
    """
    _change(client, run, {"description": text or None}, as_json=as_json)


@runs.command("approve")
@project_options
@click.option("--reason", required=True, help="Why it is approved, for those who read it later.")
@click.option("--json", "as_json", is_flag=True, help="Print the API's response.")
@click.argument("run")
def runs_approve(client: Client, run: str, reason: str, *, as_json: bool) -> None:
    """Approve a run: from now on, the baseline `approved` means it.

    RUN is the run's id or its name, or latest:KEY=VALUE.

    Example: scoreline runs approve --project acme/demo nightly-1 --reason "Released as 1.4"
    """
    text, approval = client.approve_run(run, reason)
    _show(text, approval, as_json=as_json)
    run_id = approval["evaluation_run_id"]
    for line in client.read_list(f"{client.lists_url}/runs", COLUMNS[0], [("run", run_id)], 1):
        found = read_object(line)
        if found["evaluation"] and found["status"] != "completed":  # Others never say they end.
            note(f"{run_id} is {found['status']}, not completed: gates compare with what it has")


@runs.command("approvals")
@project_options
@list_options
def runs_approvals(client: Client, limit: int | None, *, as_json: bool) -> None:
    """List who approved which run, when and why, newest first; the first one counts.

    Example: scoreline runs approvals --project acme/demo
    """
    url = f"{client.lists_url}/runs/approvals"
    if not show_list(client, url, APPROVAL_COLUMNS, limit=limit, as_json=as_json):
        fail(f"no run in {client.project} is approved", 1)


@runs.command("archive")
@project_options
@click.option("--json", "as_json", is_flag=True, help="Print the API's response.")
@click.argument("run")
def runs_archive(client: Client, run: str, *, as_json: bool) -> None:
    """Leave a run out of lists; everything else works as before.

    Example: scoreline runs archive --project acme/demo nightly-1
    """
    _change(client, run, {"archived": True}, as_json=as_json)


@runs.command("unarchive")
@project_options
@click.option("--json", "as_json", is_flag=True, help="Print the API's response.")
@click.argument("run")
def runs_unarchive(client: Client, run: str, *, as_json: bool) -> None:
    """Show an archived run in lists again.

    Example: scoreline runs unarchive --project acme/demo nightly-1
    """
    _change(client, run, {"archived": False}, as_json=as_json)


@runs.command("delete")
@project_options
@click.option("--yes", is_flag=True, help="Delete without asking for confirmation.")
@click.option("--json", "as_json", is_flag=True, help="Print the counts, as the API does.")
@click.argument("run_ids", metavar="RUN...", nargs=-1, required=True)
def runs_delete(client: Client, run_ids: tuple[str, ...], *, yes: bool, as_json: bool) -> None:
    """Delete runs with their predictions and scores.

    They are hidden at once; the service removes a large run in the background. Asks for
    confirmation first. Without a terminal, --yes is required. The exit code is 1 if a run does not
    exist.

    Example: scoreline runs delete --project acme/demo --yes nightly-1 nightly-2
    """
    ids = list(dict.fromkeys(run_ids))
    if not yes:
        confirm(f"{counted(len(ids), 'run')} with all predictions and scores")
    totals: Counter[str] = Counter()
    with interruptible("run the same command to delete the rest"):
        for run_id in ids:
            deleted = client.delete_run(run_id)
            if not deleted["num_deleted"]:
                note(f"no run {run_id} in {client.project}")
            totals.update(deleted)
    if as_json:
        write_json(totals)
    else:
        predictions = counted(totals["num_predictions"], "prediction")
        scores = counted(totals["num_scores"], "score")
        of_all = f"{totals['num_deleted']} of {counted(len(ids), 'run')}"
        note(f"deleted {of_all}, with {predictions} and {scores}")
        if totals["num_pending"]:
            note(f"{totals['num_pending']} of them are still being removed, but hidden")
    if totals["num_deleted"] < len(ids):
        sys.exit(1)


def _attribute(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not key or not equals:
        fail(f"--attribute must be KEY=VALUE, not {text!r}", 2)
    return key, value


def _change(client: Client, run: str, changes: dict[str, Any], *, as_json: bool) -> None:
    try:
        text, changed = client.change_run(run, changes)
    except ServiceError as error:
        if not error.is_missing:
            raise
        _fail_without(client, run)
    _show(text, changed, as_json=as_json)


def _fail_without(client: Client, run: str) -> NoReturn:
    fail(f"no run {run} in {client.project}", 1)


def _show(text: bytes, run: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        write(text + b"\n")
        return
    for name, value in run.items():
        if value is not None:
            shown = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
            click.echo(f"{name}: {printable(shown)}")
