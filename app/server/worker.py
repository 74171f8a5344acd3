"""gunicorn's worker: threads that all wait for the same events, and each answer what they got.

A thread is taken by a request that is whole, never by a client that is slow to send one: heads and
small bodies are put together as they come. A large body is waited for by a thread, but at most by
half of them. Nor is a thread taken by a client that is slow to read: the rest of an answer is sent
as it takes it. Only a list is waited for by the thread that reads it, and so by half of them.
"""

from __future__ import annotations

import errno
import os
import select
import threading
import time
from collections.abc import Callable
from typing import Any

from gunicorn.http import wsgi
from gunicorn.workers.base import Worker

from app.logs import request_id
from app.server.answers import Answer, BrokenOff, refusal, send_at_once, status_of
from app.server.connections import Connection
from app.server.large import LargeRequests
from app.server.patience import (
    give_up_late,
    give_up_longest_owed,
    give_up_slowest,
    wait_shortly,
)
from app.server.requests import ScorelineRequest

ARMED = select.EPOLLIN | select.EPOLLRDHUP | select.EPOLLONESHOT
"""An event goes to one thread, and there is no other until that thread arms it anew."""

WRITABLE = select.EPOLLOUT | select.EPOLLONESHOT
"""An event comes as soon as the client takes something: at once, when nothing is on its way."""

TICK_SECONDS = 1.0
STOPPING_TICK_SECONDS = 0.05
YIELD_SECONDS = 0.0001
MOST_YIELD_SECONDS = 0.002
"""How long a worker leaves a new connection to the others, for each that it has already."""

NO_ROOM = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)


