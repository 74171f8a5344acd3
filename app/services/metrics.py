"""Declare, read and remove the metrics of a project: what is known of a scorer's leaf."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from app import jsontext
from app.errors import InvalidParameter, NotFound
from app.scorers import scorer_name
from app.services.audit import audited
from app.services.documents import content_hash, text_or_none
from app.stores.base import DocumentQuery, Store
from app.stores.model import ApiKey, Metric

MAX_METRICS = 1_000
"""How many metrics a project may declare."""

FRESH_SECONDS = 0.5
"""How long a process caches the schemas that a project enforces."""

MetricKey = tuple[str, str]
"""The name of a scorer, and a leaf of its values."""


def read_metrics(store: Store, entity: str, project: str) -> Mapping[MetricKey, Metric]:
    """Return the declared metrics of a project by scorer's name and leaf, in that order."""
    query = DocumentQuery(entity, project, limit=MAX_METRICS)
    found = {_key(each): each for each in store.read_documents(Metric, query)}
    return dict(sorted(found.items()))


def declare_metrics(
    store: Store,
    entity: str,
    project: str,
    bodies: Sequence[Mapping[str, Any]],
    caller: ApiKey,
    *,
    dry_run: bool = False,
) -> list[Metric]:
    """Declare metrics, each in place of what was declared before, and return them.

    `bodies` are loaded MetricBody. A metric that is declared as it already is stays unchanged. With
    `dry_run`, nothing is stored. Returns when every process enforces what is declared. Raises
    InvalidParameter if the project would have more than MAX_METRICS.
    """
    sent = [_declared(entity, project, body, caller) for body in bodies]
    known = read_metrics(store, entity, project)
    if len(known.keys() | set(map(_key, sent))) > MAX_METRICS:
        message = f"a project may declare at most {MAX_METRICS:,} metrics"
        raise InvalidParameter("metrics", None, message, place="body")
    declared = [_unless_same(known.get(_key(each)), each) for each in sent]
    changed = [each for each in declared if each is not known.get(_key(each))]
    if changed and not dry_run:
        with audited("metric.declare", caller, *map(_target, changed)):
            store.upsert_documents(changed, _replace)
        _wait_for_others([*changed, *(known[key] for key in map(_key, changed) if key in known)])
    return declared


def remove_metric(
    store: Store, entity: str, project: str, scorer: str, leaf: str, caller: ApiKey
) -> None:
    """Remove what is declared of a leaf. Raises NotFound if nothing is.

    Returns when no process enforces it any more.
    """
    name = scorer_name(scorer)
    before = store.find_document(Metric, entity, project, _metric_id(name, leaf))
    target = {"entity": entity, "project": project, "scorer_name": name, "leaf": leaf}
    with audited("metric.remove", caller, target):
        if not store.delete_documents(Metric, entity, project, [_metric_id(name, leaf)]):
            raise NotFound(f"No metric is declared for the leaf '{leaf}' of the scorer '{name}'")
    _wait_for_others([before] if before else [])


def _wait_for_others(metrics: Iterable[Metric]) -> None:
    """Wait until what other processes cache of enforced schemas has expired, if there are any."""
    if any(each.schema_json and each.schema_mode == "enforce" for each in metrics):
        time.sleep(FRESH_SECONDS)


def _declared(entity: str, project: str, body: Mapping[str, Any], caller: ApiKey) -> Metric:
    name, leaf = scorer_name(body["scorer"]), body["leaf"]
    return Metric(
        id=_metric_id(name, leaf),
        entity=entity,
        project=project,
        wb_user_id=caller.owner,
        body_hash=content_hash({**body, "scorer": name}),
        scorer_name=name,
        leaf=leaf,
        direction=body["direction"],
        true_when_json=text_or_none(body["true_when"]),
        unit=body["unit"],
        schema_json=text_or_none(body["schema"]),
        schema_mode=body["schema_mode"],
        is_primary=body["primary"],
        declared_at=datetime.now(UTC),
    )


def _metric_id(name: str, leaf: str) -> str:
    return jsontext.write([name, leaf])


def _key(metric: Metric) -> MetricKey:
    return metric.scorer_name, metric.leaf


def _unless_same(stored: Metric | None, sent: Metric) -> Metric:
    """Return what was sent, but what is stored if it declares the same."""
    return stored if stored and stored.body_hash == sent.body_hash else sent


def _replace(stored: Metric, sent: Metric) -> Metric:
    return _unless_same(stored, replace(sent, sort_id=stored.sort_id))


def _target(metric: Metric) -> dict[str, Any]:
    """Return the fields that describe a declaration in the audit log."""
    return {
        "entity": metric.entity,
        "project": metric.project,
        "scorer_name": metric.scorer_name,
        "leaf": metric.leaf,
        "direction": metric.direction,
        "schema_mode": metric.schema_mode if metric.schema_json else None,
        "primary": metric.is_primary,
    }
