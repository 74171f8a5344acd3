"""gunicorn's configuration: `gunicorn --config config/gunicorn.py "app:create_app()"`.

gunicorn executes this file in the master process, at the start and again on SIGHUP.
"""

from __future__ import annotations

import logging
import os
import re
import resource
import signal
import sys

from gunicorn.arbiter import Arbiter
from gunicorn.config import Config
from gunicorn.glogging import Logger

from app import metrics
from app.api.parsing import dense_bodies
from app.logs import configure_logging
from app.startup import close_store, first_start, print_urls
from app.worker import Worker
from config.settings import SettingsError, read_settings

FILES = 4096
"""How many files and connections a worker may have open."""

_INVALID = re.compile(r"(Invalid request from ip=\S+): .*", re.DOTALL)


class JsonLogger(Logger):  # type: ignore[misc]
    """gunicorn's logger, but with JSON lines."""

    def setup(self, cfg: Config) -> None:
        """Configure the loggers as gunicorn does, then replace their handlers."""
        super().setup(cfg)
        configure_logging(settings.log_level)

    def warning(self, msg: str, *args: object, **options: object) -> None:
        """Log a warning, but not the invalid request that a client sent: it may contain a key."""
        super().warning(_INVALID.sub(r"\1", msg), *args, **options)


def on_starting(_arbiter: Arbiter) -> None:
    """Prepare the store and create the first key, before any worker starts."""
    end_early_workers()
    end_waiting_start()
    _allow_files()
    first_start(settings)
    metrics.open_directory()
    dense_bodies.share()


def when_ready(_arbiter: Arbiter) -> None:
    """Print where the service listens."""
    print_urls(settings)


def pre_fork(arbiter: Arbiter, worker: Worker) -> None:
    """Give a new worker a slot that no running worker has."""
    worker.slot = metrics.free_slot([other.slot for other in list(arbiter.WORKERS.values())])


def post_fork(_arbiter: Arbiter, worker: Worker) -> None:
    """Let a new worker continue the counts of the last worker in its slot."""
    metrics.count_as(worker.slot)


def post_worker_init(worker: Worker) -> None:
    """Continue the deletions that an earlier process has left unfinished."""
    worker.wsgi.extensions["scoreline"].clearing.start()


def worker_exit(_arbiter: Arbiter, worker: Worker) -> None:
    """Close the store of a worker that exits, and write its last log lines."""
    if worker.wsgi:
        worker.wsgi.extensions["scoreline"].close()
    for handler in logging.getLogger().handlers:
        handler.flush()


def child_exit(_arbiter: Arbiter, worker: Worker) -> None:
    """Remove the gauges of a dead worker but keep its counts."""
    metrics.forget(worker.slot)


def on_exit(_arbiter: Arbiter) -> None:
    """Write the whole store to its database file, and remove the counts."""
    close_store(settings.store)
    metrics.remove_directory()


def _allow_files() -> None:
    """Raise the limit of open files, which by default is 1,024 on many systems."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = FILES if hard == resource.RLIM_INFINITY else min(FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


def end_early_workers() -> None:
    """Let a signal end a worker that has not installed its own handlers yet.

    Otherwise the signal is lost during the fork, or ignored by the handlers inherited from the
    master, which then waits for the worker until the graceful timeout. So these signals are blocked
    during a fork, and have their default action in the child afterwards.
    """
    stops = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT)

    def block() -> None:
        signal.pthread_sigmask(signal.SIG_BLOCK, stops)

    def unblock() -> None:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, stops)

    def restore_defaults() -> None:
        for number in stops:
            signal.signal(number, signal.SIG_DFL)
        unblock()

    os.register_at_fork(before=block, after_in_parent=unblock, after_in_child=restore_defaults)


def end_waiting_start() -> None:
    """Let SIGTERM and SIGQUIT end a start that waits, also as process 1 of a container.

    For process 1, the kernel ignores a signal without a handler. gunicorn installs its handlers
    only after the start. A start can wait for the restore of a backup, or for another process that
    migrates the store.
    """
    if os.getpid() == 1:
        for number in (signal.SIGTERM, signal.SIGQUIT):
            signal.signal(number, lambda number, _frame: sys.exit(128 + number))


try:
    settings = read_settings(os.environ)
except SettingsError as error:
    print(f"scoreline: {error}", file=sys.stderr)
    sys.exit(2)

host = f"[{settings.host}]" if ":" in settings.host else settings.host
bind = f"{host}:{settings.port}"
workers = settings.workers
worker_class = Worker
threads = settings.threads
logger_class = JsonLogger
loglevel = settings.log_level
timeout = 30
graceful_timeout = 28  # At most 30 seconds, including the closing of the store.
keepalive = 75
control_socket_disable = True
# Of the headers that proxies add, gunicorn uses only the one for HTTPS.
forwarder_headers = ""
secure_scheme_headers = {"X-FORWARDED-PROTO": "https"}
if settings.trusted_proxies:
    forwarded_allow_ips = "*"  # Every connection comes from a trusted proxy.
