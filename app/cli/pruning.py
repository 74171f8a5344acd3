"""What `scoreline store prune` does: parse a period, prune each project, and report."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime, timedelta

from app.cli.base import bar, counted, fail, note, write_json
from app.ids import utc_text
from app.services.keys import COMMAND_LINE
from app.services.retention import Pruned, Retention
from app.stores.base import Store
from app.stores.listing import ProjectCounts

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
    for entity, project in projects:
        if store.count_project(entity, project) == ProjectCounts(0, 0, 0):
            note(f"there is nothing in {entity}/{project}")


def count_or_prune(
    store: Store,
    projects: Sequence[tuple[str, str]],
    moment: datetime,
    *,
    archived: bool,
    delete: bool,
) -> Pruned:
    """Count or delete what is older than a moment in some projects of a store."""
    found = Pruned()
    # With a progress bar of the runs in them.
    runs = sum(store.count_project(*place).runs for place in projects)
    with bar(runs, "deleting" if delete else "counting") as advance:
        old = Retention(store, moment, archived, advance)
        for place in projects:
            part = old.prune(*place, COMMAND_LINE) if delete else old.count(*place)
            found.add(part.runs, part.predictions, part.scores)
            found.kept_archived += part.kept_archived
    return found


def amount(found: Pruned) -> str:
    """Return how much is deleted as text: "2 runs, 1 prediction and 3 scores"."""
    predictions, scores = counted(found.predictions, "prediction"), counted(found.scores, "score")
    return f"{counted(found.runs, 'run')}, {predictions} and {scores}"


def report_pruned(found: Pruned, moment: datetime, *, dry_run: bool, as_json: bool) -> None:
    """Print how much was deleted or would be."""
    if as_json:
        counts = {f"num_{name}": number for name, number in asdict(found).items()}
        write_json({"before": utc_text(moment), "dry_run": dry_run, **counts})
        return
    done = "would delete" if dry_run else "deleted"
    note(f"{done} {amount(found)} from before {utc_text(moment)}")
    if found.kept_archived:
        note(f"kept {counted(found.kept_archived, 'archived run')}; --archived deletes them too")
