"""How gunicorn serves: `gunicorn --config config/gunicorn.py "app:create_app()"`.

gunicorn runs this file once, in the master process, before any worker exists.
"""

from __future__ import annotations

import os
import resource
import signal
import sys

from gunicorn.arbiter import Arbiter
from gunicorn.config import Config
from gunicorn.glogging import Logger

from app import metrics
from app.logs import configure_logging
from app.startup import close_store, first_start, say_where
from app.worker import Worker
from config.settings import SettingsError, read_settings

FILES = 4096


class JsonLogger(Logger):  # type: ignore[misc]
    """gunicorn's logger with Scoreline's lines."""

    def setup(self, cfg: Config) -> None:
        """Set the loggers up as gunicorn does, then format them as ours."""
        super().setup(cfg)
        configure_logging(settings.log_level)


def on_starting(_arbiter: Arbiter) -> None:
    """Make the store ready before any worker opens it, and the first key when there is none."""
    end_early_workers()
    _allow_files()
    first_start(settings)
    metrics.open_directory()


def when_ready(_arbiter: Arbiter) -> None:
    """Tell people where the service listens."""
    say_where(settings)


def pre_fork(arbiter: Arbiter, worker: Worker) -> None:
    """Give a worker that is about to start the place of none that lives."""
    worker.slot = metrics.free_slot([other.slot for other in list(arbiter.WORKERS.values())])


def post_fork(_arbiter: Arbiter, worker: Worker) -> None:
    """Let a worker count on where the one before in its place stopped."""
    metrics.count_as(worker.slot)


def worker_exit(_arbiter: Arbiter, worker: Worker) -> None:
    """Close the store of a worker that ends."""
    if worker.wsgi:
        worker.wsgi.extensions["scoreline"].close()


def child_exit(_arbiter: Arbiter, worker: Worker) -> None:
    """Forget what a worker had in hand that is dead."""
    metrics.forget(worker.slot)


def on_exit(_arbiter: Arbiter) -> None:
    """Leave one whole file of the store, and none of the counts."""
    close_store(settings.store)
    metrics.remove_directory()


def _allow_files() -> None:
    """Let a worker have all its connections open: many systems allow 1,024 files unless asked."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = FILES if hard == resource.RLIM_INFINITY else min(FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


def end_early_workers() -> None:
    """Have a worker end that is told to stop before it has handlers of its own.

    It would pass that over in the master's, which it inherits, or lose it amid the fork, and be
    waited for until the graceful timeout. So the signal waits until the worker can end by it.
    """
    stops = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT)

    def hold() -> None:
        signal.pthread_sigmask(signal.SIG_BLOCK, stops)

    def let_go() -> None:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, stops)

    def end_by_them() -> None:
        for number in stops:
            signal.signal(number, signal.SIG_DFL)
        let_go()

    os.register_at_fork(before=hold, after_in_parent=let_go, after_in_child=end_by_them)


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
graceful_timeout = 28  # Together with closing the store, 30 seconds at most.
keepalive = 75
control_socket_disable = True
# Of what proxies may say of a request, only whether it came by HTTPS is taken.
forwarder_headers = ""
secure_scheme_headers = {"X-FORWARDED-PROTO": "https"}
if settings.trusted_proxies:
    forwarded_allow_ips = "*"  # Whoever connects is one of them.
