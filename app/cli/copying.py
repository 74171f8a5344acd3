"""What `scoreline store copy` prints of a copy."""

from __future__ import annotations

import sys
from operator import attrgetter
from typing import Any

import click

from app.cli.base import counted, fail, write_json
from app.services.copies import Copied, CopiedStore


def report_json(copied: CopiedStore) -> None:
    """Print the numbers of a copy as one JSON document; exit with 1 if the stores differ."""
    scores = copied.scores
    write_json(
        {
            "equal": copied.equal,
            "num_copied": scores.added,
            "num_keys_copied": copied.keys,
            "num_deleted": scores.deleted,
            "num_new": copied.came_since,
            "num_extra": len(scores.extra),
            "source": {"num_scores": scores.source.count, "sha256": scores.source.digest},
            "target": {"num_scores": scores.target.count, "sha256": scores.target.digest},
            **{each.kind.collection: _counts(each) for each in copied.documents},
        }
    )
    if not copied.equal:
        sys.exit(1)


def _counts(found: Copied) -> dict[str, Any]:
    return {
        "equal": found.equal,
        "num_copied": found.added,
        "num_changed": found.changed,
        "num_deleted": found.deleted,
        "num_extra": len(found.extra),
        "source": {"num": found.source.count, "sha256": found.source.digest},
        "target": {"num": found.target.count, "sha256": found.target.digest},
    }


def report(copied: CopiedStore, source: str, target: str) -> None:
    """Print the numbers of a copy; exit with 1 if the stores differ."""
    scores = copied.scores
    click.echo(f"copied {counted(scores.added, 'score')} and {counted(copied.keys, 'API key')}")
    if scores.deleted:
        click.echo(f"deleted {counted(scores.deleted, 'score')} that only the target had")
    for url, side in ((source, scores.source), (target, scores.target)):
        click.echo(f"{url}: {counted(side.count, 'score')}, sha256 {side.digest}")
    for each in copied.documents:
        if each.source.count or each.target.count:
            _report_documents(each)
    if copied.came_since:
        click.echo(
            f"about {counted(copied.came_since, 'score')} arrived meanwhile; copy again to add them"
        )
    for each in filter(attrgetter("extra"), (scores, *copied.documents)):
        click.echo(
            f"{each.kind.collection} that only the target has: {len(each.extra)}, such as "
            f"{each.extra[0].id}; use --delete-extra to delete them"
        )
    if not copied.equal:
        fail("the stores differ", 1)
    click.echo(f"equal up to score {scores.horizon}" if scores.horizon else "both are empty")


def _report_documents(found: Copied) -> None:
    click.echo(
        f"{found.kind.collection}: copied {found.added}, changed {found.changed}, deleted "
        f"{found.deleted}; {found.source.count} and {found.target.count} there, sha256 "
        f"{found.source.digest} and {found.target.digest}"
    )
