"""What a run lacks: predictions without a score by a scorer, and examples of another run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from app.errors import InvalidParameter
from app.scorers import scorer_name
from app.services.lists import PAGE, ClientCheck, Page
from app.services.run_predictions import RunPrediction, list_run_predictions, read_listed
from app.services.runs import check_run
from app.stores.base import DocumentQuery, Store
from app.stores.listing import ListedPrediction
from app.stores.model import Prediction

SCANNED = 20_000
"""About how many predictions are looked at for one page; the next page continues behind them."""

MAX_PREDICTIONS = 200_000
"""How many stored predictions a run may have whose examples are compared."""

EXAMPLE = "example"
SCORER = "scorer:"


def find_predictions(
    store: Store, entity: str, project: str, wanted: Mapping[str, Any], check_client: ClientCheck
) -> Page[RunPrediction]:
    """Return a page of the predictions of a run, or with `missing` of what the run lacks.

    `wanted` is a loaded RunPredictionListQuery. A page of what is missing may have fewer than its
    limit although more follow. Raises NotFound for a run that does not exist, InvalidParameter for
    one that is too large, and whatever `check_client` raises.
    """
    missing, run_id = wanted["missing"], wanted["run"]
    if missing is None:
        return list_run_predictions(store, entity, project, wanted)
    check_run(store, entity, project, run_id)
    gaps = _Gaps(store, entity, project, check_client)
    if missing == EXAMPLE:
        other = wanted["of"]
        check_run(store, entity, project, other)
        page = gaps.examples(run_id, other, wanted["after"], wanted["limit"])
        return Page(read_listed(store, entity, project, other, page.items), page.next_after)
    name = scorer_name(missing.removeprefix(SCORER))
    page = gaps.unscored(run_id, name, wanted["after"], wanted["limit"])
    return Page(read_listed(store, entity, project, run_id, page.items), page.next_after)


@dataclass(frozen=True)
class _Gaps:
    """Looks for what the runs of a project lack, newest first."""

    store: Store
    entity: str
    project: str
    check_client: ClientCheck

    def unscored(
        self, run_id: str, name: str, after: str | None, limit: int
    ) -> Page[ListedPrediction]:
        """Return predictions of a run without a score by the scorer of this name."""
        found: list[ListedPrediction] = []
        place = (self.entity, self.project, run_id)
        for _ in range(0, SCANNED, PAGE):
            self.check_client()
            page = self.store.list_run_predictions(*place, after, PAGE)
            names = [each.prediction_id for each in page]
            judged = self.store.find_judged(*place, name, names)
            for each in page:
                if each.prediction_id not in judged:
                    found.append(each)
                if len(found) == limit:
                    return Page(iter(found), each.first_id)
            if len(page) < PAGE:
                return Page(iter(found), None)
            after = page[-1].first_id
        return Page(iter(found), after)

    def examples(
        self, run_id: str, other: str, after: str | None, limit: int
    ) -> Page[ListedPrediction]:
        """Return the first prediction in another run of each example that a run lacks."""
        known = {example for *_, example in self._examples(run_id)}
        lacking = dict[str, ListedPrediction]()
        for sort_id, prediction_id, example in self._examples(other):
            if example not in known:
                first = ListedPrediction(prediction_id, sort_id, is_stored=True)
                lacking.setdefault(example, first)
        left = [
            each for each in reversed(lacking.values()) if after is None or each.first_id < after
        ]
        more = len(left) > limit
        return Page(iter(left[:limit]), left[limit - 1].first_id if more else None)

    def _examples(self, run_id: str) -> Iterator[tuple[str, str, str]]:
        """Yield `sort_id`, id and example of each prediction that is of one, oldest first."""
        query = DocumentQuery(self.entity, self.project, filters={"evaluation_run_id": [run_id]})
        num_read = 0
        for page in self.store.read_fields(Prediction, query, ["id", "example_key"]):
            self.check_client()
            num_read += len(page)
            if num_read > MAX_PREDICTIONS:
                message = f"{run_id!r} has over {MAX_PREDICTIONS} predictions to compare"
                raise InvalidParameter("missing", EXAMPLE, message)
            yield from (row for row in page if row[2] is not None)
