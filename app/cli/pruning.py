"""What `scoreline store prune` does: parse a period, prune each project, and report."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime, timedelta

from app.cli.base import bar, counted, fail, note, write_json
from app.ids import utc_text
from app.services.keys import COMMAND_LINE
from app.services.retention import Pruned, Retention, projects_of
from app.services.unused import Unused, prune_unused
from app.stores.base import Store

HOURS = {"h": 1, "d": 24, "w": 7 * 24}


def moment_before(older_than: str) -> datetime:
    """Return the moment that a period like 90d is ago, or exit if it is not a period."""
    match = re.fullmatch("([1-9][0-9]{0,5})([hdw])", older_than)
    if match is None:
        fail(f"--older-than must be a number with h, d or w, such as 90d, not {older_than!r}", 2)
    try:
        return datetime.now(UTC) - timedelta(hours=int(match[1]) * HOURS[match[2]])
    except OverflowError:
        fail(f"--older-than {older_than} is before the year 1", 2)


def place_of(project: str) -> tuple[str, str]:
    """Return entity and project, or exit if it is not entity/project."""
    entity, _, name = project.partition("/")
    if not (entity and name) or "/" in name:
        fail(f"--project must be entity/project, not {project!r}", 2)
    return entity, name


def note_empty(store: Store, projects: Sequence[tuple[str, str]]) -> None:
    """Print each project that holds nothing, because its name may be misspelt."""
    known = set(projects_of(store)) if projects else set()
    for entity, project in projects:
        if (entity, project) not in known:
            note(f"there is nothing in {entity}/{project}")


def count_or_prune(
    store: Store,
    projects: Sequence[tuple[str, str]],
    moment: datetime,
    *,
    archived: bool,
    objects: bool,
    delete: bool,
) -> tuple[Pruned, Unused | None]:
    """Count or delete what is older than a moment in some projects; unused objects on request."""
    found, unused = Pruned(), Unused() if objects else None
    # With a progress bar of the runs in them.
    runs = sum(store.count_project(*place).runs for place in projects)
    with bar(runs, "deleting" if delete else "counting") as advance:
        old = Retention(store, moment, archived, advance)
        for place in projects:
            found.add(old.prune(*place, COMMAND_LINE) if delete else old.count(*place))
            if unused is not None:
                unused.add(prune_unused(store, *place, moment, COMMAND_LINE, delete=delete))
    return found, unused


def amount(found: Pruned, unused: Unused | None) -> str:
    """Return how much is deleted as text: "2 runs, 1 prediction and 3 scores"."""
    predictions, scores = counted(found.predictions, "prediction"), counted(found.scores, "score")
    text = f"{counted(found.runs, 'run')}, {predictions} and {scores}"
    loose = [f"{counted(found.calls, 'call')} of no run", f"{found.feedback} feedback of no call"]
    others = loose if found.calls or found.feedback else []
    if unused is not None:
        others += [counted(number, name.removesuffix("s")) for name, number in vars(unused).items()]
    return f"{text}, with {', '.join(others)}" if others else text


CACHED = (
    "Weave's SDK remembers in its disk cache what it has sent, and never sends it again: set "
    "WEAVE_USE_SERVER_CACHE=false for programs that still need these objects, tables and files"
)


def report_pruned(
    found: Pruned, unused: Unused | None, moment: datetime, *, dry_run: bool, as_json: bool
) -> None:
    """Print how much was deleted or would be."""
    if unused is not None:
        note(CACHED)
    if as_json:
        numbers = {**asdict(found), **(asdict(unused) if unused else {})}
        counts = {f"num_{name}": number for name, number in numbers.items()}
        write_json({"before": utc_text(moment), "dry_run": dry_run, **counts})
        return
    done = "would delete" if dry_run else "deleted"
    note(f"{done} {amount(found, unused)} from before {utc_text(moment)}")
    if found.kept_archived:
        note(f"kept {counted(found.kept_archived, 'archived run')}; --archived deletes them too")
