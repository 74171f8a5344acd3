"""Lists of runs, predictions, scorers and projects: one contract for every engine."""

from __future__ import annotations

from itertools import count
from typing import Any

import pymongo.monitoring
import pytest
from pymongo import MongoClient
from uuid_utils import uuid7

from app.ids import id_time
from app.stores.base import Store
from app.stores.listing import ListedPrediction, Named, ProjectCounts, RunCounts
from app.stores.model import Score
from app.stores.mongo import listing
from app.stores.mongo.listing import BY_PROJECT
from app.stores.mongo.store import MongoStore
from app.stores.sqlite.store import SqliteStore
from tests.stores.test_contract import a_score
from tests.stores.test_documents import a_prediction, a_run, add
from tests.stores.test_mongo import repeats_condition

PLACE = ("acme", "demo")
_numbers = count(1)


def new_id() -> str:
    """Return an id that is higher than all before it."""
    return f"018cc251-f400-7000-8000-{next(_numbers):012x}"


def score(run: str | None, prediction: str = "p", scorer: str = "s", **changes: Any) -> Score:
    score_id = changes.pop("score_id", None) or new_id()
    return a_score(
        score_id=score_id,
        created_at=id_time(score_id),
        evaluation_run_id=run,
        prediction_id=prediction,
        scorer=scorer,
        scorer_name=changes.pop("scorer_name", scorer),
        **changes,
    )


def add_scores(store: Store, *scores: Score) -> list[str]:
    outcomes = store.add_missing(scores, partial=False)
    return [outcome.id for outcome in outcomes]


def named(store: Store, before: str | None = None, limit: int = 100) -> list[str]:
    return [each.name for each in store.list_named_runs(*PLACE, before, limit)]


@pytest.fixture(params=["group", "distinct"])
def any_topology(
    request: pytest.FixtureRequest, store: Store, monkeypatch: pytest.MonkeyPatch
) -> Store:
    """Return a store of each engine; one of MongoDB also as behind mongos."""
    if isinstance(store, MongoStore):
        is_mongos = request.param == "distinct"
        monkeypatch.setattr(listing, "_is_mongos", lambda _client: is_mongos)
    elif request.param == "distinct":
        pytest.skip("SQLite has no topology")
    return store


def test_names_with_nul_characters_are_listed(store: Store) -> None:
    run_ids = ["a\0", "a\0b", "\0"]
    add_scores(store, *(score(run_id, scorer=run_id) for run_id in run_ids))
    add_scores(store, score("r", project="\0"), score("r", project="demo\0x"))
    assert named(store) == run_ids[::-1]
    assert {each.name for each in store.list_scorers(*PLACE)} == set(run_ids)
    assert {each.name for each in store.list_projects("acme")} == {"demo", "demo\0x", "\0"}


def test_runs_that_only_others_name_are_listed_newest_first(any_topology: Store) -> None:
    store = any_topology
    add_scores(store, score("a/1"), score(None), score(""), score("b", "p", "t"))
    first = new_id()
    add(store, a_prediction(sort_id=first, evaluation_run_id="c"), a_prediction())
    add(store, a_run(id="stored"))
    add(store, a_prediction(evaluation_run_id="stored"))
    add_scores(store, score("stored"), score("c"), score("a/1"), score("x", project="other"))
    assert named(store) == ["c", "b", "a/1"]
    assert store.list_named_runs(*PLACE, None, 1) == [Named("c", first)]
    assert named(store, before=first) == ["b", "a/1"]
    assert named(store, before=first, limit=1) == ["b"]
    assert store.list_named_runs("acme", "nothing", None, 10) == []


def test_a_run_that_is_named_first_by_its_oldest_score_or_prediction(store: Store) -> None:
    ids = [new_id() for _ in range(4)]
    add_scores(store, score("r", score_id=ids[2]), score("r", score_id=ids[3]))
    assert store.find_named_run(*PLACE, "r") == Named("r", ids[2])
    add(store, a_prediction(sort_id=ids[1], evaluation_run_id="r"))
    assert store.find_named_run(*PLACE, "r") == Named("r", ids[1])
    add_scores(store, score("r", score_id=ids[0]))
    add(store, a_run(id="r"))
    assert store.find_named_run(*PLACE, "r") == Named("r", ids[0])
    assert store.find_named_run(*PLACE, "s") is None
    assert store.find_named_run("acme", "other", "r") is None


