"""The commands that shard a cluster, against a recorded server: tests/deploy runs them on one."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import mongomock
import pytest
from pymongo.errors import OperationFailure

from app.errors import StoreRefused
from app.stores.checks import OK, WARN
from app.stores.mongo.checks import _sharding
from app.stores.mongo.schema import INDEXES
from app.stores.mongo.sharding import SHARD_KEYS
from app.stores.mongo.store import MongoStore, open_mongo_store
from app.stores.weave import SENT_DOCUMENTS

COMMANDS: list[dict[str, Any]] = [
    {"enableSharding": "scoreline"},
    {
        "shardCollection": "scoreline.scores",
        "key": {"entity": 1, "project": 1, "evaluation_run_id": 1, "prediction_id": 1},
    },
    {"shardCollection": "scoreline.predictions", "key": {"entity": 1, "project": 1, "id": 1}},
    {"shardCollection": "scoreline.evaluation_runs", "key": {"entity": 1, "project": 1, "id": 1}},
    *(
        {
            "shardCollection": f"scoreline.{kind.collection}",
            "key": {"entity": 1, "project": 1, "id": 1},
        }
        for kind in SENT_DOCUMENTS
    ),
    {"shardCollection": "scoreline.metrics", "key": {"entity": 1, "project": 1, "id": 1}},
    {"shardCollection": "scoreline.approvals", "key": {"entity": 1, "project": 1, "id": 1}},
    {
        "shardCollection": "scoreline.unique_keys",
        "key": {"entity": 1, "project": 1, "kind": 1, "key": 1},
    },
    {"shardCollection": "scoreline.parts", "key": {"entity": 1, "project": 1, "id": 1}},
]


class Cluster:
    """A store that takes its server for a mongos, and records the commands for it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.commands: list[dict[str, Any]] = []
        self.client: Any = mongomock.MongoClient(tz_aware=True)
        self.store = MongoStore(lambda: self.client["scoreline"])
        monkeypatch.setattr(
            self.client, "admin", SimpleNamespace(command=self.commands.append), raising=False
        )
        monkeypatch.setattr(
            "app.stores.mongo.sharding.server_description", lambda _: {"msg": "isdbgrid"}
        )

    def is_sharded(self, name: str, *key: str, **fields: Any) -> None:
        """Let the cluster say that a collection is sharded."""
        document = {"_id": f"scoreline.{name}", "key": dict.fromkeys(key, 1), **fields}
        self.client["config"]["collections"].insert_one(document)


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Cluster:
    return Cluster(monkeypatch)


def test_a_new_cluster_is_sharded_once_the_indexes_exist(cluster: Cluster) -> None:
    assert list(cluster.store.shard(dry_run=False)) == cluster.commands == COMMANDS
    assert set(INDEXES) <= set(cluster.client["scoreline"].list_collection_names())


def test_a_dry_run_changes_nothing(cluster: Cluster) -> None:
    assert list(cluster.store.shard(dry_run=True)) == COMMANDS
    assert cluster.commands == []
    assert cluster.client["scoreline"].list_collection_names() == []


def test_what_is_sharded_already_is_left_as_it_is(cluster: Cluster) -> None:
    for name, key in SHARD_KEYS.items():
        cluster.is_sharded(name, *key, dropped=False)
    assert list(cluster.store.shard(dry_run=False)) == cluster.commands == []


def test_a_key_of_entity_and_project_is_refined(cluster: Cluster) -> None:
    cluster.is_sharded("scores", "entity", "project")
    cluster.is_sharded("predictions", "entity", "project", dropped=True)  # And created again.
    cluster.is_sharded("evaluation_runs", "_id", unsplittable=True)  # Not sharded, in MongoDB 8.
    refined = {"refineCollectionShardKey": "scoreline.scores", "key": COMMANDS[1]["key"]}
    assert list(cluster.store.shard(dry_run=False)) == [COMMANDS[0], refined, *COMMANDS[2:]]


def test_a_key_that_cannot_be_refined_is_refused_before_anything_is_changed(
    cluster: Cluster,
) -> None:
    cluster.is_sharded("scores", "entity", "project", "idempotency_key")
    with pytest.raises(StoreRefused, match="sharded by entity, project, idempotency_key"):
        list(cluster.store.shard(dry_run=False))
    assert cluster.commands == []


def test_a_server_that_is_no_mongos_is_refused(mongodb_uri: str) -> None:
    store = open_mongo_store(mongodb_uri)
    if store._client.is_mongos:
        pytest.skip("the tests run on a mongos")
    with pytest.raises(StoreRefused, match="connect to a mongos"):
        list(store.shard(dry_run=True))
    store.close()


@pytest.mark.parametrize("name", SHARD_KEYS)
def test_an_index_begins_with_each_shard_key_and_so_does_every_unique_one(name: str) -> None:
    key = SHARD_KEYS[name]
    begins = [index.fields[: len(key)] == key for index in INDEXES[name]]
    assert any(begins)
    unique = [index for index in INDEXES[name] if index.options.get("unique")]
    assert all(index.fields[: len(key)] == key for index in unique)


def test_the_doctor_says_what_is_sharded_by_what(cluster: Cluster) -> None:
    cluster.is_sharded("scores", *SHARD_KEYS["scores"])
    cluster.is_sharded("predictions", "entity", "project")
    found = {each.check: each for each in _sharding(cluster.client["scoreline"])}
    assert found["sharding of scores"].verdict == OK
    assert found["sharding of scores"].says == (
        "by entity, project, evaluation_run_id, prediction_id"
    )
    for name, says in (
        ("predictions", "by entity, project"),
        ("evaluation_runs", "not sharded: it stays on one shard"),
        ("unique_keys", "not sharded: it stays on one shard"),
    ):
        result = found[f"sharding of {name}"]
        assert (result.verdict, result.says) == (WARN, says)
        assert "scoreline store shard" in result.advice


def test_the_doctor_says_if_the_shard_keys_may_not_be_read(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> None:
        raise OperationFailure("not authorized on config", 13)

    monkeypatch.setattr("app.stores.mongo.checks.shard_keys", refuse)
    (result,) = _sharding(cluster.client["scoreline"])
    assert result.verdict == WARN
    assert "not authorized on config" in result.says
