"""Makes the official client: the `weave` package, unchanged, which must reach loopback only."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

MISSING = "weave is not installed: `make .venv/.interop` installs it"
is_missing = importlib.util.find_spec("weave") is None


@contextmanager
def settings_of_weave() -> Iterator[None]:
    """Weave reports to Sentry, at exit if not before, unless this is set when it is imported."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WANDB_ERROR_REPORTING", "false")
        patch.setenv("no_proxy", "*")  # Else a proxy of this machine would be asked.
        patch.delenv("WANDB_API_KEY", raising=False)
        yield


@contextmanager
def weave_client(url: str, key: str) -> Iterator[Any]:
    """A client of the service at `url` for the length of a block."""
    from weave.trace_server_bindings.remote_http_trace_server import RemoteHTTPTraceServer

    made = RemoteHTTPTraceServer(url, password=key)
    try:
        yield made
    finally:
        made._stainless_client.close()  # It has no close of its own.
