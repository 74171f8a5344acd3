"""A stream that fails after its 200 breaks the connection, so that it does not look complete."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from app.api.streams import break_on_error
from app.errors import StoreDamaged


def failing() -> Iterator[bytes]:
    yield b"first"
    raise StoreDamaged("a page")


def test_a_failed_http_1_0_stream_resets_its_connection() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        client = socket.create_connection(listener.getsockname())
        server, _ = listener.accept()
    with client, server:
        stream = break_on_error(
            failing(), {"gunicorn.socket": server, "SERVER_PROTOCOL": "HTTP/1.0"}
        )
        assert next(stream) == b"first"
        with pytest.raises(ConnectionResetError):
            next(stream)
        server.close()
        with pytest.raises(ConnectionResetError):
            client.recv(1)


def test_a_failed_stream_without_gunicorns_socket_raises() -> None:
    stream = break_on_error(failing(), {"SERVER_PROTOCOL": "HTTP/1.0"})
    assert next(stream) == b"first"
    with pytest.raises(ConnectionResetError):
        next(stream)
