"""Repeated requests in bursts: short turns whose processor time the kernel counts to the nanosecond: hundreds take seconds."""

import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from bench import processes
from bench.peers import Peer
from regproxy.oci.manifest import ACCEPT
from tests.rig import LOOPBACK

_CONNECTIONS = 16  # each has one request under way
_END = b"\r\n\r\n"
_LENGTH = b"content-length: "
_HIT = b"\r\nCache-Status: regproxy; hit\r\n"
_PAUSE = 0.1  # seconds
_WAIT = 30.0  # seconds


@dataclass(frozen=True)
class Turn:
    """What requests in bursts cost: seconds until they were answered, and of the program's processor time."""

    hits: int
    seconds: float
    cpu: float


class Bursts:
    """A few connections that all ask for the same, again and again."""

    def __init__(self, peer: Peer, request: bytes, connections: list[socket.socket]) -> None:
        """Send *request* to *peer* by *connections*."""
        self._request = request
        self._connections = connections
        self._pids = processes.tree(peer.pid)
        for each in connections:
            while _HIT not in (answer := self._asked(each)):
                time.sleep(_PAUSE)  # it is on its way to the disk
        self._size = len(answer)

    def turn(self, bursts: int) -> Turn:
        """Ask on all connections at once, *bursts* times; raise `RuntimeError` where an answer is not the one before."""
        cpu, began = self._cpu(), time.perf_counter()
        for _ in range(bursts):
            for each in self._connections:
                each.sendall(self._request)
            for each in self._connections:
                found = b""
                while len(found) < self._size and (more := each.recv(self._size - len(found))):
                    found += more
                if len(found) != self._size or not found.startswith(b"HTTP/1.1 200 "):
                    raise RuntimeError(f"{found[:200]!r} is not the answer of before")
        return Turn(bursts * len(self._connections), time.perf_counter() - began, self._cpu() - cpu)

    def _asked(self, connection: socket.socket) -> bytes:
        connection.sendall(self._request)
        return _answer(connection)

    def _cpu(self) -> float:
        return sum(map(processes.cpu_of_threads, self._pids))


@contextmanager
def bursts(peer: Peer, path: str, authorization: str | None) -> Iterator[Bursts]:
    """Connect to *peer*, and ask it for *path* once on each connection."""
    shown = f"Authorization: {authorization}\r\n" if authorization else ""
    request = f"GET {path} HTTP/1.1\r\nHost: {LOOPBACK}:{peer.port}\r\nUser-Agent: containerd/2.1.4\r\nAccept: {ACCEPT}\r\n{shown}\r\n"
    connections = [socket.create_connection((LOOPBACK, peer.port), _WAIT) for _ in range(_CONNECTIONS)]
    try:
        yield Bursts(peer, request.encode(), connections)
    finally:
        for each in connections:
            each.close()


def _answer(connection: socket.socket) -> bytes:
    """Read one answer."""
    found = b""
    while _END not in found:
        found += connection.recv(65536)
    head = found.partition(_END)[0].lower()
    size = len(head) + len(_END) + int(head.partition(_LENGTH)[2].partition(b"\r")[0])
    while len(found) < size:
        found += connection.recv(65536)
    return found
