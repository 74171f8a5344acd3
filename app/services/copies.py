"""Copies: every score and API key of one store into another, resumable, compared at the end."""

from __future__ import annotations

import hashlib
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, fields
from itertools import islice

from app import jsontext
from app.errors import Conflict, StoreUnavailable, TooLarge
from app.stores.base import ApiKey, Kept, Outcome, Score, Store

PAGE = 5_000
PAGE_CHARACTERS = 4 << 20
"""A page that is read holds no more scores than PAGE, and values of little more than this.

There are servers that look through all that they have for each.
"""

PART = 500
"""How many scores are put into the target at a time."""

ROUNDS = 3
"""How often what the comparison finds missing is copied: a score may become durable while others
with higher ids are copied already."""

PATIENCE_SECONDS = 90.0
"""How long a page is tried. A MongoDB server ends the transaction of a copy that was killed, and so
lets go of its scores, after a minute (transactionLifetimeLimitSeconds)."""

CHANGING = {"key_id", "created_at", "revoked_at", "last_used_at"}
"""What of an API key may differ between a store and its copy."""

Note = Callable[[int], None]
"""What is told of so many more scores being copied, and again of their being compared."""


class Contents:
    """The number of scores on one side, and the SHA-256 of all of them in order of their ids."""

    def __init__(self) -> None:
        self.scores = 0
        self._hash = hashlib.sha256()

    @property
    def digest(self) -> str:
        """The SHA-256 so far, in hexadecimal digits."""
        return self._hash.hexdigest()

    def add(self, score: Score) -> None:
        """Count one more score."""
        self.scores += 1
        self._hash.update(canonical(score).encode())


@dataclass
class StoreDifference:
    """The scores of source and target up to the id `horizon`, and those that only one side has."""

    horizon: str
    source: Contents = field(default_factory=Contents)
    target: Contents = field(default_factory=Contents)
    missing: list[str] = field(default_factory=list)
    extra: list[tuple[str, str, str]] = field(default_factory=list)
    """Entity, project and id of the scores that only the target has."""

    @property
    def equal(self) -> bool:
        """Whether both sides hold the same scores."""
        return (self.source.scores, self.source.digest) == (self.target.scores, self.target.digest)


@dataclass
class Copied:
    """What a copy did: how many scores and keys it added, how many scores it deleted."""

    difference: StoreDifference
    scores: int = 0
    keys: int = 0
    deleted: int = 0
    came_since: int = 0
    """About how many scores the source got meanwhile; the next copy has them."""


def canonical(score: Score) -> str:
    """One score as one line of JSON, the same whichever store it was read from."""
    values = {each.name: getattr(score, each.name) for each in fields(score)}
    values["created_at"] = score.created_at.isoformat()
    return jsontext.write(values) + "\n"


def copy_store(source: Store, target: Store, *, delete_extra: bool, note: Note) -> Copied:
    """Copy what `target` lacks of `source`, then compare the two whole.

    It goes as far as the newest score of the moment when it began, so that it ends also while the
    source is written. Nothing is ever overwritten: the ids are the same on both sides, so that a
    copy that was broken off is simply made again. With `delete_extra`, scores that only the target
    has are deleted there. Raises Conflict when a score or key of the target differs from the
    source's, and TooLarge, both naming it.
    """
    difference = StoreDifference(source.extent().newest_id or "")
    copied = Copied(difference, keys=_copy_keys(source, target))
    for part in _parts(source, copied.difference.horizon):
        copied.scores += _put(target, part)
        note(len(part))
    for _ in range(ROUNDS):
        copied.difference = found = compare_stores(source, target, copied.difference.horizon, note)
        if not found.missing and not (delete_extra and found.extra):
            break
        _mend(source, target, copied, delete_extra=delete_extra)
    copied.came_since = max(0, source.extent().scores - copied.difference.source.scores)
    return copied


def _mend(source: Store, target: Store, copied: Copied, *, delete_extra: bool) -> None:
    missing = iter(copied.difference.missing)
    while score_ids := list(islice(missing, PART)):
        copied.scores += _put(target, list(source.read_scores(score_ids)))
    if delete_extra:
        copied.deleted += _delete(source, target, copied.difference.extra)


