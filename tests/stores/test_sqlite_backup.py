"""Backups of the embedded store are complete and checked, and restored only if it is not in use."""

from __future__ import annotations

import multiprocessing
import os
import sqlite3
import stat
from contextlib import closing
from multiprocessing.synchronize import Event
from pathlib import Path

import pytest

from app.errors import Conflict, ScorelineError, StoreRefused
from app.stores.sqlite.backup import back_up, check_backup, restore
from app.stores.sqlite.files import note_serving
from app.stores.sqlite.store import SqliteStore
from tests.stores.test_contract import a_key, a_score


def note(_done: int, _of: int) -> None:
    """Do nothing."""


@pytest.fixture
def store(tmp_path: Path) -> SqliteStore:
    """Return a store with three scores and a key."""
    made = SqliteStore(tmp_path / "s.db")
    made.prepare()
    made.add_missing([a_score() for _ in range(3)], partial=False)
    made.add_key(a_key())
    return made


@pytest.fixture
def backup(store: SqliteStore, tmp_path: Path) -> Path:
    """Return a backup of that store, which is closed."""
    file = tmp_path / "backup.db"
    assert back_up(tmp_path / "s.db", file, note)["scores"] == 3
    store.close()
    return file


def test_a_backup_is_one_file_that_only_its_owner_may_read(backup: Path, tmp_path: Path) -> None:
    assert stat.S_IMODE(backup.stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.glob("backup.db*")] == ["backup.db"]
    with closing(sqlite3.connect(f"{backup.as_uri()}?mode=ro&immutable=1", uri=True)) as opened:
        assert opened.execute("SELECT count(*) FROM scores").fetchone() == (3,)
        assert opened.execute("PRAGMA journal_mode").fetchone() == ("delete",)


