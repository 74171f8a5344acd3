"""List evaluation runs with their counts, stored or only named by scores, and describe them."""

from __future__ import annotations

import heapq
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from itertools import islice
from typing import Any

from app import jsontext
from app.ids import first_id_at, id_time, new_id_at
from app.services.audit import audited
from app.services.documents import AUDITED_CHARACTERS, not_found, text_or_none
from app.services.lists import ClientCheck, Page, no_client_check
from app.services.revisions import run_revision
from app.services.scores import hash_of
from app.stores.base import DocumentQuery, Store
from app.stores.model import ApiKey, Approval, EvaluationRun

MAX_EXAMINED = 10_000
"""How many runs one call compares with its filters; its page may have fewer than its limit."""

PAGE = 1_000
"""How many runs are read at a time if there are filters."""

MAX_SCORERS = 100
"""How many scorers of a run are named."""

FILTERS = ("status", "model", "evaluation", "dataset")
"""The filters that are a field of a stored run."""

FIELDS = (
    *("name", "description", "evaluation", "model", "dataset", "source_evaluation_run_id"),
    *("status", "started_at", "finished_at", "expected", "wb_user_id"),
)
"""The fields of a stored run that are shown as they are."""


@dataclass(frozen=True)
class Run:
    """An evaluation run; `document` is None if only scores or predictions name it.

    Lists are in the order of `first_id`: that of the document, or the lowest id that names the run.
    """

    run_id: str
    first_id: str
    document: EvaluationRun | None


def list_runs(
    store: Store,
    entity: str,
    project: str,
    wanted: Mapping[str, Any],
    check_client: ClientCheck = no_client_check,
) -> Page[dict[str, Any]]:
    """Return a page of the runs of one project that pass all filters, newest first.

    `wanted` is a loaded RunListQuery. Each run is counted when it is read from the page. Raises
    whatever `check_client` raises.
    """
    if wanted["run"] is not None:
        run = find_run(store, entity, project, wanted["run"])
        run_ids = [run.run_id] if run and _passes(run, wanted) else []
        return Page(_described(store, entity, project, run_ids), None)
    run_ids, after = [], None
    for number, run in enumerate(_newest_first(store, entity, project, wanted)):
        check_client()
        if len(run_ids) == wanted["limit"] or number == MAX_EXAMINED:
            return Page(_described(store, entity, project, run_ids), after)
        after = run.first_id
        if _passes(run, wanted):
            run_ids.append(run.run_id)
    return Page(_described(store, entity, project, run_ids), None)


def newest_runs(
    store: Store,
    entity: str,
    project: str,
    wanted: Mapping[str, Any],
    check_client: ClientCheck = no_client_check,
) -> Iterator[Run]:
    """Yield the runs that are not archived and pass loaded RunFilters, newest first.

    At most MAX_EXAMINED are compared with the filters. Raises whatever `check_client` raises.
    """
    wanted = {**wanted, "run": None, "archived": "false", "after": None, "limit": PAGE}
    for run in islice(_newest_first(store, entity, project, wanted), MAX_EXAMINED):
        check_client()
        if _passes(run, wanted):
            yield run


def check_run(store: Store, entity: str, project: str, run_id: str) -> Run:
    """Return a run, stored or only named by others. Raises NotFound."""
    found = find_run(store, entity, project, run_id)
    if found is None:
        raise not_found(EvaluationRun, run_id)
    return found


def change_run(
    store: Store, entity: str, project: str, run_id: str, body: Mapping[str, Any], caller: ApiKey
) -> dict[str, Any]:
    """Name, describe or archive a run, and return it. Raises NotFound.

    A run that only others name becomes a stored one, with an empty evaluation and model, which
    began when it was first named. `body` is a loaded RunChangeBody.
    """
    changes = {name: body[name] for name in ("name", "description") if name in body}
    if "attributes" in body:
        changes["attributes_json"] = text_or_none(body["attributes"])
    if "archived" in body:
        changes["archived_at"] = datetime.now(UTC) if body["archived"] else None
    target = {
        "entity": entity,
        "project": project,
        "evaluation_run_id": run_id[:AUDITED_CHARACTERS],
        "fields": sorted(body),
    }
    with audited("evaluation_runs.change", caller, target):
        if not store.change_document(EvaluationRun, entity, project, run_id, **changes):
            _store_named_run(store, entity, project, run_id, changes, caller.owner)
    run = check_run(store, entity, project, run_id)
    return _describe(store, entity, project, run, newest_approval(store, entity, project))


def _store_named_run(
    store: Store, entity: str, project: str, run_id: str, changes: Mapping[str, Any], owner: str
) -> None:
    """Store a run that only others name. Raises NotFound."""
    named = store.find_named_run(entity, project, run_id)
    if named is None:
        raise not_found(EvaluationRun, run_id)
    began = id_time(named.first_id)
    run = EvaluationRun(
        id=run_id,
        sort_id=new_id_at(began),  # It keeps its place in lists.
        entity=entity,
        project=project,
        wb_user_id=owner,
        body_hash=hash_of(run_id),
        evaluation="",
        model="",
        started_at=began,
    )
    store.add_documents([run])  # Unless another call has just stored one.
    if not store.change_document(EvaluationRun, entity, project, run_id, **changes):
        raise not_found(EvaluationRun, run_id)


