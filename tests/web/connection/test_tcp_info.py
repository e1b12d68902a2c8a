"""What the kernel knows of a connection."""

import socket
from collections.abc import Iterator

import pytest

from regproxy.web.connection.tcp_info import abort, acknowledged_bytes, unacknowledged_bytes
from tests.rig import LOOPBACK

PLENTY = bytes(1 << 24)  # more than the kernel takes for a client that does not read


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Connect a server's socket and a client's, by TCP."""
    with socket.create_server((LOOPBACK, 0)) as listener, socket.create_connection(listener.getsockname()) as client:
        server, _ = listener.accept()
        with server:
            yield server, client


def test_what_a_client_has_read_was_acknowledged(pair: tuple[socket.socket, socket.socket]) -> None:
    server, client = pair
    before = acknowledged_bytes(server)
    server.sendall(b"x" * 1000)
    client.recv(1000, socket.MSG_WAITALL)
    client.sendall(b"x")
    server.recv(1)  # whatever came with it was acknowledged by then
    assert (acknowledged_bytes(server) - before, unacknowledged_bytes(server)) == (1000, 0)


def test_what_a_client_does_not_take_is_counted(pair: tuple[socket.socket, socket.socket]) -> None:
    server, client = pair
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    server.setblocking(False)
    sent = server.send(PLENTY)
    assert 0 < unacknowledged_bytes(server) <= sent
    assert acknowledged_bytes(server) < sent


def test_a_connection_that_is_aborted_is_reset_and_its_socket_stays_a_socket(pair: tuple[socket.socket, socket.socket]) -> None:
    server, client = pair
    server.setblocking(False)
    server.send(PLENTY)
    abort(server)
    with pytest.raises(OSError, match="Broken pipe"):
        server.send(b"x")
    assert server.fileno() >= 0, "whoever else is about to write to it must not write to another's"
    abort(server)
    client.close()
