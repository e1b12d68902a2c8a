"""Many clients of one blob in a process of their own: `crowd(...)`, or `python -m bench.crowd` for what it runs.

They take what comes and throw it away in the kernel (MSG_TRUNC, tcp(7)), so that a thousand of them cost less than what they measure; a few
of them (`Asked.every`) look at every byte. With a rate they read no faster than that. Little waits for each in the kernel: where many
come and few are read, it would run out of memory for TCP, and lose what it has received.
"""

import asyncio
import hashlib
import json
import selectors
import socket
import sys
import time
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass, field

from bench.network import inside
from tests.rig import LOOPBACK

_MOST = 1024 * 1024  # bytes taken at a time
_LOOK = 0.05  # seconds between two helpings of a client that reads slowly
_WINDOW = 65536  # bytes that wait for a client in any case: it may come no less often than they do, or it is slower than its rate
_MOST_TRIES = 10
_BUFFER = 128 * 1024  # bytes that wait for a client; a thousand with what the kernel gives them fill all that TCP may have (tcp_mem)


@dataclass(frozen=True)
class Asked:
    """How many clients ask for what, how fast they read in bytes per second, for how long at most, and which of them look at the bytes.

    They are in the networks at the paths *namespaces* in turns, where there are some. Where there are *more_blobs*, with their digests, as
    many clients one after the other ask for one each; where there are *more_ports*, these ask at the same in turns, and one that is broken
    off goes on at the next.
    """

    port: int
    path: str
    digest: str
    clients: int
    rate: float | None = None
    seconds: float = 120
    every: int = 50  # one of so many looks
    namespaces: Sequence[str] = ()
    more_ports: Sequence[int] = ()
    more_blobs: Sequence[Sequence[str]] = ()

    def blob(self, number: int) -> Sequence[str]:
        """Return the path and the digest for client *number*."""
        blobs = [(self.path, self.digest), *self.more_blobs]
        return blobs[number % len(blobs)]

    def port_of(self, number: int, tries: int) -> int:
        """Return where client *number* asks after some *tries*."""
        ports = [self.port, *self.more_ports]
        return ports[(number // (1 + len(self.more_blobs)) + tries) % len(ports)]


@dataclass
class Seen:
    """What one client saw: seconds to the first and the last byte, bytes of the body, whether they were right, and after how many tries."""

    first: float = 0.0
    last: float = 0.0
    size: int = 0
    is_right: bool = False
    tries: int = 1


@dataclass
class _Client:
    number: int
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
        is_right = head.startswith(b"HTTP/1.1 206" if self.seen.size else b"HTTP/1.1 200") and lengths
        self.promised = self.seen.size + int(lengths[0].partition(b":")[2]) if is_right else -1
        return rest if is_right else b""


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
        _read_all(clients, asked, began)
    else:
        _read_slowly(clients, began, asked.rate, asked.seconds)
    for client in clients:
        right = client.hashing is None or f"sha256:{client.hashing.hexdigest()}" == asked.blob(client.number)[1]
        client.seen.is_right = right and client.seen.size == client.promised
    return [client.seen for client in clients]


def _connected(asked: Asked, number: int) -> _Client:
    sock = _asking(asked, number, 0)
    return _Client(number, sock, hashing=hashlib.sha256() if number % asked.every == 0 and asked.rate is None else None)


def _asking(asked: Asked, number: int, tries: int, start: int = 0) -> socket.socket:
    """Connect client *number* and ask for what comes after *start* bytes."""
    with inside(asked.namespaces[number % len(asked.namespaces)]) if asked.namespaces else nullcontext():
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER)
        sock.settimeout(60)
        sock.connect((LOOPBACK, asked.port_of(number, tries)))
    sock.settimeout(0)
    part = f"Range: bytes={start}-\r\n" if start else ""
    sock.sendall(f"GET {asked.blob(number)[0]} HTTP/1.1\r\nHost: crowd\r\n{part}Connection: close\r\n\r\n".encode())
    return sock


def _read_all(clients: list[_Client], asked: Asked, began: float) -> None:
    with selectors.EpollSelector() as selector:
        for client in clients:
            selector.register(client.sock, selectors.EVENT_READ, client)
        while selector.get_map() and time.monotonic() - began < asked.seconds:
            for key, _ in selector.select(1.0):
                client = key.data
                if _taken(client, _MOST, began):
                    continue
                selector.unregister(client.sock)
                client.sock.close()
                if _goes_on(client, asked):
                    selector.register(client.sock, selectors.EVENT_READ, client)


def _goes_on(client: _Client, asked: Asked) -> bool:
    """Ask elsewhere for what is missing, if anything is and there is somebody else."""
    while asked.more_ports and client.seen.size != client.promised and client.seen.tries < _MOST_TRIES:
        client.head, client.promised = bytearray(), None
        client.seen.tries += 1
        try:
            client.sock = _asking(asked, client.number, client.seen.tries - 1, client.seen.size)
        except OSError:
            continue
        return True
    return False


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
