"""Check a store and the administrator's key, without changing anything."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from pathlib import Path

from app.errors import StoreUnavailable
from app.keytext import decode_key, has_short_last_part
from app.services.key_ring import KeyRing
from app.stores.base import Store
from app.stores.checks import FAIL, OK, WARN, CheckResult
from app.stores.sqlite.files import user_name


def check(store: Store, admin_key: str, admin_key_file: Path) -> Iterator[CheckResult]:
    """Check the store and the administrator's key, and yield each result."""
    answers = True
    for result in store.check():
        answers = answers and (result.check, result.verdict) != ("store", FAIL)
        yield result
    if admin_key:
        yield _check_key_setting(admin_key)
    else:
        yield from _check_key_file(store if answers else None, admin_key_file)


def _check_key_setting(admin_key: str) -> CheckResult:
    if has_short_last_part(admin_key):
        return _short_last_part("SCORELINE_ADMIN_KEY")
    return CheckResult("admin key", OK, "SCORELINE_ADMIN_KEY is set")


def _check_key_file(store: Store | None, file: Path) -> Iterator[CheckResult]:
    try:
        mode = stat.S_IMODE(file.stat().st_mode)
    except (FileNotFoundError, NotADirectoryError):
        yield CheckResult(
            "admin key", OK, f"there is no file {file}, so the key must be kept elsewhere"
        )
        return
    except OSError as error:
        yield _unreadable(file, error)
        return
    yield from _check_found_key_file(store, file, others=mode & 0o077)


def _check_found_key_file(store: Store | None, file: Path, *, others: int) -> Iterator[CheckResult]:
    if others:
        says, advice = f"other users may access {file}", f"chmod 600 {file}"
        yield CheckResult("admin key", FAIL, says, advice)
    try:
        key = decode_key(file.read_bytes())
        known = store is None or KeyRing(store).find(key) is not None
    except ValueError as error:
        advice = "remove the file, or write the valid key to it"
        yield CheckResult("admin key", WARN, f"{file} {error}", advice)
        return
    except OSError as error:
        yield _unreadable(file, error)
        return
    except StoreUnavailable as error:
        yield CheckResult(
            "admin key", WARN, f"{file} cannot be checked: {error}", "check the file yourself"
        )
        return
    if not known:
        says = f"the key in {file} is not valid"
        yield CheckResult("admin key", WARN, says, "remove the file, or write the valid key to it")
    elif has_short_last_part(key):
        yield _short_last_part(f"the key in {file}")
    elif not others:
        yield CheckResult("admin key", OK, f"only its owner may access {file}")


def _unreadable(file: Path, error: OSError) -> CheckResult:
    says = f"{file} cannot be read by the user {user_name()}: {error.strerror}"
    return CheckResult("admin key", WARN, says, "run this as the user of the service")


def _short_last_part(key: str) -> CheckResult:
    says = f"{key} has fewer than 40 characters after its last `-`: Weave's clients reject it"
    advice = "use a key from `scoreline keys create`, or at least 40 random letters and digits"
    return CheckResult("admin key", WARN, says, advice)
