"""Check a MongoDB store: its server, write concern, indexes, space and clock, changing nothing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from itertools import islice
from typing import Any

from pymongo import DESCENDING, ReadPreference
from pymongo.collection import Collection
from pymongo.database import Database
from pymongo.errors import OperationFailure

from app.errors import ScorelineError, StoreRefused
from app.stores.checks import (
    CLOCK_SECONDS,
    FAIL,
    OK,
    WARN,
    CheckResult,
    check_clock,
    check_deletions,
    check_space,
)
from app.stores.mongo.documents import DOCUMENT_INDEXES, Index, id_field
from app.stores.mongo.driver import our_errors
from app.stores.mongo.parts import find_damaged, orphans
from app.stores.mongo.schema import INDEXES, SCHEMA, is_as_declared, schema_version
from app.stores.mongo.sharding import (
    SHARD_KEYS,
    SHARDED,
    is_wanted,
    server_description,
    shard_keys,
)

Documents = Collection[dict[str, Any]]

MOST_SHOWN = 3
"""How many damaged documents are named."""


def check(database: Database[dict[str, Any]]) -> Iterator[CheckResult]:
    """Check a MongoDB store; yield each result."""
    try:
        with our_errors():
            yield from _check(database)
    except ScorelineError as error:
        advice = (
            "check that the server runs, the address is right and the user may read the database"
        )
        yield CheckResult("store", FAIL, str(error), advice)


def _check(database: Database[dict[str, Any]]) -> Iterator[CheckResult]:
    version = database.client.server_info()["version"]
    hello = server_description(database.client)
    counts = [
        f"{database[name].estimated_document_count()} {name.replace('_', ' ')}"
        for name in ("scores", *DOCUMENT_INDEXES)
    ]
    says = f"MongoDB {version} answers, with about {', '.join(counts)} in {database.name}"
    yield CheckResult("store", OK, says)
    yield _schema(database["meta"])
    yield _deployment(hello)
    if hello.get("msg") == SHARDED:
        yield from _sharding(database)
    scores = database["scores"]
    yield _write_concern(scores)
    yield _read_preference(scores)
    of_indexes = [_indexes(database[name], indexes) for name, indexes in INDEXES.items()]
    yield from of_indexes
    if all(each.verdict == OK for each in of_indexes):  # It would read everything without them.
        yield _parts(database)
    yield check_deletions(database["deletions"].count_documents({"pending": True}))
    yield from _space(database.command("dbStats"))
    newest = scores.find({}, {"score_id": 1}).sort("_id", DESCENDING).limit(1)
    yield check_clock(next((document["score_id"] for document in newest), None))
    yield _servers_clock(hello)


def _schema(meta: Documents) -> CheckResult:
    try:
        version = schema_version(meta)
    except StoreRefused as error:
        return CheckResult("schema", FAIL, str(error), "install the newer release")
    says = f"version {version} of {SCHEMA}"
    if version < SCHEMA:
        advice = "the next start migrates it, or continues an interrupted migration; make a backup"
        return CheckResult("schema", WARN, says, advice)
    return CheckResult("schema", OK, says)


def _deployment(hello: Mapping[str, Any]) -> CheckResult:
    if hello.get("msg") == SHARDED:
        return CheckResult("deployment", OK, "a sharded cluster, through a mongos")
    if name := hello.get("setName"):
        members = len(hello.get("hosts", ()))
        if members >= 3:
            return CheckResult("deployment", OK, f"replica set {name} of {members} members")
        says = f"replica set {name} of {members} members: if one fails, scores may be lost"
        return CheckResult("deployment", WARN, says, "use three members or more")
    says = (
        "a standalone server: an interrupted batch may be stored in part, and changes cannot be "
        "followed"
    )
    advice = (
        "use a replica set, without which w=majority does not protect from the loss of a server"
    )
    return CheckResult("deployment", WARN, says, advice)


def _sharding(database: Database[dict[str, Any]]) -> Iterator[CheckResult]:
    """Check by which key each collection is sharded."""
    try:
        found = shard_keys(database)
    except OperationFailure as error:
        advice = "let the user read the database config (the role clusterMonitor)"
        yield CheckResult("sharding", WARN, f"the shard keys cannot be read: {error}", advice)
        return
    for name in SHARD_KEYS:
        key = found.get(name)
        says = f"by {', '.join(key)}" if key else "not sharded: it stays on one shard"
        if key and is_wanted(name, key):
            yield CheckResult(f"sharding of {name}", OK, says)
        else:
            yield CheckResult(f"sharding of {name}", WARN, says, "run scoreline store shard")


def _write_concern(scores: Documents) -> CheckResult:
    concern = scores.write_concern.document
    says = ", ".join(f"{name}={value}" for name, value in concern.items())
    if concern.get("w") == "majority" and concern.get("j"):
        return CheckResult("write concern", OK, says)
    advice = "remove w and journal from SCORELINE_STORE: with less, acknowledged scores may be lost"
    return CheckResult("write concern", FAIL, says or "the server's default", advice)


def _read_preference(scores: Documents) -> CheckResult:
    if scores.read_preference == ReadPreference.PRIMARY:
        return CheckResult("read preference", OK, "primary")
    advice = "remove readPreference from SCORELINE_STORE: a secondary may not have new scores yet"
    return CheckResult("read preference", FAIL, scores.read_preference.mongos_mode, advice)


def _indexes(collection: Documents, wanted: Sequence[Index]) -> CheckResult:
    """Check that the indexes exist as declared."""
    found = collection.index_information()
    wrong = [
        index.name
        for index in wanted
        if index.name not in found or not is_as_declared(index, found[index.name])
    ]
    check = f"indexes of {collection.name}"
    if wrong:
        advice = "drop indexes that are not as declared; the next start creates missing ones"
        return CheckResult(check, FAIL, f"missing or not as declared: {', '.join(wrong)}", advice)
    return CheckResult(check, OK, f"all {len(wanted)} exist as declared")


def _parts(database: Database[dict[str, Any]]) -> CheckResult:
    """Check that all parts of large texts exist, and that documents name all parts."""
    damaged = [
        f"{each[id_field(name)]!r} of {each['entity']}/{each['project']} in {name}"
        for name in ("scores", *DOCUMENT_INDEXES)
        for each in islice(find_damaged(database[name]), MOST_SHOWN)
    ]
    if damaged:
        says = f"parts are missing, of {'; '.join(damaged[:MOST_SHOWN])}"
        return CheckResult("parts", FAIL, says, "restore a backup, or delete these")
    if unused := sum(len(names) for _, names in orphans(database, {})):
        says = f"{unused} texts in parts belong to nothing, after writes that broke off"
        return CheckResult("parts", WARN, says, "run scoreline store prune, which removes them")
    return CheckResult("parts", OK, "large texts have all their parts")


def _space(stats: Mapping[str, Any]) -> Iterator[CheckResult]:
    """Check the space on the server's disks; a mongos reports that of each shard."""
    for shard, each in stats.get("raw", {"": stats}).items():
        if "fsTotalSize" in each:
            free = each["fsTotalSize"] - each["fsUsedSize"]
            yield check_space(int(free), int(each["fsTotalSize"]), f"on the server {shard}")


def _servers_clock(hello: Mapping[str, Any]) -> CheckResult:
    there = hello["localTime"].replace(tzinfo=UTC)
    apart = abs((there - datetime.now(UTC)).total_seconds())
    if apart > CLOCK_SECONDS:
        advice = "set both clocks (NTP)"
        return CheckResult(
            "server's clock", WARN, f"{apart:.0f} seconds from this machine's", advice
        )
    return CheckResult("server's clock", OK, "the same as this machine's")
