"""Find the run that is meant by an id, a name, `latest:KEY=VALUE`, `approved` or `id:ID`."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches

from app.errors import InvalidParameter, NotFound, RunReplaced
from app.services.lists import ClientCheck, no_client_check
from app.services.runs import (
    MAX_EXAMINED,
    Run,
    find_run,
    has_attributes,
    is_approved,
    newest_approval,
    read_newest_runs,
)
from app.stores.base import DocumentQuery, Store
from app.stores.model import EvaluationRun

APPROVED = "approved"
LATEST = "latest:"
BY_ID = "id:"

MAX_ATTRIBUTES = 20
"""How many attributes `latest:` may name."""

MAX_SHOWN = 10
"""How many runs with the same name an error lists."""

NEAR = 100
"""Among how many of the newest runs a similar id or name is looked for."""

MAX_NEAR_CHARACTERS = 200
"""The longest id or name that is compared with others."""


def check_same(store: Store, entity: str, project: str, run: Run) -> None:
    """Raise RunReplaced if a run has been deleted or replaced since it was found."""
    now = find_run(store, entity, project, run.run_id)
    if now is None or now.first_id != run.first_id:
        shown = run.run_id[:MAX_NEAR_CHARACTERS]
        raise RunReplaced(f"The evaluation run {shown} was replaced while it was read, try again")


@dataclass(frozen=True)
class RunFinder:
    """Finds runs of one project for the parameters of a request."""

    store: Store
    entity: str
    project: str
    check_client: ClientCheck = no_client_check
    place: str = "query"
    """The part of the request that its errors name."""
    found: list[Run] = field(default_factory=list)
    """The runs that were found."""

    def find(self, parameter: str, given: str, besides: Collection[str] = ()) -> Run:
        """Return the run that a parameter means; `latest:` never means one of `besides`.

        Words come before ids, and ids before names. Raises NotFound if there is no such run,
        InvalidParameter if it is not clear which one is meant, and whatever `check_client` raises.
        """
        run = self._find(parameter, given, besides)
        self.found.append(run)
        return run

    def check_unchanged(self) -> None:
        """Raise RunReplaced if a run that was found has been deleted or replaced since.

        What was read of it meanwhile is a part of one run, or parts of two.
        """
        for run in self.found:
            check_same(self.store, self.entity, self.project, run)

    def _find(self, parameter: str, given: str, besides: Collection[str]) -> Run:
        if given == APPROVED:
            return self._find_approved()
        if given.startswith(LATEST):
            return self._find_latest(parameter, given, besides)
        run_id = given.removeprefix(BY_ID)
        run = find_run(self.store, self.entity, self.project, run_id)
        if run is None and given.startswith(BY_ID):
            raise NotFound(f"No evaluation run has the id '{run_id}'")
        return run or self._find_named(parameter, given)

    def find_all(self, parameter: str, given: Sequence[str]) -> list[str]:
        """Return the ids of the different runs that a parameter means. Raises what `find` does."""
        return list(dict.fromkeys(self.find(parameter, each).run_id for each in given))

    def _find_approved(self) -> Run:
        approval = newest_approval(self.store, self.entity, self.project)
        if approval is None:
            raise NotFound("No evaluation run of this project is approved")
        run_id = approval.evaluation_run_id
        run = find_run(self.store, self.entity, self.project, run_id)
        if run is None or not is_approved(approval, run):
            raise NotFound(
                f"The evaluation run that was approved last, {run_id}, was deleted since: "
                "approve another one"
            )
        return run

    def _find_latest(self, parameter: str, given: str, besides: Collection[str]) -> Run:
        attributes = given.removeprefix(LATEST).split(",")
        if not all(attributes) or len(attributes) > MAX_ATTRIBUTES:
            message = f"write latest:KEY=VALUE, with up to {MAX_ATTRIBUTES} attributes and commas"
            raise self._refused(parameter, given, message)
        query = DocumentQuery(self.entity, self.project, limit=MAX_EXAMINED + 1, newest_first=True)
        for number, run in enumerate(self.store.read_documents(EvaluationRun, query)):
            if number == MAX_EXAMINED:
                message = f"no match among the newest {MAX_EXAMINED:,} runs: give the id of a run"
                raise self._refused(parameter, given, message)
            self.check_client()
            is_finished = run.status == "completed" and run.archived_at is None
            if is_finished and run.id not in besides and has_attributes(run, attributes):
                return Run(run.id, run.sort_id, run)
        but = f" besides {' and '.join(sorted(besides))}" if besides else ""
        raise NotFound(
            f"No completed evaluation run that is not archived has {' and '.join(attributes)}{but}"
        )

    def _find_named(self, parameter: str, given: str) -> Run:
        query = DocumentQuery(
            self.entity,
            self.project,
            filters={"name": [given]},
            limit=MAX_EXAMINED,
            newest_first=True,
        )
        named, archived = list[EvaluationRun](), list[EvaluationRun]()
        for run in self.store.read_documents(EvaluationRun, query):
            (named if run.archived_at is None else archived).append(run)
            if len(named) > MAX_SHOWN:
                break
        if archived and not named:
            message = f"The evaluation run with the name '{given}' is archived: give its id"
            raise NotFound(f"{message}, {archived[0].id}")
        if not named:
            raise NotFound(f"No evaluation run has the id or the name '{given}'{self._near(given)}")
        if len(named) > 1:
            shown = " and ".join(run.id for run in named[:MAX_SHOWN])
            more = ", and others" if len(named) > MAX_SHOWN else ""
            message = f"several runs have this name; give the id of one: {shown}{more}"
            raise self._refused(parameter, given, message)
        return Run(named[0].id, named[0].sort_id, named[0])

    def _near(self, given: str) -> str:
        """Return similar ids and names of recent runs, as the end of a message."""
        runs = read_newest_runs(self.store, self.entity, self.project, None, NEAR)
        names = {
            name
            for run in runs
            for name in (run.run_id, run.document and run.document.name)
            if name and len(name) <= MAX_NEAR_CHARACTERS
        }
        near = len(given) <= MAX_NEAR_CHARACTERS and get_close_matches(given, sorted(names))
        return f"; there is {' and '.join(map(repr, near))}" if near else ""

    def _refused(self, parameter: str, given: str, message: str) -> InvalidParameter:
        return InvalidParameter(parameter, given, message, place=self.place)
