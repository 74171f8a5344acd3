"""Start the service: run gunicorn, prepare the store, and create the administrator's key."""

from __future__ import annotations

import logging
import os
import re
import socket
import sys
from contextlib import suppress
from errno import EADDRINUSE
from importlib import resources
from pathlib import Path
from tempfile import NamedTemporaryFile

from flask import Flask
from gunicorn.app.base import Application

from app import create_app
from app.analysis.prices import InvalidPrices, read_prices
from app.errors import Conflict, ScorelineError, StoreDamaged, StoreRefused, StoreUnavailable
from app.keytext import decode_key, has_short_last_part, new_secret
from app.logs import print_message
from app.services.audit import audited
from app.services.keys import ADMINISTRATOR, FIRST_START, describe, new_key
from app.services.limits import open_limit
from app.stores import embedded_file, open_store
from app.stores.base import Store
from app.stores.sqlite.files import make_directory, note_serving
from app.tracing import TracingUnavailable, check
from config.settings import Settings

log = logging.getLogger("scoreline.start")

_WELCOME = """
The administrator's key is in {file} (only you can read it). Create a score:

  curl -u "api:$(cat {file})" -H 'Content-Type: application/json' \\
    -d '{{"prediction_id": "p-1", "scorer": "weave:///acme/demo/object/Exact:v0", "value": 0.5}}' \\
    {url}/v2/acme/demo/scores
"""
_LOOPBACK = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104
"""The address for a browser on this machine, by the address that stands for all addresses."""

_OTHER_PORT = "PORT=8001 make run, or PORT=8001 scoreline serve"
_LISTENING = "Scoreline listens on {url}; API documentation: {url}/docs"


class Server(Application):  # type: ignore[misc]
    """gunicorn in this process, configured by config/gunicorn.py and GUNICORN_CMD_ARGS.

    `python -m gunicorn` would put the working directory first on the path, where a user may have an
    `app.py`, and could not start a new master on SIGUSR2.
    """

    def load_config(self) -> None:
        """Load gunicorn's configuration, at the start and again on SIGHUP."""
        self.load_config_from_file(str(resources.files("config") / "gunicorn.py"))
        given = self.cfg.parser().parse_args(self.cfg.get_cmd_args_from_env())
        for name, value in vars(given).items():
            if value is not None and name != "args":
                self.cfg.set(name, value)

    def load(self) -> Flask:
        """Create the application in each worker."""
        return create_app()


def first_start(settings: Settings) -> None:
    """Prepare the store; if it has no administrator's key, create one and print its path.

    If the store does not answer, the service starts anyway and responds with 503 until it does.
    Exits with one line and code 2 if the store must not be used or is damaged, or if a setting
    cannot be used.
    """
    try:
        check()
        _check_address(settings)
        open_limit(settings.rate_limit, settings.rate_limit_store)
        read_prices(settings.prices)
        _prepare(settings)
    except StoreDamaged as error:
        print(f"scoreline: the store is damaged: {error}", file=sys.stderr)
        sys.exit(2)
    except StoreUnavailable as error:
        log.warning(
            "the store does not answer yet: %s; if it has no administrator's key yet, restart the "
            "service once it does",
            error,
        )
    except (StoreRefused, TracingUnavailable, InvalidPrices, OSError) as error:
        print(f"scoreline: {error}", file=sys.stderr)
        sys.exit(2)


def _check_address(settings: Settings) -> None:
    """Check that the address is free, before creating any file. Raises OSError."""
    if {"GUNICORN_FD", "LISTEN_FDS"} & set(os.environ):
        return  # systemd or an older master passes open sockets.
    where = f"{settings.host} port {settings.port}"
    try:
        family, *_, address = socket.getaddrinfo(
            settings.host, settings.port, type=socket.SOCK_STREAM
        )[0]
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        another = f"; for another port, run {_OTHER_PORT}" if error.errno == EADDRINUSE else ""
        raise OSError(f"cannot listen on {where}: {error.strerror}{another}") from error


def _prepare(settings: Settings) -> None:
    if file := embedded_file(settings.store):
        note_serving(file)
    store = open_store(settings.store)
    try:
        store.prepare()
        if settings.admin_key:
            _warn_of_short_key(settings.admin_key)
        elif ensure_admin_key(store, Path(settings.admin_key_file)):
            print_message(_welcome(settings))
    finally:
        store.close()


def close_store(url: str) -> None:
    """Write what a killed worker left in the `-wal` file into the embedded store's file.

    Call it after all workers have ended. Does nothing for other engines.
    """
    file = embedded_file(url)
    if file is None or not Path(f"{file}-wal").exists():
        return
    store = open_store(url)
    try:
        store.list_keys()  # Opens a connection; closing the last one writes everything.
    except ScorelineError as error:
        log.warning("the -wal file remains until the next stop: %s", error)
    finally:
        store.close()


def _warn_of_short_key(key: str) -> None:
    if has_short_last_part(key):
        log.warning(
            "SCORELINE_ADMIN_KEY has fewer than 40 characters after its last `-`: it could be "
            "guessed, and Weave's clients reject it; use at least 40 random letters and digits"
        )


def _welcome(settings: Settings) -> str:
    return _WELCOME.format(file=settings.admin_key_file, url=_url(settings))


def print_urls(settings: Settings) -> None:
    """Print the URLs of the service and of its documentation."""
    print_message(_LISTENING.format(url=_url(settings)))


def _url(settings: Settings) -> str:
    host = _LOOPBACK.get(settings.host, settings.host)
    host = f"[{host}]" if ":" in host else host
    return f"http://{host}:{settings.port}{settings.url_prefix}"


def ensure_admin_key(store: Store, path: Path) -> bool:
    """Create the administrator's key if the store has none; return whether one was created.

    The key is written to `path` (mode 0600) before it is stored, or read from there if the file
    exists. So an interrupted start loses nothing, and concurrent starts use the same key. Raises
    StoreRefused if the file contains something else.
    """
    if any(key.role == "admin" for key in store.list_keys()):
        return False
    key = new_key(_read_or_create_secret(path), *ADMINISTRATOR, created_by=FIRST_START.key_id)
    try:
        with audited("key.create", FIRST_START, describe(key)):
            store.add_key(key)
    except Conflict:
        return False  # Another process has stored it in the meantime.
    return True


def _read_or_create_secret(path: Path) -> str:
    """Return the key in `path`; if there is no file, write a new key to it atomically."""
    if not path.exists():
        make_directory(path.parent)
        with NamedTemporaryFile("w", dir=path.parent, prefix=f"{path.name}.") as file:  # Mode 0600.
            file.write(f"{new_secret()}\n")
            file.flush()
            os.fsync(file.fileno())
            with suppress(FileExistsError):  # Another process was faster; use its key.
                os.link(file.name, path)
    if not path.is_file():
        raise StoreRefused(f"{path} is no file, and cannot hold the administrator's key")
    path.chmod(0o600)
    try:
        secret = decode_key(path.read_bytes())
    except ValueError as error:
        raise StoreRefused(
            f"{path} {error}; remove it to get a new key at the next start"
        ) from None
    if not re.fullmatch(r"sl_[A-Za-z0-9_-]{32,}", secret):
        raise StoreRefused(
            f"{path} holds no API key, which is sl_ and at least 32 letters and digits; "
            "remove it to get a new key at the next start"
        )
    return secret
