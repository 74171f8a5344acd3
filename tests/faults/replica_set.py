"""A replica set of three `mongod`, whose primary can be killed or told to step down."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pymongo
from pymongo.errors import AutoReconnect

from tests.processes import free_port, wait_until_listening

MEMBERS = 3
NAME = "faults"
ELECTION_MILLISECONDS = 2_000
"""After how long without a primary the others elect one; MongoDB's default is 10 s."""

STEP_DOWN_SECONDS = 10


class ReplicaSet:
    """Three members on loopback, each with its own data below `directory`."""

    def __init__(self, mongod: str, directory: Path) -> None:
        self._mongod = mongod
        self._directory = directory
        self._members: dict[int, subprocess.Popen[bytes]] = {}

    @property
    def uri(self) -> str:
        """The URI of all members, without a database."""
        hosts = ",".join(f"127.0.0.1:{port}" for port in self._members)
        return f"mongodb://{hosts}/?replicaSet={NAME}&w=majority&journal=true"

    def start(self) -> None:
        """Start the members, make them a replica set and wait for its primary."""
        for _ in range(MEMBERS):
            self.start_member(free_port())
        first = next(iter(self._members))
        config = {
            "_id": NAME,
            "members": [
                {"_id": number, "host": f"127.0.0.1:{port}"}
                for number, port in enumerate(self._members)
            ],
            "settings": {"electionTimeoutMillis": ELECTION_MILLISECONDS},
        }
        uri = f"mongodb://127.0.0.1:{first}/?directConnection=true"
        with pymongo.MongoClient[dict[str, object]](uri) as client:
            client.admin.command("replSetInitiate", config)
        self.primary()

    def start_member(self, port: int) -> None:
        """Start the member at `port`, on existing data if there is any."""
        data = self._directory / f"member-{port}"
        data.mkdir(exist_ok=True)
        arguments = ["--replSet", NAME, "--bind_ip", "127.0.0.1", "--port", str(port)]
        arguments += ["--dbpath", str(data), "--wiredTigerCacheSizeGB", "0.25"]
        with (self._directory / f"member-{port}.log").open("ab") as log:
            self._members[port] = subprocess.Popen(
                [self._mongod, *arguments], stdout=log, stderr=log
            )
        wait_until_listening(port, self._members[port])

    def primary(self) -> int:
        """Wait for a primary, and return its port."""
        with pymongo.MongoClient[dict[str, object]](self.uri) as client:
            client.admin.command("ping")  # Waits until a primary is known.
            assert client.primary, "the primary was lost again"
            return client.primary[1]

    def kill_primary(self) -> int:
        """Kill -9 the primary, and return its port."""
        port = self.primary()
        self._members[port].kill()
        self._members[port].wait()
        return port

    def step_down(self) -> None:
        """Make the primary step down immediately."""
        # Servers before 4.2 close their connections as they step down.
        with pymongo.MongoClient[dict[str, object]](self.uri) as client, suppress(AutoReconnect):
            client.admin.command("replSetStepDown", STEP_DOWN_SECONDS, force=True)

    def kill(self) -> None:
        """Kill -9 every member."""
        for member in self._members.values():
            member.kill()
        for member in self._members.values():
            member.wait()


@contextmanager
def replica_set(mongod: str, directory: Path) -> Iterator[ReplicaSet]:
    """Run a replica set during a block."""
    made = ReplicaSet(mongod, directory)
    try:
        made.start()
        yield made
    finally:
        made.kill()
