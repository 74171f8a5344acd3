"""Start a sharded MongoDB cluster on loopback: two shards, a config server and a mongos."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pymongo

from tests.processes import free_port, wait_until_listening

MONGOD, MONGOS = shutil.which("mongod"), shutil.which("mongos")
SHARDS = ("shard-1", "shard-2")


@contextmanager
def sharded_cluster(directory: Path) -> Iterator[str]:
    """Yield the URI of a mongos, without a database."""
    processes: list[subprocess.Popen[bytes]] = []
    try:
        config = _replica_set(directory, "config", "--configsvr", processes)
        shards = {name: _replica_set(directory, name, "--shardsvr", processes) for name in SHARDS}
        port = free_port()
        arguments = ["--configdb", f"config/127.0.0.1:{config}", "--port", str(port)]
        processes.append(_start([MONGOS or "", *arguments, "--bind_ip", "127.0.0.1"]))
        wait_until_listening(port, processes[-1])
        uri = f"mongodb://127.0.0.1:{port}/"
        with pymongo.MongoClient[dict[str, Any]](uri) as client:
            for name, shard in shards.items():
                client.admin.command("addShard", f"{name}/127.0.0.1:{shard}", name=name)
        yield uri
    finally:
        for process in reversed(processes):
            process.terminate()
        for process in processes:
            process.wait(timeout=60)


def _replica_set(
    directory: Path, name: str, role: str, processes: list[subprocess.Popen[bytes]]
) -> int:
    """Start a replica set of one member, and return its port once it is primary."""
    port = free_port()
    data = directory / name
    data.mkdir()
    arguments = [role, "--replSet", name, "--dbpath", str(data), "--port", str(port)]
    processes.append(_start([MONGOD or "", *arguments, "--bind_ip", "127.0.0.1"]))
    wait_until_listening(port, processes[-1])
    member = {"_id": 0, "host": f"127.0.0.1:{port}"}
    direct = f"mongodb://127.0.0.1:{port}/?directConnection=true"
    with pymongo.MongoClient[dict[str, Any]](direct) as client:
        client.admin.command("replSetInitiate", {"_id": name, "members": [member]})
    with pymongo.MongoClient[dict[str, Any]](f"mongodb://127.0.0.1:{port}/?replicaSet={name}") as c:
        c.admin.command("ping")
    return port


def _start(arguments: list[str]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(arguments, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