def test_a_run_is_counted_by_slot(store: Store) -> None:
    add(store, a_run(id="r"))
    add(store, a_prediction(id="stored", evaluation_run_id="r"))
    add(store, a_prediction(id="elsewhere", evaluation_run_id="q"))
    add_scores(
        store,
        score("r", "stored", "a:v1", scorer_name="a"),
        score("r", "stored", "a:v2", scorer_name="a"),
        score("r", "stored", "a:v2", scorer_name="a", annotator="olga"),
        score("r", "stored", "a:v2", scorer_name="a", annotator=""),
        score("r", "named", "b"),
        score("r", "elsewhere", "b"),
        score("q", "other", "b"),
        score(None, "other", "b"),
    )
    assert store.count_run(*PLACE, "r") == RunCounts(3, {"a": 2, "b": 2}, superseded=2)
    assert store.count_run(*PLACE, "q") == RunCounts(2, {"b": 1}, superseded=0)
    assert store.count_run(*PLACE, "nobody") == RunCounts(0, {}, superseded=0)


@pytest.mark.parametrize("size", [2, 1_000])
def test_predictions_of_a_run_are_listed_newest_first(
    store: Store, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    monkeypatch.setattr(listing, "PAGE", size)
    ids = [new_id() for _ in range(9)]
    wanted = [
        ListedPrediction("n2", ids[6], is_stored=False),
        ListedPrediction("s2", ids[4], is_stored=True),
        ListedPrediction("n1", ids[3], is_stored=False),
        ListedPrediction("elsewhere", ids[2], is_stored=False),
        ListedPrediction("s1", ids[0], is_stored=True),
    ]
    add(store, a_prediction(id="s1", sort_id=ids[0], evaluation_run_id="r"))
    add(store, a_prediction(id="elsewhere", sort_id=ids[1], evaluation_run_id="q"))
    add(store, a_prediction(id="s2", sort_id=ids[4], evaluation_run_id="r"))
    add_scores(
        store,
        score("r", "elsewhere", score_id=ids[2]),
        score("r", "n1", score_id=ids[3]),
        score("r", "n1", "t", score_id=ids[5]),
        score("r", "n2", score_id=ids[6]),
        score("r", "s1", score_id=ids[7]),
        score("q", "n2", score_id=ids[8]),
    )
    for limit in range(1, 7):
        assert store.list_run_predictions(*PLACE, "r", None, limit) == wanted[:limit]
        for place, each in enumerate(wanted[:-1], 1):
            rest = store.list_run_predictions(*PLACE, "r", each.first_id, limit)
            assert rest == wanted[place : place + limit]
    assert store.list_run_predictions(*PLACE, "nobody", None, 5) == []


def test_current_scores_are_found_by_prediction(store: Store) -> None:
    ids = add_scores(
        store,
        score("r", "p", "b:v1", scorer_name="b"),
        score("r", "p", "b:v2", scorer_name="b"),
        score("r", "p", "a"),
        score("r", "p", "a", annotator="olga"),
        score("r", "q", "a"),
        score("r", "other", "a"),
        score("s", "p", "a"),
    )
    found = store.list_current_scores(*PLACE, "r", ["p", "q", "nothing"])
    assert found == {"p": [ids[2], ids[3], ids[1]], "q": [ids[4]]}


def test_all_scores_of_predictions_are_listed(store: Store) -> None:
    ids = add_scores(
        store,
        score("r", "p", "a"),
        score("s", "q", "a"),
        score(None, "p", "b", annotator="olga"),
        score("r", "p", "a"),
        score("r", "other", "a"),
        score("r", "p", "a", project="other"),
    )
    assert store.list_scores_of(*PLACE, ["q", "p", "nothing"]) == ids[:4]
    assert store.list_scores_of(*PLACE, []) == []
    store.begin_deletions(*PLACE, ["r"], "k")
    assert store.list_scores_of(*PLACE, ["q", "p"]) == ids[1:3]


def test_predictions_that_a_scorer_judged_in_a_run_are_found(store: Store) -> None:
    add_scores(
        store,
        score("r", "p", "b:v1", scorer_name="b"),
        score("r", "p", "b:v2", scorer_name="b", annotator="olga"),
        score("r", "q", "a"),
        score("r", "other", "b"),
        score("s", "q", "b"),
        score("r", "q", "b", project="other"),
    )
    asked = ["p", "q", "nothing"]
    assert store.find_judged(*PLACE, "r", "b", asked) == {"p"}
    assert store.find_judged(*PLACE, "r", "a", asked) == {"q"}
    assert store.find_judged(*PLACE, "r", "b:v1", asked) == set()
    assert store.find_judged(*PLACE, "r", "b", []) == set()


def test_projects_are_found_with_their_first_ids(any_topology: Store) -> None:
    store = any_topology
    first, second, third = new_id(), new_id(), new_id()
    add(store, a_run(sort_id=first, project="runs"), a_run(sort_id=second, project="all"))
    add(store, a_prediction(sort_id=third, project="all"), a_prediction(entity="é/1"))
    add_scores(store, score("r", project="scores"), score("r", project="scores"))
    assert store.list_entities() == ["acme", "é/1"]
    found = {each.name: each.first_id for each in store.list_projects("acme")}
    assert found.keys() == {"runs", "all", "scores"}
    assert (found["runs"], found["all"]) == (first, second)
    assert [each.name for each in store.list_projects("é/1")] == ["demo"]
    assert store.list_projects("nobody") == []


def test_a_project_is_counted(store: Store) -> None:
    add(store, a_run(id="a"), a_run(id="b"), a_run(project="other"))
    add(store, a_prediction(evaluation_run_id="c"), a_prediction(evaluation_run_id="a"))
    add_scores(store, score("a"), score("d"), score("d"), score(None))
    assert store.count_project(*PLACE) == ProjectCounts(runs=4, predictions=2, scores=4)
    assert store.count_project("acme", "nothing") == ProjectCounts(0, 0, 0)


def test_scorers_are_found_with_their_first_ids(any_topology: Store) -> None:
    store = any_topology
    ids = add_scores(store, score("r", "p", "a"), score("r", "q", "a"), score(None, "p", "b"))
    (unnamed,) = add_scores(store, score("r", "p", ""))
    add_scores(store, score("r", "p", "c", project="other"))
    found = {each.name: each.first_id for each in store.list_scorers(*PLACE)}
    assert found == {"a": ids[0], "b": ids[2], "": unnamed}


def test_what_is_being_deleted_is_not_listed(any_topology: Store) -> None:
    store = any_topology
    add(store, a_run(id="r", sort_id=new_id()), a_run(id="t", sort_id=new_id(), project="gone"))
    add(store, a_prediction(id="p", sort_id=new_id(), evaluation_run_id="r"))
    add_scores(store, score("r", "p", "a"), score("r", "q", "a"), score("s", "p", "b"))
    store.begin_deletions(*PLACE, ["r"], "key")
    store.begin_deletions("acme", "gone", ["t"], "key")
    assert named(store) == ["s"]
    assert store.find_named_run(*PLACE, "r") is None
    assert store.count_run(*PLACE, "r") == RunCounts(0, {}, superseded=0)
    assert store.list_run_predictions(*PLACE, "r", None, 9) == []
    assert store.list_current_scores(*PLACE, "r", ["p", "q"]) == {}
    assert [each.name for each in store.list_projects("acme")] == ["demo"]
    assert store.count_project(*PLACE) == ProjectCounts(runs=1, predictions=0, scores=1)
    assert [each.name for each in store.list_scorers(*PLACE)] == ["b"]
    (later,) = add_scores(store, score("r", "p", "a", score_id=str(uuid7())))
    assert store.list_named_runs(*PLACE, None, 1) == [Named("r", later)]
    assert store.count_run(*PLACE, "r") == RunCounts(1, {"a": 1}, superseded=0)
    (found,) = store.list_run_predictions(*PLACE, "r", None, 9)
    assert (found.first_id, found.is_stored) == (later, False)
    assert store.list_current_scores(*PLACE, "r", ["p"]) == {"p": [later]}


def fill(store: Store) -> None:
    add(store, *[a_run(id=str(number)) for number in range(10)])
    add(store, *[a_prediction(id=str(n), evaluation_run_id=str(n % 9)) for n in range(50)])
    add_scores(store, *[score(str(number % 12), str(number)) for number in range(100)])


def use(store: Store) -> None:
    """Call every method that lists."""
    for before in (None, "f"):
        store.list_named_runs(*PLACE, before, 2)
        store.list_run_predictions(*PLACE, "1", before, 2)
    store.find_named_run(*PLACE, "11")
    store.count_run(*PLACE, "1")
    store.list_current_scores(*PLACE, "1", ["1", "10"])
    store.find_judged(*PLACE, "1", "s", ["1", "10"])
    store.list_scores_of(*PLACE, ["1", "10"])
    store.list_entities()
    store.list_projects("acme")
    store.count_project(*PLACE)
    store.list_scorers(*PLACE)


def test_every_statement_uses_an_index(tmp_path: Any) -> None:
    opened = SqliteStore(tmp_path / "s.db")
    opened.prepare()
    fill(opened)
    statements: list[str] = []
    opened._db().reader().set_trace_callback(statements.append)
    use(opened)
    listed = [each for each in statements if "FROM deletions" not in each]
    assert len(listed) > 12
    for statement in listed:
        plan = [row[3] for row in opened._db().read_all(f"EXPLAIN QUERY PLAN {statement}")]
        tables = ("scores", "predictions", "evaluation_runs", "stored", "earlier")
        read = [step for step in plan if step.startswith(tuple(f"SCAN {name}" for name in tables))]
        allowed = [f"SCAN {name}_steps" for name in tables] + ["SCAN scores"]
        assert set(read) <= set(allowed), (statement, plan)
        assert [step for step in plan if step.startswith("SEARCH")], statement
    opened.close()


class Asked(pymongo.monitoring.CommandListener):
    """The commands of a client that read."""

    def __init__(self) -> None:
        self.commands: list[dict[str, Any]] = []

    def started(self, event: pymongo.monitoring.CommandStartedEvent) -> None:
        """Record a command that reads."""
        if event.command_name in ("find", "aggregate", "distinct"):
            self.commands.append(dict(event.command))

    def succeeded(self, event: pymongo.monitoring.CommandSucceededEvent) -> None:
        """Ignore the response."""

    def failed(self, event: pymongo.monitoring.CommandFailedEvent) -> None:
        """Ignore the response."""


@pytest.mark.parametrize("is_mongos", [False, True])
def test_every_command_on_mongodb_uses_an_index(
    mongodb_uri: str, monkeypatch: pytest.MonkeyPatch, is_mongos: bool
) -> None:
    monkeypatch.setattr(listing, "_is_mongos", lambda _client: is_mongos)
    asked = Asked()
    client: MongoClient[dict[str, Any]]
    client = MongoClient(mongodb_uri, tz_aware=True, event_listeners=[asked])
    database = client.get_default_database()
    store = MongoStore(lambda: database)
    store.prepare()
    fill(store)
    asked.commands.clear()
    use(store)
    others = ("distinct", "deletions")
    finds = [each for each in asked.commands if not {*others} & {*each, each.get("find")}]
    assert len(finds) > 12
    indexes = {name for each in BY_PROJECT for name in database[each].index_information()}
    for command in finds:
        assert command["hint"] in indexes, command
        assert repeats_condition(command), command
    for command in asked.commands:
        if "distinct" in command and command["key"] != "entity":
            assert command["query"]["entity"] == "acme", command
    client.close()
