"""Create clients of the unchanged `weave` package, which may only connect to loopback."""

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
