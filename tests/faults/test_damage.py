"""Damage pages and bytes in the file of the embedded store."""

from __future__ import annotations

import http.client
import json
import random
import socket
import sqlite3
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import BinaryIO

import pytest

from tests.faults.load import PATH, Acknowledged, Count, Load, content, count, holds, post, report
from tests.faults.test_file import assert_refuses_to_start
from tests.processes import Answer, Service

pytestmark = pytest.mark.faults

CALLS = 400
MORE_CALLS = 100
PAGE_BYTES = 4096
PAGES = 6
"""How many pages are damaged, in the middle of the file."""

_random = random.Random(5)


def checkpoint(database: Path) -> None:
    """Write the -wal file into the database, so that its pages are read from there."""
    with closing(sqlite3.connect(database)) as connection:
        busy, *_ = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    assert not busy


def overwrite(database: Path, page: Callable[[], bytes]) -> None:
    """Overwrite some pages."""
    pages = database.stat().st_size // PAGE_BYTES
    with database.open("r+b") as file:
        for number in _random.sample(range(pages // 4, pages * 3 // 4), PAGES):
            file.seek(number * PAGE_BYTES)
            file.write(page())


def random_pages(database: Path) -> None:
    overwrite(database, lambda: _random.randbytes(PAGE_BYTES))


def zero_pages(database: Path) -> None:
    overwrite(database, lambda: bytes(PAGE_BYTES))


def change(database: Path, name: str) -> None:
    """Change a letter in the value of one call's score, which SQLite cannot notice."""
    whole = database.read_bytes()
    value = f'{{"of":"{name}","is"'.encode()
    assert whole.count(value) == 1
    database.write_bytes(whole.replace(value, value.replace(b"call", b"cald")))


def changed_values(database: Path) -> None:
    for number in _random.sample(range(CALLS), PAGES):
        change(database, f"call-{number}")


def is_refusal(answer: Answer) -> bool:
    """Return whether a response reports only that the store is damaged."""
    return answer.status == 503 and answer.json == {"detail": "The store is damaged"}


def read_each(service: Service, acknowledged: Sequence[Acknowledged]) -> Counter[str]:
    """Return how many scores are read as sent, and how many are refused as damaged."""
    found: Counter[str] = Counter()
    for score_id, sent in acknowledged:
        answer = service.send("GET", f"{PATH}/{score_id}")
        if is_refusal(answer):
            found["refused"] += 1
        else:
            found["whole" if answer.status == 200 and holds(answer.json, sent) else "lost"] += 1
    return found


def assert_lists_nothing_else(service: Service, acknowledged: Sequence[Acknowledged]) -> None:
    """Fail unless the list is refused, aborted or complete, and its scores are as sent."""
    try:
        answer = service.send("GET", PATH)
    except http.client.IncompleteRead:
        return
    if not is_refusal(answer):
        assert answer.status == 200
        listed = {score["score_id"]: score for score in map(json.loads, answer.body.splitlines())}
        assert all(holds(listed.get(score_id), sent) for score_id, sent in acknowledged)


def send_again(service: Service, acknowledged: Sequence[Acknowledged]) -> int:
    """Repeat the calls with their keys, and return how many get another response."""
    doubled = 0
    with closing(http.client.HTTPConnection("127.0.0.1", service.port, timeout=30)) as connection:
        for score_id, sent in acknowledged:
            answer = post(connection, sent, service.key, sent["prediction_id"])
            assert answer.status == 200 or is_refusal(answer), answer
            doubled += answer.status == 200 and answer.json["score_id"] != score_id
    return doubled


def send_more(service: Service, name: str) -> list[Acknowledged]:
    """Make new calls, and return those that are acknowledged; the others must be refused."""
    made = []
    with closing(http.client.HTTPConnection("127.0.0.1", service.port, timeout=30)) as connection:
        for number in range(MORE_CALLS):
            sent = content(f"{name}-{number}")
            answer = post(connection, sent, service.key, sent["prediction_id"])
            assert answer.status == 200 or is_refusal(answer), answer
            if answer.status == 200:
                made.append((answer.json["score_id"], sent))
    return made


@pytest.mark.parametrize("damage", [random_pages, zero_pages, changed_values])
def test_damaged_scores_are_refused_and_the_others_are_served(
    own_service: Service, database: Path, damage: Callable[[Path], None]
) -> None:
    with Load(own_service, calls=CALLS) as load:
        load.finish()
    acknowledged = list(load.acknowledged)
    checkpoint(database)
    damage(database)
    name = f"{PAGES} {damage.__name__.replace('_', ' ')}"
    for when in ("serving", "started-again"):
        found = read_each(own_service, acknowledged)
        assert found["whole"]
        assert_lists_nothing_else(own_service, acknowledged)
        doubled = send_again(own_service, acknowledged)
        more = send_more(own_service, when)
        assert read_each(own_service, more)["whole"] == len(more)
        cost = Count(len(acknowledged), found["lost"], doubled)
        report(f"{name}, {when}, {found['refused']} scores refused as damaged", cost)
        own_service.stop()
        own_service.start_again()


@pytest.fixture
def long_list(own_service: Service, database: Path) -> list[Acknowledged]:
    """Store a list of several chunks, and change the value of the last score but one."""
    scores = [{**content(f"call-{number}"), "scorer": "s" * 1_000} for number in range(CALLS)]
    answer = own_service.post(f"{PATH}/batch", {"scores": scores})
    assert answer.status == 200
    checkpoint(database)
    change(database, f"call-{CALLS - 2}")
    return list(zip(answer.json["score_ids"], scores, strict=True))


def report_all_but_one(fault: str, service: Service, made: Sequence[Acknowledged]) -> None:
    """Fail unless the damaged score is refused and all others are read."""
    found = read_each(service, made)
    assert found["refused"] == 1
    report(f"{fault}, 1 score refused as damaged", Count(len(made), found["lost"], 0))


def test_a_list_with_damage_after_its_200_is_aborted(
    own_service: Service, long_list: list[Acknowledged]
) -> None:
    damaged, _ = long_list[-2]
    with pytest.raises(http.client.IncompleteRead) as broken:
        own_service.send("GET", PATH)
    assert 0 < broken.value.partial.count(b"\n") <= CALLS - 2
    assert damaged.encode() not in broken.value.partial
    (line,) = [line for line in own_service.log_lines() if line["level"] == "error"]
    message = f"a response was broken off: '{damaged}' is not what was written"
    assert line["message"] == message
    around = own_service.send("GET", f"{PATH}?limit=2&offset={CALLS - 3}")
    assert is_refusal(around)
    before, after = (f"{PATH}?limit=1&offset={CALLS - number}" for number in (3, 1))
    assert [own_service.send("GET", path).status for path in (before, after)] == [200, 200]
    report_all_but_one("list broken off", own_service, long_list)


def receive_all(connection: socket.socket) -> None:
    while connection.recv(65536):
        pass


def test_a_list_with_damage_is_aborted_with_http_1_0_too(
    own_service: Service, long_list: list[Acknowledged]
) -> None:
    request = f"GET {PATH} HTTP/1.0\r\nAuthorization: Bearer {own_service.key}\r\n\r\n"
    for _ in range(3):  # The worker still accepts connections.
        with socket.create_connection(("127.0.0.1", own_service.port), timeout=30) as connection:
            connection.sendall(request.encode())
            with pytest.raises(ConnectionResetError):
                receive_all(connection)
    report_all_but_one("list reset", own_service, long_list)


def garbage(file: BinaryIO) -> None:
    file.write(_random.randbytes(20 * PAGE_BYTES))


def zeros(file: BinaryIO) -> None:
    file.write(bytes(20 * PAGE_BYTES))


def garbage_after_the_first_page(file: BinaryIO) -> None:
    file.seek(PAGE_BYTES)
    garbage(file)


def half(file: BinaryIO) -> None:
    file.truncate(20 * PAGE_BYTES)


def test_a_start_refuses_a_file_with_damaged_first_pages_and_accepts_a_backup(
    own_service: Service, database: Path
) -> None:
    with Load(own_service, calls=CALLS) as load:
        load.finish()
    own_service.stop()
    checkpoint(database)
    backup = database.read_bytes()
    for damage in (garbage, zeros, garbage_after_the_first_page, half):
        database.write_bytes(backup)
        with database.open("r+b") as file:
            damage(file)
        damaged = database.read_bytes()
        assert_refuses_to_start(own_service, f"{database} is damaged, or not a database: ")
        assert database.read_bytes() == damaged
    database.write_bytes(backup)
    own_service.start_again()
    report("first pages damaged, and a backup", count(own_service, load))