class EventWorker(Worker):  # type: ignore[misc]
    """Serves a WSGI application over HTTP/1.1; gunicorn's hooks around a request are not run."""

    alive: bool
    wsgi: Any

    slot = 0
    """Which of the living workers it is; one that takes its place has the same."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._listeners: dict[int, Any] = {}
        self._connections: dict[int, Connection] = {}
        self._lock = threading.Lock()
        self._half_of_the_threads = max(1, self.cfg.threads // 2)
        self._large = LargeRequests(self._half_of_the_threads)

    # The main thread

    def run(self) -> None:
        """Serve until told to stop, then finish what is under way."""
        self._events = select.epoll()
        for listener in self.sockets:
            listener.setblocking(False)
            self._listeners[listener.fileno()] = listener
            self._events.register(listener.fileno(), ARMED)
        for number in range(self.cfg.threads):
            threading.Thread(target=self._serve, name=f"serve-{number}", daemon=True).start()
        while self.alive and self.ppid == os.getppid():
            self._tick(TICK_SECONDS)
        self.alive = False
        self._stop_listening()
        self._finish()

    def _tick(self, seconds: float) -> None:
        """Wait so long, or until a signal; tell the master that we live; give up who is late."""
        if select.select([self.PIPE[0]], [], [], seconds)[0]:
            os.read(self.PIPE[0], 4096)
        self.notify()
        now = time.monotonic()
        connections = list(self._connections.values())
        give_up_late(connections, now)
        give_up_slowest(connections, self._half_of_the_threads, now)

    def _stop_listening(self) -> None:
        """Take the connections that wait already, and no more."""
        with self._lock:
            for number, listener in self._listeners.items():
                self._events.unregister(number)
                while self._accept(listener):
                    pass
                listener.close()
            self._listeners = {}

    def _finish(self) -> None:
        """Wait for answers that are under way, and shortly for requests that may be."""
        now = time.monotonic()
        wait_shortly(list(self._connections.values()), now)
        while self._connections and time.monotonic() < now + self.cfg.graceful_timeout:
            self._tick(STOPPING_TICK_SECONDS)

    # The threads

    def _serve(self) -> None:
        while True:
            for number, _ in self._events.poll(maxevents=1):
                connection = self._connections.get(number)
                if connection:
                    self._outlive(self._go_on, connection)
                else:
                    self._take_connection(number)

    def _take_connection(self, number: int) -> None:
        """One at a time, and the later the more it has: so workers come to have equally many."""
        time.sleep(min(len(self._connections) * YIELD_SECONDS, MOST_YIELD_SECONDS))
        with self._lock:
            listener = self._listeners.get(number)
            if listener:
                self._accept(listener)
                self._events.modify(number, ARMED)

    def _accept(self, listener: Any) -> bool:
        """Take one connection, if one waits."""
        try:
            sock, client = listener.accept()
        except OSError as error:
            if error.errno in NO_ROOM:
                give_up_longest_owed(list(self._connections.values()))
            return False
        if len(self._connections) >= self.cfg.worker_connections:
            give_up_longest_owed(list(self._connections.values()))
        self._connections[sock.fileno()] = Connection(sock, client, listener.getsockname())
        self._events.register(sock.fileno(), ARMED)
        return True

    def _go_on(self, connection: Connection) -> None:
        """Take what has arrived, and answer the requests that are whole with it."""
        if not connection.answer:
            connection.receive()
        elif not self._send_on(connection, connection.answer):
            return
        while not connection.is_closing and (request := connection.take_request(self.cfg)):
            if request.is_large:
                self._queue_large(connection, request)
                return
            if not self._answer(connection, request):
                return
        if not connection.is_ended:
            self._rest(connection, ARMED)
        elif connection.is_late and not (connection.is_idle or connection.is_closing):
            self._refuse(connection, 408, "Request Timeout")
        else:
            self._forget(connection)

    def _outlive(self, step: Callable[..., None], connection: Connection, *rest: Any) -> None:
        """Take a step with a connection; whatever it does, the thread goes on."""
        try:
            step(connection, *rest)
        except OSError as error:
            self.log.debug("A client is gone: %s", error)
            self._forget(connection)
        except BrokenOff as error:
            self.log.error("An answer broke off", exc_info=error.__cause__)
            self._forget(connection)  # No end of the answer: its client notices.
        except Exception as error:
            status, reason = status_of(error)
            if status == 500:
                self.log.error("Error handling request", exc_info=error)
            self._refuse(connection, status, reason)

    def _answer(self, connection: Connection, request: ScorelineRequest) -> bool:
        """Have a request answered; whether the connection is ready for another."""
        request_id.set(None)  # The thread's last request is over.
        connection.deadline = None
        answer, environ = wsgi.create(
            request,
            connection.sock,
            connection.client,
            connection.server,
            self.cfg,
            response_class=Answer,
        )
        environ["wsgi.multithread"] = True
        if not self.alive:
            answer.force_close()
        answer.begin(self.wsgi(environ, answer.start_response), connection.wait_to_send)
        return self._send_on(connection, answer)

    def _send_on(self, connection: Connection, answer: Answer) -> bool:
        """Send what its client takes; whether the connection is ready for another request."""
        connection.answer = connection.deadline = None
        if not answer.go_on():
            connection.answer = answer
            self._rest(connection, WRITABLE)
            return False
        if answer.should_close() or connection.is_ended:
            self._end(connection)
            return False
        return True

    # Large bodies

    def _queue_large(self, connection: Connection, request: ScorelineRequest) -> None:
        """Answer a request with a large body as soon as a thread may be spared for it."""
        connection.deadline = None
        if self._large.is_full:
            self._refuse(connection, 503, "Too much is under way")
        elif self._large.join(connection, request):
            while following := self._large.following():
                self._outlive(self._answer_large, *following)

    def _answer_large(self, connection: Connection, request: ScorelineRequest) -> None:
        connection.source.may_wait(may=True)
        if not self._answer(connection, request):
            return
        if connection.finish_large(request):
            self._rest(connection, WRITABLE)  # What has been read ahead makes no event.
        else:
            self._end(connection)

    # The end of a request

    def _rest(self, connection: Connection, events: int) -> None:
        """Leave a connection to whichever thread gets its next event."""
        connection.rest(self.cfg.keepalive)
        self._events.modify(connection.sock.fileno(), events)

    def _refuse(self, connection: Connection, status: int, reason: str) -> None:
        """Answer what is no HTTP request; the connection ends with it."""
        number, data = refusal(status, reason)
        request_id.set(number)
        self.log.info("answered %s to what is no HTTP request", status)
        self.wsgi.extensions["scoreline"].metrics.count_unread(status)
        try:
            send_at_once(connection.sock, data)
        except OSError:
            self.log.debug("The client is gone, or reads nothing, and was not told %s", reason)
        self._end(connection)

    def _end(self, connection: Connection) -> None:
        """Send no more on a connection; it is closed when its client has ended it too."""
        connection.say_goodbye()
        if connection.is_ended:
            self._forget(connection)
        else:
            self._rest(connection, ARMED)

    def _forget(self, connection: Connection) -> None:
        # First the number, for the next connection may have the same as soon as this is closed.
        self._connections.pop(connection.sock.fileno(), None)
        connection.sock.close()
