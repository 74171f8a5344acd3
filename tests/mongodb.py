"""Find or start a server that speaks MongoDB's protocol.

The one that SCORELINE_TEST_MONGODB names, else a `mongod` on PATH as a one-node replica set, else
SecantusDB; else none, with the reason.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pymongo
from pymongo.errors import OperationFailure, PyMongoError

from tests.processes import free_port, wait_until_listening

NONE = (
    "no MongoDB server: SCORELINE_TEST_MONGODB is not set, no mongod is on PATH, "
    "SecantusDB is not installed (pip install '.[secantus]')"
)
OPTIONS = "w=majority&journal=true"
ALREADY_INITIALIZED = 23
"""MongoDB's error code if replSetInitiate was called before."""


def _secantus() -> str | None:
    """Return the path of SecantusDB's program, next to this Python or on PATH."""
    beside = Path(sys.executable).parent / "secantusd-py"
    return str(beside) if beside.exists() else shutil.which("secantusd-py")


def choice() -> str | None:
    """Return a description of the server that the tests use, or None."""
    if os.environ.get("SCORELINE_TEST_MONGODB"):
        return "the server that SCORELINE_TEST_MONGODB names"
    if mongod := shutil.which("mongod"):
        return f"{mongod}, a replica set of one"
    if secantus := _secantus():
        return f"SecantusDB ({secantus}), which is not MongoDB itself"
    return None


@contextmanager
def server() -> Iterator[str]:
    """Yield the URI of the chosen server, which is started for the block if necessary.

    The URI names no database.
    """
    if uri := os.environ.get("SCORELINE_TEST_MONGODB"):
        yield uri
        return
    with tempfile.TemporaryDirectory() as directory:
        port = free_port()
        process = start_server(port, directory)
        try:
            yield server_uri(port)
        finally:
            process.terminate()
            process.wait(timeout=30)


def start_server(port: int, directory: str) -> subprocess.Popen[bytes]:
    """Start the server on the data in `directory`, and wait until it accepts commands."""
    mongod = shutil.which("mongod")
    process = _start_mongod(mongod, port, directory) if mongod else _start_secantus(port, directory)
    wait_until_listening(port, process)
    if mongod:
        _initiate(port)
    return process


def server_uri(port: int) -> str:
    """Return the URI of a server that `start_server` started, without a database."""
    replica_set = "replicaSet=tests&" if shutil.which("mongod") else ""
    return f"mongodb://127.0.0.1:{port}/?{replica_set}{OPTIONS}"


def _start_secantus(port: int, directory: str) -> subprocess.Popen[bytes]:
    program = _secantus()
    assert program, NONE
    arguments = ["--host", "127.0.0.1", "--port", str(port), "--storage-path", f"{directory}/data"]
    # Without it, SecantusDB accepts j=true but does not wait for its journal.
    return _quiet([program, *arguments, "--sync-on-commit"])


def _start_mongod(mongod: str, port: int, directory: str) -> subprocess.Popen[bytes]:
    arguments = ["--bind_ip", "127.0.0.1", "--port", str(port), "--dbpath", directory]
    return _quiet([mongod, *arguments, "--replSet", "tests"])


def _quiet(arguments: list[str]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(arguments, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def _initiate(port: int) -> None:
    """Make a mongod a replica set of one member, unless it is one, and wait for its primary."""
    member = {"_id": 0, "host": f"127.0.0.1:{port}"}
    with _client(f"mongodb://127.0.0.1:{port}/?directConnection=true") as client:
        try:
            client.admin.command("replSetInitiate", {"_id": "tests", "members": [member]})
        except OperationFailure as error:
            if error.code != ALREADY_INITIALIZED:
                raise
    with _client(f"mongodb://127.0.0.1:{port}/?replicaSet=tests") as client:
        client.admin.command("ping")


def _client(uri: str) -> pymongo.MongoClient[dict[str, Any]]:
    return pymongo.MongoClient(uri)


def with_database(uri: str, name: str) -> str:
    """Return `uri` with the database `name`."""
    head, question, options = uri.partition("?")
    scheme, _, rest = head.partition("://")
    hosts = rest.partition("/")[0]
    return f"{scheme}://{hosts}/{name}{question}{options}"


def drop_database(uri: str) -> None:
    """Drop a test's database on a server that is not only for the tests."""
    if not os.environ.get("SCORELINE_TEST_MONGODB"):
        return
    with _client(uri) as client:
        try:
            client.drop_database(client.get_default_database().name)
        except PyMongoError as error:
            raise AssertionError(f"cannot drop the database of {uri}") from error
