"""Create clients of the unchanged `weave` package, which may only connect to loopback."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.processes import Service, environment

PROGRAMS = Path(__file__).with_name("programs")

MISSING = "weave is not installed: `make .venv/.interop` installs it"
is_missing = importlib.util.find_spec("weave") is None


@contextmanager
def settings_of_weave() -> Iterator[None]:
    """Set the variables with which `weave`, imported in the block, connects to nothing else.

    By default it sends reports to Sentry, at the latest when the process exits.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WANDB_ERROR_REPORTING", "false")
        patch.setenv("no_proxy", "*")  # Otherwise a proxy of this machine might be used.
        patch.delenv("WANDB_API_KEY", raising=False)
        yield


@contextmanager
def weave_client(url: str, key: str) -> Iterator[Any]:
    """Yield a client of the service at `url`, and close it at the end of the block."""
    from weave.trace_server_bindings.remote_http_trace_server import RemoteHTTPTraceServer

    made = RemoteHTTPTraceServer(url, password=key)
    try:
        yield made
    finally:
        made._stainless_client.close()  # Weave's client has no method for this.


def read_back(program: str, service: Service, project: str, directory: Path) -> dict[str, Any]:
    """Run a program of `tests/interop/programs` to its end, and return what it has read back.

    What it writes to standard error is shown if the test fails: only there the SDK says that it has
    dropped feedback, which it does after three attempts.
    """
    variables = {
        "WANDB_BASE_URL": service.url,
        "WANDB_API_KEY": service.key,
        "WANDB_ERROR_REPORTING": "false",
        "WEAVE_USE_SERVER_CACHE": "false",
        "WEAVE_PRINT_CALL_LINK": "false",
        "no_proxy": "*",
    }
    ended = subprocess.run(
        [sys.executable, str(PROGRAMS / program), project],
        env={**environment(), **variables},
        cwd=directory,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    sys.stderr.write(ended.stderr)
    assert ended.returncode == 0
    found: dict[str, Any] = json.loads(ended.stdout.splitlines()[-1])
    return found
