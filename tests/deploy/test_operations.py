"""The commands in docs/operations.md work, where their programs are installed."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pymongo
import pytest
from click.testing import CliRunner

from app.cli.root import scoreline
from app.stores import open_store
from app.stores.base import Kept, Store
from app.stores.model import UNASSIGNED
from app.stores.mongo.sharding import SHARD_KEYS
from app.stores.mongo.store import open_mongo_store
from tests.cli.test_keys import run
from tests.deploy.cluster import MONGOD, MONGOS, SHARDS, sharded_cluster
from tests.mongodb import with_database
from tests.processes import ADMIN_KEY, ROOT, environment
from tests.stores.test_contract import a_score, all_scores
from tests.stores.test_mongo_migrations import SCORES, stored, write_old

TEXT = (ROOT / "docs" / "operations.md").read_text("utf-8")
COMMANDS = re.findall(r"^db\.adminCommand\((\{.*?\})\)$", TEXT, re.MULTILINE | re.DOTALL)
DATABASE = "scoreline"


def shell_blocks() -> list[str]:
    """Return the lines of the document's shell blocks."""
    blocks = re.findall(r"^```sh\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)
    return [line for block in blocks for line in block.replace("\\\n", " ").splitlines()]


def test_every_scoreline_command_in_the_document_exists() -> None:
    lines = [line.split() for line in shell_blocks() if line.startswith("scoreline ")]
    assert lines
    for words in lines:
        names = [word for word in words[1:3] if re.fullmatch(r"[a-z]+", word)]
        shown = CliRunner().invoke(scoreline, [*names, "--help"])
        assert shown.exit_code == 0, words
        for option in (word for word in words if word.startswith("--")):
            assert option in shown.output, (words, option)


def test_the_commands_in_the_document_are_those_of_store_shard() -> None:
    commands: list[dict[str, Any]] = [{"enableSharding": DATABASE}]
    for name, key in SHARD_KEYS.items():
        commands.append({"shardCollection": f"{DATABASE}.{name}", "key": dict.fromkeys(key, 1)})
    assert [json.loads(command) for command in COMMANDS] == commands
    assert TEXT.count("db.adminCommand(") == len(commands)


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[str]:
    """Return the URI of the database of a sharded cluster, or skip the test."""
    if not (MONGOD and MONGOS):
        pytest.skip("no mongod and mongos on PATH")
    with sharded_cluster(tmp_path) as mongos:
        yield with_database(mongos, DATABASE)


def test_a_sharded_cluster_set_up_as_documented_keeps_its_promises(
    cluster: str, tmp_path: Path
) -> None:
    store = open_store(cluster)
    store.prepare()
    with pymongo.MongoClient[dict[str, Any]](cluster) as client:
        for command in COMMANDS:
            client.admin.command(json.loads(command))
    check_sharded(cluster, store, tmp_path)


def test_store_shard_sets_up_a_cluster(cluster: str, tmp_path: Path) -> None:
    planned = run(tmp_path, "store", "shard", "--dry-run", SCORELINE_STORE=cluster)
    assert planned.stdout.splitlines() == [f"db.adminCommand({each})" for each in COMMANDS]
    done = run(tmp_path, "store", "shard", SCORELINE_STORE=cluster)
    assert (done.returncode, done.stdout) == (0, planned.stdout)
    check_sharded(cluster, open_store(cluster), tmp_path)


def test_store_shard_moves_a_cluster_that_was_sharded_by_entity_and_project(
    cluster: str, tmp_path: Path
) -> None:
    store = open_mongo_store(cluster)
    write_old(store, 4)
    with pymongo.MongoClient[dict[str, Any]](cluster) as client:
        client.admin.command({"enableSharding": DATABASE})
        for name in ("scores", "predictions"):
            key = {"entity": 1, "project": 1}
            client.admin.command({"shardCollection": f"{DATABASE}.{name}", "key": key})
    done = run(tmp_path, "store", "shard", SCORELINE_STORE=cluster)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("refineCollectionShardKey") == 2
    assert [each.score_id for each in stored(store)] == [each.score_id for each in SCORES]
    again = store.add_missing(SCORES, partial=False)
    assert {outcome.kept for outcome in again} == {Kept.PRESENT, Kept.REPLAYED}
    check_sharded(cluster, store, tmp_path)


def check_sharded(uri: str, store: Store, directory: Path) -> None:
    """Split a project over both shards, and check what must be unique in it."""
    with pymongo.MongoClient[dict[str, Any]](uri) as client:
        middle = {"entity": "acme", "project": "large", "evaluation_run_id": "m"}
        middle |= {"prediction_id": ""}
        client.admin.command({"split": f"{DATABASE}.scores", "middle": middle})
        for shard, run_id in zip(SHARDS, ("a", "z"), strict=True):
            find = {**middle, "evaluation_run_id": run_id}
            client.admin.command({"moveChunk": f"{DATABASE}.scores", "find": find, "to": shard})
    place = {"entity": "acme", "project": "large"}
    first = a_score(**place, evaluation_run_id="a", idempotency_key="k")
    other = a_score(**place, evaluation_run_id="z", prediction_id="q")
    assert [each.kept for each in store.add_missing([first, other], partial=False)] == [
        Kept.CREATED,
        Kept.CREATED,
    ]
    for score in (first, other):
        assert store.find_score("acme", "large", score.score_id) == score
    # On the other shard, where no index knows the key or id.
    moved = replace(other, score_id=UNASSIGNED, idempotency_key="k", body_hash="1")
    assert store.add_score(moved).kept is Kept.KEY_TAKEN
    assert store.add_score(replace(first, evaluation_run_id="z")).kept is Kept.ID_TAKEN
    assert store.delete_scores("acme", "large", [first.score_id]) == 1
    assert store.add_score(moved).kept is Kept.CREATED
    found = run(directory, "doctor", SCORELINE_STORE=uri, SCORELINE_ADMIN_KEY=ADMIN_KEY).stdout
    assert "ok    deployment: a sharded cluster" in found
    for name, key in SHARD_KEYS.items():
        assert f"ok    sharding of {name}: by {', '.join(key)}" in found
        assert f"ok    indexes of {name}" in found
    copied = run(directory, "store", "copy", uri, f"sqlite:///{directory}/copy.db")
    assert copied.returncode == 0, copied.stderr
    store.close()


@pytest.mark.skipif(
    not (shutil.which("mongodump") and shutil.which("mongorestore")),
    reason="no mongodump and mongorestore on PATH",
)
def test_a_documented_dump_is_restored(tmp_path: Path, mongodb_uri: str) -> None:
    lines = [line for line in shell_blocks() if line.startswith(("mongodump", "mongorestore"))]
    assert len(lines) == 2
    store = open_store(mongodb_uri)
    store.prepare()
    store.add_missing([a_score() for _ in range(5)], partial=False)
    kept = all_scores(store)
    environ = environment(SCORELINE_STORE=mongodb_uri)
    subprocess.run(["sh", "-ec", lines[0]], check=True, cwd=tmp_path, env=environ)
    store.delete_scores("acme", "demo", [score.score_id for score in kept[:2]])
    subprocess.run(["sh", "-ec", lines[1]], check=True, cwd=tmp_path, env=environ)
    assert all_scores(store) == kept
    store.close()
