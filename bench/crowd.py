"""Many clients of one blob in a process of their own: `crowd(...)`, or `python -m bench.crowd` for what it runs.

They take what comes and throw it away in the kernel (MSG_TRUNC, tcp(7)), so that a thousand of them cost less than what they measure; a few
of them (`Asked.every`) look at every byte. With a rate they read no faster than that.
"""

import asyncio
import hashlib
import json
import selectors
import socket
import sys
import time
from contextlib import nullcontext
from dataclasses import asdict, dataclass, field

from bench.network import inside
from tests.rig import LOOPBACK

_MOST = 1024 * 1024  # bytes taken at a time
_LOOK = 0.05  # seconds between two helpings of a client that reads slowly
_WINDOW = 65536  # bytes that wait for a client in any case: it may come no less often than they do, or it is slower than its rate


@dataclass(frozen=True)
class Asked:
    """How many clients ask for what, how fast they read in bytes per second, for how long at most, and which of them look at the bytes.

    They are in the networks at the paths *namespaces* in turns, where there are some.
    """

    port: int
    path: str
    digest: str
    clients: int
    rate: float | None = None
    seconds: float = 120
    every: int = 50  # one of so many looks
    namespaces: tuple[str, ...] = ()


@dataclass
class Seen:
    """What one client saw: seconds to the first and the last byte, how many bytes of the body, and whether they were right."""

    first: float = 0.0
    last: float = 0.0
    size: int = 0
    is_right: bool = False


@dataclass
class _Client:
    sock: socket.socket
    head: bytearray = field(default_factory=bytearray)
    promised: int | None = None
    hashing: "hashlib._Hash | None" = None
    seen: Seen = field(default_factory=Seen)
    taken: int = 0

    def take(self, most: int, now: float) -> bool:
        """Read once; say False at the end."""
        if self.promised is None or self.hashing is not None:
            chunk = self.sock.recv(min(most, 65536))
            count = len(chunk)
            if self.promised is None:
                chunk = self._begin(chunk)
            if self.hashing is not None:
                self.hashing.update(chunk)
            self.seen.size += len(chunk)
        else:
            count = self.sock.recv_into(_SINK, most, socket.MSG_TRUNC)
            self.seen.size += count
        if self.seen.size and not self.seen.first:
            self.seen.first = now
        self.taken += count
        return bool(count) and self.seen.size != self.promised

    def _begin(self, chunk: bytes) -> bytes:
        self.head += chunk
        head, separator, rest = bytes(self.head).partition(b"\r\n\r\n")
        if not separator:
            return b""
        lengths = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
        self.promised = int(lengths[0].partition(b":")[2]) if head.startswith(b"HTTP/1.1 200") and lengths else -1
        return rest


_SINK = bytearray(_MOST)


async def crowd(asked: Asked) -> list[Seen]:
    """Let them all ask at once, and tell what they saw."""
    program = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "bench.crowd", json.dumps(asdict(asked))), stdout=asyncio.subprocess.PIPE
    )
    try:
        said, _ = await program.communicate()
    finally:
        if program.returncode is None:
            program.kill()
            await program.wait()
    return [Seen(**each) for each in json.loads(said)]


def _run(asked: Asked) -> list[Seen]:
    began = time.monotonic()
    clients = [_connected(asked, number) for number in range(asked.clients)]
    if asked.rate is None:
        _read_all(clients, began, asked.seconds)
    else:
        _read_slowly(clients, began, asked.rate, asked.seconds)
    for client in clients:
        right = client.hashing is None or f"sha256:{client.hashing.hexdigest()}" == asked.digest
        client.seen.is_right = right and client.seen.size == client.promised
    return [client.seen for client in clients]


def _connected(asked: Asked, number: int) -> _Client:
    with inside(asked.namespaces[number % len(asked.namespaces)]) if asked.namespaces else nullcontext():
        sock = socket.create_connection((LOOPBACK, asked.port), timeout=60)
    sock.settimeout(0)
    sock.sendall(f"GET {asked.path} HTTP/1.1\r\nHost: crowd\r\nConnection: close\r\n\r\n".encode())
    return _Client(sock, hashing=hashlib.sha256() if number % asked.every == 0 and asked.rate is None else None)


def _read_all(clients: list[_Client], began: float, seconds: float) -> None:
    with selectors.EpollSelector() as selector:
        for client in clients:
            selector.register(client.sock, selectors.EVENT_READ, client)
        while selector.get_map() and time.monotonic() - began < seconds:
            for key, _ in selector.select(1.0):
                if not _taken(key.data, _MOST, began):
                    selector.unregister(key.data.sock)
                    key.data.sock.close()


def _read_slowly(clients: list[_Client], began: float, rate: float, seconds: float) -> None:
    reading = set(range(len(clients)))
    while reading and (passed := time.monotonic() - began) < seconds:
        for number in list(reading):
            allowed = int(rate * passed) - clients[number].taken
            if allowed > 0 and not _taken(clients[number], min(allowed, _MOST), began):
                reading.discard(number)
                clients[number].sock.close()
        time.sleep(min(_LOOK, _WINDOW / rate))


def _taken(client: _Client, most: int, began: float) -> bool:
    now = time.monotonic() - began
    try:
        goes_on = client.take(most, now)
    except BlockingIOError:
        return True
    except OSError:
        goes_on = False
    client.seen.last = now
    return goes_on


if __name__ == "__main__":
    print(json.dumps([asdict(seen) for seen in _run(Asked(**json.loads(sys.argv[1])))]))
