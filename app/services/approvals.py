"""Approve an evaluation run as a baseline, and list who approved which run, when and why."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from app.errors import TooLarge
from app.services.audit import audited
from app.services.documents import AUDITED_CHARACTERS, content_hash
from app.services.lists import ClientCheck, Page, no_client_check
from app.services.run_references import RunFinder
from app.services.runs import newest_approval
from app.stores.base import DocumentQuery, Kept, Store
from app.stores.model import ApiKey, Approval


def approve_run(
    store: Store,
    entity: str,
    project: str,
    body: Mapping[str, Any],
    caller: ApiKey,
    check_client: ClientCheck = no_client_check,
) -> Approval:
    """Store that `caller` approves a run, and return the approval; `body` is an ApprovalBody.

    A repeat of the newest approval stores nothing. Raises what `RunFinder.find` raises, and
    TooLarge.
    """
    finder = RunFinder(store, entity, project, check_client, place="body")
    run = finder.find("run", body["run"])
    content = {"evaluation_run_id": run.run_id, "reason": body["reason"]}
    approval = Approval(
        entity=entity,
        project=project,
        wb_user_id=caller.owner,
        # With its first id, because a run may be deleted and another have its id.
        body_hash=content_hash({**content, "owner": caller.owner, "first_id": run.first_id}),
        **content,
    )
    newest = newest_approval(store, entity, project)
    if newest is not None and newest.body_hash == approval.body_hash:
        return newest
    target = {
        "entity": entity,
        "project": project,
        "evaluation_run_id": run.run_id[:AUDITED_CHARACTERS],
        "reason": body["reason"],
    }
    with audited("evaluation_runs.approve", caller, target):
        (outcome,) = store.add_documents([approval])
        if outcome.kept is Kept.TOO_LARGE:
            raise TooLarge("The approval is too large for the store")
    (found,) = store.find_documents(Approval, entity, project, [outcome.id])
    return found


def list_approvals(
    store: Store, entity: str, project: str, wanted: Mapping[str, Any]
) -> Page[Approval]:
    """Return a page of the approvals of a project, newest first; `wanted` is a loaded PageQuery."""
    limit = wanted["limit"]
    query = DocumentQuery(
        entity, project, before=wanted["after"], limit=limit + 1, newest_first=True
    )
    found = list(store.read_documents(Approval, query))
    return Page(iter(found[:limit]), found[limit - 1].sort_id if len(found) > limit else None)
