"""Judges: what a scorer, one version of it or an annotator says of predictions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from typing import Any, NamedTuple

from app.analysis.metrics import Declared
from app.analysis.pairs import ComparedMetric
from app.analysis.run_scores import ScoreValues, value_of
from app.analysis.scorers import refuse_unknown_scorer
from app.analysis.summaries import ancestors
from app.errors import InvalidParameter, NotFound
from app.leaves import refuse_unknown_name
from app.scorers import scorer_name
from app.services.lists import ClientCheck
from app.stores.base import ScoreQuery, Store
from app.stores.model import Leaves

MAX_JUDGED = 30_000
"""How many predictions one judge may have judged: the intervals draw samples of them."""

MAX_PATHS = 1_000
"""How many other leaves are noticed, to name similar ones."""

FIELDS = ("prediction_id", "score_id", "evaluation_run_id", "annotator")


class Judgement(NamedTuple):
    """The newest score of a prediction by a judge, of whose values only the leaf is kept."""

    score: ScoreValues
    run_id: str
    """Empty without a run."""
    annotator: str


@dataclass
class Judge:
    """One of two judges; `side` is `first` or `second`, which its parameters are named after."""

    side: str
    scorer: str
    """A name or a reference."""
    annotator: str | None
    leaf: str
    judgements: dict[str, Judgement] = field(default_factory=dict)
    """By prediction."""
    _known: set[str] = field(default_factory=set)
    """The leaves that have values."""
    _nulls: set[str] = field(default_factory=set)

    @property
    def name(self) -> str:
        """How a sentence names the judge: the scorer with its version, and the annotator."""
        version = self.scorer.rpartition(":")[2]
        name = scorer_name(self.scorer)
        name = name if name == self.scorer else f"{name}:{version}"
        return f"{name} ({self.annotator})" if self.annotator else name

    def response(self) -> dict[str, Any]:
        """Return the judge as a JudgeRes."""
        return {
            "scorer": self.scorer,
            "annotator": self.annotator,
            "leaf": self.leaf,
            "judged": len(self.judgements),
        }

    def metric(self, declared: Declared) -> ComparedMetric:
        """Return the leaf with what is declared of it, of the kind that most values have."""
        values = [each.score.values.get(self.leaf) for each in self.judgements.values()]
        kinds = Counter(_kind(value) for value in values if value is not None)
        kind = max(kinds, key=lambda each: kinds[each], default="number")
        numbers = {value for value in values if isinstance(value, float)}
        is_rate = kind == "boolean" or (kind == "number" and numbers <= {0.0, 1.0})
        return declared.describe(scorer_name(self.scorer), self.leaf, kind, is_rate=is_rate)

    @property
    def has_values(self) -> bool:
        """Whether any score has a value at the leaf."""
        return self.leaf in self._known

    def add(self, judgement: Judgement, leaves: Leaves) -> None:
        """Add a score, unless there is a newer one. Raises InvalidParameter."""
        prediction_id = judgement.score.prediction_id
        before = self.judgements.get(prediction_id)
        if before and before.annotator != judgement.annotator:
            both = " and ".join(sorted(map(repr, (before.annotator, judgement.annotator))))
            message = f"the prediction '{prediction_id}' has scores by {both}: name an annotator"
            raise InvalidParameter(f"{self.side}_annotator", None, message)
        if before is None or before.score.score_id < judgement.score.score_id:
            self.judgements[prediction_id] = judgement
        if len(self.judgements) > MAX_JUDGED:
            message = f"over {MAX_JUDGED} predictions were judged: name fewer runs"
            raise InvalidParameter("run", None, message)
        for leaf in leaves:
            paths = self._nulls if leaf["kind"] == "null" else self._known
            if len(paths) < MAX_PATHS or leaf["path"] == self.leaf:
                paths.add(leaf["path"])

    def check_leaf(self, parameter: str) -> None:
        """Raise InvalidParameter if the scores have other leaves, but not this one.

        A null at a part of the value that contains the leaf is a null of it; one of all of it is
        none.
        """
        around = {self.leaf, *ancestors(self.leaf)} - {""}
        if self._known and self.leaf not in self._known and not self._nulls & around:
            refuse_unknown_name(parameter, self.leaf, self._known)


def _kind(value: object) -> str:
    return {bool: "boolean", str: "text"}.get(type(value), "number")


def read_judge(
    store: Store,
    entity: str,
    project: str,
    wanted: Mapping[str, Any],
    side: str,
    check_client: ClientCheck,
) -> Judge:
    """Read what one judge of a loaded AgreementQuery says.

    A name is that of its current scores. A reference is that of one version, whose scores another
    version may have superseded: of these the newest of a prediction and annotator counts. Raises
    NotFound for a run without its scores, InvalidParameter for what is not there and where it is
    not clear which score is meant, and whatever `check_client` raises.
    """
    scorer, annotator = wanted[side], wanted[f"{side}_annotator"]
    leaf = wanted["leaf"]
    parameter = "leaf"
    if side == "second" and wanted["second_leaf"] is not None:
        leaf, parameter = wanted["second_leaf"], "second_leaf"
    judge = Judge(side, scorer, annotator, leaf)
    is_name = scorer_name(scorer) == scorer
    query = ScoreQuery(
        entity,
        project,
        scorer=None if is_name else scorer,
        scorer_name=scorer if is_name else None,
        only_current=is_name,
    )
    annotators = set[str]()
    for run_id in wanted["run"] or [None]:
        seen = _read_run(store, replace(query, evaluation_run_id=run_id), judge, check_client)
        if not seen:
            refuse_unknown_scorer(store, entity, project, side, scorer)
            raise NotFound(f"Evaluation run {run_id} has no scores by {scorer}")
        annotators |= seen
    if not judge.judgements:
        _refuse_annotator(judge, sorted(annotators))
    judge.check_leaf(parameter)
    return judge


def _read_run(store: Store, query: ScoreQuery, judge: Judge, check_client: ClientCheck) -> set[str]:
    """Read the scores of a query, oldest first, and return all their annotators."""
    annotators = set[str]()
    for keys, page, _ in store.read_leaves(store.as_of_now(query), FIELDS):
        check_client()
        for key, leaves in zip(keys, page, strict=True):
            prediction_id, score_id, run_id, annotator = (part or "" for part in key)
            annotators.add(annotator)
            if judge.annotator in (None, annotator):
                values = {
                    each["path"]: value_of(each) for each in leaves if each["path"] == judge.leaf
                }
                score = ScoreValues(score_id, prediction_id, values)
                judge.add(Judgement(score, run_id, annotator), leaves)
    return annotators


def _refuse_annotator(judge: Judge, annotators: Sequence[str]) -> None:
    """Raise InvalidParameter for an annotator who has judged nothing."""
    given = judge.annotator or ""
    shown = get_close_matches(given, annotators, cutoff=0.5) or annotators[:3]
    hint = " and ".join(map(repr, shown))
    message = f"no score by {judge.scorer} is by the annotator '{given}'; there is {hint}"
    raise InvalidParameter(f"{judge.side}_annotator", judge.annotator, message)