def find_run(store: Store, entity: str, project: str, run_id: str) -> Run | None:
    """Return a run, stored or only named by others, or None."""
    document = store.find_document(EvaluationRun, entity, project, run_id)
    if document:
        return Run(run_id, document.sort_id, document)
    named = store.find_named_run(entity, project, run_id)
    return Run(run_id, named.first_id, None) if named else None


def _newest_first(
    store: Store, entity: str, project: str, wanted: Mapping[str, Any]
) -> Iterator[Run]:
    """Yield the runs between the bounds of a loaded RunListQuery."""
    since, until = (
        first_id_at(wanted[name]) if wanted[name] else None
        for name in ("created_at_from", "created_at_to")
    )
    before = min((bound for bound in (wanted["after"], until) if bound), default=None)
    size = PAGE if _has_filters(wanted) else wanted["limit"] + 1
    seen = set[str]()
    while True:
        page = read_newest_runs(store, entity, project, before, size)
        examined = 0
        for run in page:
            examined += 1
            if since and run.first_id < since:
                return
            # A run that was stored while the page was read is in it twice.
            if run.run_id not in seen:
                seen.add(run.run_id)
                yield run
            before = run.first_id
        if examined < size:
            return


def newest_approval(store: Store, entity: str, project: str) -> Approval | None:
    """Return the approval that counts, if a run of the project was ever approved."""
    query = DocumentQuery(entity, project, limit=1, newest_first=True)
    return next(iter(store.read_documents(Approval, query)), None)


def is_approved(approval: Approval, run: Run) -> bool:
    """Return whether a run is the one that was approved, and not a later one with its id."""
    is_same = run.run_id == approval.evaluation_run_id
    return is_same and id_time(run.first_id) <= approval.created_at


def read_newest_runs(
    store: Store, entity: str, project: str, before: str | None, size: int
) -> Iterator[Run]:
    """Return the newest `size` runs below the id `before`, reading documents as needed."""
    query = DocumentQuery(entity, project, before=before, limit=size, newest_first=True)
    named = [
        Run(run.name, run.first_id, None)
        for run in store.list_named_runs(entity, project, before, size)
    ]
    stored = (
        Run(each.id, each.sort_id, each) for each in store.read_documents(EvaluationRun, query)
    )
    merged = heapq.merge(named, stored, key=lambda run: run.first_id, reverse=True)
    return islice(merged, size)


def _has_filters(wanted: Mapping[str, Any]) -> bool:
    return any(wanted[name] for name in (*FILTERS, "name", "attribute"))


def _passes(run: Run, wanted: Mapping[str, Any]) -> bool:
    """Return whether a run passes the filters; one that is only named has no fields."""
    given = {name: wanted[name] for name in FILTERS if wanted[name]}
    if any(getattr(run.document, name, None) != value for name, value in given.items()):
        return False
    archived = run.document is not None and run.document.archived_at is not None
    default = "false" if wanted["run"] is None else "all"
    if {"true": not archived, "false": archived, "all": False}[wanted["archived"] or default]:
        return False
    name = (run.document and run.document.name) or run.run_id
    if wanted["name"] and wanted["name"].casefold() not in name.casefold():
        return False
    return not wanted["attribute"] or has_attributes(run.document, wanted["attribute"])


def has_attributes(run: EvaluationRun | None, wanted: Sequence[str]) -> bool:
    """Return whether a run has all attributes, each written as KEY or KEY=VALUE."""
    text = run.attributes_json if run else None
    attributes = json.loads(text) if text else {}
    return all(_has_attribute(attributes, *each.partition("=")) for each in wanted)


def _has_attribute(attributes: dict[str, Any], key: str, equals: str, value: str) -> bool:
    """Return whether there is the key, with this value or a list that contains it."""
    if not equals or key not in attributes:
        return key in attributes
    found = attributes[key]
    texts = [
        each if isinstance(each, str) else jsontext.write(each)
        for each in (found if isinstance(found, list) else [found])
    ]
    return value in texts


def _described(
    store: Store, entity: str, project: str, run_ids: Sequence[str]
) -> Iterator[dict[str, Any]]:
    """Yield the runs that still exist, with their counts."""
    approval = newest_approval(store, entity, project)
    for run_id in run_ids:
        run = find_run(store, entity, project, run_id)
        if run:
            yield _describe(store, entity, project, run, approval)


def _describe(
    store: Store, entity: str, project: str, run: Run, approval: Approval | None
) -> dict[str, Any]:
    """Return the fields of a run and its counts, as in RunRes; `approval` is the newest one."""
    counts = store.count_run(entity, project, run.run_id)
    stored = {} if run.document is None else asdict(run.document)
    attributes = stored.get("attributes_json")
    return {
        **{name: stored.get(name) for name in FIELDS},
        "evaluation_run_id": run.run_id,
        "explicit": run.document is not None,
        "created_at": id_time(run.first_id),
        "attributes": None if attributes is None else json.loads(attributes),
        "archived": stored.get("archived_at") is not None,
        "approved": approval is not None and is_approved(approval, run),
        "predictions": counts.predictions,
        "scores": sum(counts.scorers.values()),
        "superseded": counts.superseded,
        "scorers": sorted(counts.scorers)[:MAX_SCORERS],
        "num_scorers": len(counts.scorers),
        "revision": run_revision(store, entity, project, run.run_id),
    }
