"""The doctor: what is well with a store and its administrator's key, and what is not."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from pathlib import Path

from app.errors import StoreUnavailable
from app.keytext import decode_key, has_short_last_part
from app.services.keys import KeyRing
from app.stores.base import Store
from app.stores.checks import FAIL, OK, WARN, CheckResult


def check(store: Store, admin_key: str, admin_key_file: Path) -> Iterator[CheckResult]:
    """Every finding on the store and on the administrator's key of the settings."""
    well = True
    for finding in store.check():
        well = well and (finding.check, finding.verdict) != ("store", FAIL)
        yield finding
    if admin_key:
        yield _key_of_the_settings(admin_key)
    else:
        yield from _key_file(store if well else None, admin_key_file)


def _key_of_the_settings(admin_key: str) -> CheckResult:
    if has_short_last_part(admin_key):
        return _short_last_part("SCORELINE_ADMIN_KEY")
    return CheckResult("admin key", OK, "SCORELINE_ADMIN_KEY is set")


def _key_file(store: Store | None, file: Path) -> Iterator[CheckResult]:
    if not file.exists():
        yield CheckResult(
            "admin key", OK, f"no file {file}: whoever has the key keeps it elsewhere"
        )
        return
    others = stat.S_IMODE(file.stat().st_mode) & 0o077
    if others:
        says, advice = f"others than its owner may use {file}", f"chmod 600 {file}"
        yield CheckResult("admin key", FAIL, says, advice)
    try:
        key = decode_key(file.read_bytes())
        known = store is None or KeyRing(store).find(key) is not None
    except ValueError as error:
        advice = "remove the file, or put the key there that is used"
        yield CheckResult("admin key", WARN, f"{file} {error}", advice)
        return
    except (OSError, StoreUnavailable) as error:
        yield CheckResult(
            "admin key", WARN, f"{file} cannot be checked: {error}", "check it by hand"
        )
        return
    if not known:
        says = f"{file} holds no key that the store takes"
        yield CheckResult(
            "admin key", WARN, says, "remove the file, or put the key there that is used"
        )
    elif has_short_last_part(key):
        yield _short_last_part(f"the key in {file}")
    elif not others:
        yield CheckResult("admin key", OK, f"only its owner may read {file}")


def _short_last_part(key: str) -> CheckResult:
    says = f"{key} has fewer than 40 characters after its last `-`: Weave's clients refuse it"
    advice = "use a key of `scoreline keys create`, or 40 or more random letters and digits"
    return CheckResult("admin key", WARN, says, advice)