def test_a_backup_is_a_snapshot_while_others_write(
    store: SqliteStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.stores.sqlite.backup.PAGES", 1)
    steps = []

    def write(done: int, of: int) -> None:
        steps.append((done, of))
        assert len(steps) < 200, "the backup started again"
        store.add_score(a_score(value_json=f'"{"x" * 10_000}"'))

    assert back_up(tmp_path / "s.db", tmp_path / "b.db", write)["scores"] == 3
    assert check_backup(tmp_path / "b.db")["scores"] == 3
    assert len(steps) == steps[-1][1]
    assert store.extent().count == 3 + len(steps)


def test_a_failed_backup_keeps_the_previous_one(
    store: SqliteStore, backup: Path, tmp_path: Path
) -> None:
    before = backup.read_bytes()

    def fail(_done: int, _of: int) -> None:
        raise OSError(28, "No space left on device")

    with pytest.raises(ScorelineError, match="No space"):
        back_up(tmp_path / "s.db", backup, fail)
    assert backup.read_bytes() == before
    assert not Path(f"{backup}.partial").exists()


def test_an_incomplete_backup_is_refused(
    store: SqliteStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.stores.sqlite.backup.check_backup", lambda _: 2)
    with pytest.raises(StoreRefused, match="is incomplete"):
        back_up(tmp_path / "s.db", tmp_path / "b.db", note)
    assert list(tmp_path.glob("b.db*")) == []


def test_a_backup_is_synced_before_it_is_renamed(
    store: SqliteStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "b.db"
    synced: list[tuple[int, bool]] = []
    fsync = os.fsync

    def note_sync(descriptor: int) -> None:
        synced.append((os.fstat(descriptor).st_ino, file.exists()))
        fsync(descriptor)

    monkeypatch.setattr("os.fsync", note_sync)
    back_up(tmp_path / "s.db", file, note)
    assert (file.stat().st_ino, False) in synced
    assert (tmp_path.stat().st_ino, True) in synced


def test_an_interrupted_restore_keeps_the_previous_store(
    backup: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "s.db"
    before = path.stat().st_ino
    link = os.link

    def link_and_break_off(*names: Path) -> None:
        link(*names)
        raise OSError(5, "Input/output error")

    monkeypatch.setattr("os.link", link_and_break_off)
    with pytest.raises(ScorelineError):
        restore(backup, path, note)
    assert path.stat().st_ino == before
    assert check_backup(path)["scores"] == 3


def test_a_restored_store_has_the_backups_scores_and_keys_and_the_previous_one_is_kept(
    store: SqliteStore, backup: Path, tmp_path: Path
) -> None:
    path = tmp_path / "s.db"
    os.chmod(path, 0o640)  # noqa: PTH101
    later = SqliteStore(path)
    later.add_score(a_score())
    later.close()
    counts, kept = restore(backup, path, note)
    assert counts == {"scores": 3, "predictions": 0, "evaluation_runs": 0}
    assert kept
    assert check_backup(kept)["scores"] == 4
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    again = SqliteStore(path)
    again.prepare()
    assert again.extent().count == 3
    assert len(again.list_keys()) == 1
    again.close()


def test_a_backup_can_be_restored_where_there_is_no_store(backup: Path, tmp_path: Path) -> None:
    counts, kept = restore(backup, tmp_path / "new" / "s.db", note)
    assert (counts["scores"], kept) == (3, None)
    assert check_backup(tmp_path / "new" / "s.db")["scores"] == 3


def _serve(path: Path, serving: Event, stop: Event) -> None:
    note_serving(path)
    serving.set()
    stop.wait(30)


def test_a_store_is_not_restored_while_an_idle_service_uses_it(
    backup: Path, tmp_path: Path
) -> None:
    path = tmp_path / "s.db"
    context = multiprocessing.get_context("spawn")
    serving, stop = context.Event(), context.Event()
    process = context.Process(target=_serve, args=(path, serving, stop))
    process.start()
    assert serving.wait(30)
    with pytest.raises(Conflict, match="a service is using"):
        restore(backup, path, note)
    stop.set()
    process.join(30)
    restore(backup, path, note)


def test_a_store_is_not_restored_while_another_program_has_it_open(
    backup: Path, tmp_path: Path
) -> None:
    path = tmp_path / "s.db"
    opened = SqliteStore(path)
    opened.extent()
    with pytest.raises(Conflict, match="another program"):
        restore(backup, path, note)
    assert list(tmp_path.glob("*.replaced-*")) == []
    assert list(tmp_path.glob("*.restoring*")) == []
    opened.close()


def spoil(path: Path, offset: int) -> None:
    with path.open("rb+") as file:
        file.seek(offset)
        file.write(b"\xff" * 600)


def test_a_damaged_store_is_replaced_and_kept_with_its_wal(backup: Path, tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    spoil(path, 0)
    Path(f"{path}-wal").write_bytes(b"what was not yet in it")
    counts, kept = restore(backup, path, note)
    assert counts == {"scores": 3, "predictions": 0, "evaluation_runs": 0}
    assert Path(f"{kept}-wal").read_bytes() == b"what was not yet in it"
    assert not Path(f"{path}-wal").exists()
    assert check_backup(path)["scores"] == 3


@pytest.mark.parametrize("kind", ["empty", "text", "theirs", "newer", "damaged", "cut", "missing"])
def test_an_invalid_backup_is_refused_and_the_store_not_changed(
    backup: Path, tmp_path: Path, kind: str
) -> None:
    path, file = tmp_path / "s.db", tmp_path / "file.db"
    before = path.read_bytes()
    if kind == "newer":
        backup.replace(file)
        with closing(sqlite3.connect(file)) as opened:
            opened.execute("PRAGMA user_version = 99")
    elif kind == "theirs":
        with closing(sqlite3.connect(file)) as opened:
            opened.execute("CREATE TABLE scores (_id)")
    elif kind == "damaged":
        backup.replace(file)
        spoil(file, 4096 * 3)
    elif kind == "cut":
        file.write_bytes(backup.read_bytes()[: 4096 * 5])
    elif kind != "missing":
        file.write_text("" if kind == "empty" else "no database at all" * 100)
    with pytest.raises(StoreRefused):
        restore(file, path, note)
    assert path.read_bytes() == before
    assert list(tmp_path.glob("*.replaced-*")) == []
