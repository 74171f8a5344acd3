"""Check a MongoDB store: its server, write concern, indexes, space and clock, changing nothing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from pymongo import ASCENDING, DESCENDING, MongoClient, ReadPreference
from pymongo.collection import Collection
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
from app.stores.mongo.documents import (
    DELETION_INDEXES,
    DOCUMENT_INDEXES,
    KEY_INDEXES,
    SCORE_INDEXES,
    Index,
)
from app.stores.mongo.driver import our_errors
from app.stores.mongo.schema import SCHEMA, schema_version

Documents = Collection[dict[str, Any]]
COMMAND_NOT_FOUND = 59


def check(
    client: MongoClient[dict[str, Any]], scores: Documents, keys: Documents, meta: Documents
) -> Iterator[CheckResult]:
    """Check a MongoDB store; yield each result."""
    try:
        with our_errors():
            yield from _check(client, scores, keys, meta)
    except ScorelineError as error:
        advice = (
            "check that the server runs, the address is right and the user may read the database"
        )
        yield CheckResult("store", FAIL, str(error), advice)


def _check(
    client: MongoClient[dict[str, Any]], scores: Documents, keys: Documents, meta: Documents
) -> Iterator[CheckResult]:
    version = client.server_info()["version"]
    hello = _hello(client)
    counts = [
        f"{scores.database[name].estimated_document_count()} {name.replace('_', ' ')}"
        for name in (scores.name, *DOCUMENT_INDEXES)
    ]
    says = f"MongoDB {version} answers, with about {', '.join(counts)} in {scores.database.name}"
    yield CheckResult("store", OK, says)
    yield _schema(meta)
    yield _deployment(hello)
    yield _write_concern(scores)
    yield _read_preference(scores)
    yield _indexes(scores, SCORE_INDEXES)
    for name, indexes in DOCUMENT_INDEXES.items():
        yield _indexes(scores.database[name], indexes)
    yield _indexes(keys, KEY_INDEXES)
    deletions = scores.database["deletions"]
    yield _indexes(deletions, DELETION_INDEXES)
    yield check_deletions(deletions.count_documents({"pending": True}))
    yield from _space(scores.database.command("dbStats"))
    newest = scores.find({}, {"_id": 1}).sort("_id", DESCENDING).limit(1)
    yield check_clock(next((document["_id"] for document in newest), None))
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


def _hello(client: MongoClient[dict[str, Any]]) -> Mapping[str, Any]:
    """Return the server's description of itself; MongoDB 4.4.0 and 4.4.1 have no `hello`."""
    try:
        return client.admin.command("hello")
    except OperationFailure as error:
        if error.code != COMMAND_NOT_FOUND:
            raise
    return client.admin.command("isMaster")


def _deployment(hello: Mapping[str, Any]) -> CheckResult:
    if hello.get("msg") == "isdbgrid":
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
    wrong = [index.name for index in wanted if not _as_declared(index, found.get(index.name))]
    check = f"indexes of {collection.name}"
    if wrong:
        advice = "drop indexes that are not as declared; the next start creates missing ones"
        return CheckResult(check, FAIL, f"missing or not as declared: {', '.join(wrong)}", advice)
    return CheckResult(check, OK, f"all {len(wanted)} exist as declared")


def _as_declared(index: Index, found: Mapping[str, Any] | None) -> bool:
    if found is None or found["key"] != [(name, ASCENDING) for name in index.fields]:
        return False
    return all(found.get(name) == value for name, value in index.options.items())


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