def compare_stores(source: Store, target: Store, horizon: str, note: Note) -> StoreDifference:
    """Read both stores side by side, up to the id `horizon`. Raises Conflict, naming a score."""
    found = StoreDifference(horizon)
    for ours, theirs in _pairs(_scores(source, horizon, note), _scores(target, horizon)):
        if ours:
            found.source.add(ours)
        if theirs:
            found.target.add(theirs)
        if ours and theirs:
            _check_same(ours, theirs)
        elif ours:
            found.missing.append(ours.score_id)
        elif theirs:
            found.extra.append((theirs.entity, theirs.project, theirs.score_id))
    return found


def _pairs(
    left: Iterator[Score], right: Iterator[Score]
) -> Iterator[tuple[Score | None, Score | None]]:
    """Scores of both sides by their ids; None stands where one side has none."""
    ours, theirs = next(left, None), next(right, None)
    while ours or theirs:
        first = min(score.score_id for score in (ours, theirs) if score)
        pair = (
            ours if ours and ours.score_id == first else None,
            theirs if theirs and theirs.score_id == first else None,
        )
        yield pair
        ours = next(left, None) if pair[0] else ours
        theirs = next(right, None) if pair[1] else theirs


def _parts(store: Store, horizon: str) -> Iterator[list[Score]]:
    after = ""
    while page := [each for each in _page(store, after) if each.score_id <= horizon]:
        after = page[-1].score_id
        for first in range(0, len(page), PART):
            yield page[first : first + PART]


def _page(store: Store, after: str) -> list[Score]:
    page: list[Score] = []
    characters = 0
    for score in store.scan_scores(after, PAGE):
        page.append(score)
        characters += len(score.value_json)
        if characters > PAGE_CHARACTERS:
            break
    return page


def _scores(store: Store, horizon: str, note: Note = lambda _: None) -> Iterator[Score]:
    for part in _parts(store, horizon):
        yield from part
        note(len(part))


def _put(target: Store, page: list[Score]) -> int:
    """Add what `target` lacks of a page; return how many scores that were."""
    outcomes = _add_missing(target, page)
    for score, outcome in zip(page, outcomes, strict=True):
        if outcome.kept is Kept.TOO_LARGE:
            raise TooLarge(f"score {score.score_id}: the target cannot keep a score so large")
        if outcome.kept is Kept.KEY_TAKEN:
            raise Conflict(
                f"score {score.score_id} of {score.entity}/{score.project} does not fit in: "
                "another score of the target has its idempotency key"
            )
        if outcome.kept is Kept.ID_TAKEN:
            raise _is_another(score)
    return sum(outcome.kept is Kept.CREATED for outcome in outcomes)


def _add_missing(target: Store, page: list[Score]) -> list[Outcome]:
    """Add what `target` lacks of a page, again and again for PATIENCE_SECONDS.

    Raises StoreUnavailable.
    """
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            return target.add_missing(page, partial=True)
        except StoreUnavailable:
            if time.monotonic() > deadline:
                raise


def _check_same(ours: Score, theirs: Score) -> None:
    if canonical(ours) != canonical(theirs):
        raise _is_another(ours)


def _is_another(score: Score) -> Conflict:
    return Conflict(
        f"score {score.score_id} of {score.entity}/{score.project} is another in the target; "
        "nothing of it was changed"
    )


def _delete(source: Store, target: Store, extra: list[tuple[str, str, str]]) -> int:
    """Delete from `target` what `source` really has not."""
    deleted = 0
    remaining = iter(extra)
    while some := list(islice(remaining, PART)):
        kept = {score.score_id for score in source.read_scores([each[2] for each in some])}
        by_project = defaultdict(list)
        for entity, project, score_id in some:
            if score_id not in kept:
                by_project[entity, project].append(score_id)
        for (entity, project), score_ids in by_project.items():
            deleted += target.delete_scores(entity, project, score_ids)
    return deleted


def _copy_keys(source: Store, target: Store) -> int:
    """Keep what `target` lacks of the API keys, and revoke there what is revoked in `source`."""
    there = {key.key_id: key for key in target.list_keys()}
    added = 0
    for key in source.list_keys():
        # The same key may have two ids: two first starts took over one file.
        found = there.get(key.key_id) or target.find_key(key.key_hash)
        if found is None:
            target.add_key(key)
            added += 1
        elif _lasting(found) != _lasting(key):
            raise Conflict(f"API key {key.key_id} is another in the target; nothing was changed")
        elif key.revoked_at and not found.revoked_at:
            target.revoke_key(found.key_id, key.revoked_at)
    return added


def _lasting(key: ApiKey) -> dict[str, object]:
    return {each.name: getattr(key, each.name) for each in fields(key) if each.name not in CHANGING}
