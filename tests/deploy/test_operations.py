"""The commands in docs/operations.md work, where their programs are installed."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pymongo
import pytest
from click.testing import CliRunner

from app.cli.root import scoreline
from app.errors import Conflict
from app.stores import open_store
from app.stores.mongo.documents import SCORE_INDEXES
from tests.cli.test_keys import run
from tests.deploy.cluster import MONGOD, MONGOS, SHARDS, sharded_cluster
from tests.mongodb import with_database
from tests.processes import ADMIN_KEY, ROOT, environment
from tests.stores.test_contract import a_score, all_scores

TEXT = (ROOT / "docs" / "operations.md").read_text("utf-8")
COMMANDS = re.findall(r"^db\.adminCommand\((\{.*?\})\)$", TEXT, re.MULTILINE | re.DOTALL)
RUN_COMMANDS = re.findall(
    r'^db\.getSiblingDB\("scoreline"\)\.runCommand\((\{.*?\})\)$', TEXT, re.MULTILINE | re.DOTALL
)
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


def test_every_mongodb_command_in_the_document_is_found() -> None:
    text = TEXT.count("db.adminCommand(") + TEXT.count("db.getSiblingDB(")
    assert len(COMMANDS) + len(RUN_COMMANDS) == text > 3
    for command in COMMANDS + RUN_COMMANDS:
        json.loads(command)


def test_a_shard_key_is_the_beginning_of_every_unique_index() -> None:
    keys = [json.loads(command).get("key") for command in COMMANDS]
    unique = [index for index in SCORE_INDEXES if index.options.get("unique")]
    for key in filter(None, keys):
        for index in unique:
            assert list(index.fields)[: len(key)] == list(key), index.name


@pytest.mark.skipif(not (MONGOD and MONGOS), reason="no mongod and mongos on PATH")
def test_a_sharded_cluster_set_up_as_documented_keeps_ids_and_keys_unique(
    tmp_path: Path,
) -> None:
    with sharded_cluster(tmp_path) as mongos:
        uri = with_database(mongos, DATABASE)
        store = open_store(uri)
        store.prepare()
        with pymongo.MongoClient[dict[str, Any]](mongos) as client:
            assert all(name in SHARDS for name in re.findall(r'"(shard-[^"]*)"', str(COMMANDS)))
            for command in COMMANDS[:-1]:
                client.admin.command(json.loads(command))
            _keeps_its_promises(store)
            # The last command refines the shard key, which needs the index.
            for command in RUN_COMMANDS:
                client[DATABASE].command(json.loads(command))
            client.admin.command(json.loads(COMMANDS[-1]))
        store.prepare()
        _keeps_its_promises(store)
        checked = run(tmp_path, "doctor", SCORELINE_STORE=uri, SCORELINE_ADMIN_KEY=ADMIN_KEY)
        assert "ok    deployment: a sharded cluster" in checked.stdout
        assert "ok    indexes of scores" in checked.stdout
        copied = run(tmp_path, "store", "copy", uri, f"sqlite:///{tmp_path}/copy.db")
        assert copied.returncode == 0, copied.stderr
        store.close()


def _keeps_its_promises(store: Any) -> None:
    """Check that an id and an idempotency key are unique in a project."""
    key = a_score().score_id
    score = a_score(entity="acme", project="large", idempotency_key=key)
    store.add_score(score)
    assert store.find_score("acme", "large", score.score_id) == score
    with pytest.raises(Conflict):
        store.add_score(a_score(entity="acme", project="large", idempotency_key=key))
    with pytest.raises(Conflict):
        store.add_score(score)


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
