"""Names of Services, answered as a cluster's DNS does, from what the API server lists (RFC 1035)."""

import ipaddress
import socketserver
import struct
from collections.abc import Callable
from threading import Thread

_HEADER = struct.Struct("!6H")
_A, _NO_ERROR, _NO_SUCH_NAME = 1, 0x8580, 0x8583
DOMAIN = "cluster.local"


class Names:
    """A server at *address*; *find* returns the address of a Service of a namespace, or None."""

    def __init__(self, address: str, find: Callable[[str, str], str | None]) -> None:
        class Handler(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                asked, connection = self.request
                connection.sendto(_answer(asked, find), self.client_address)

        self._server = socketserver.ThreadingUDPServer((address, 53), Handler)
        self._server.daemon_threads = True
        Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()


def _answer(asked: bytes, find: Callable[[str, str], str | None]) -> bytes:
    number = _HEADER.unpack_from(asked)[0]
    labels, at = [], _HEADER.size
    while length := asked[at]:
        labels.append(asked[at + 1 : at + 1 + length].decode())
        at += 1 + length
    question = asked[_HEADER.size : at + 5]
    [kind] = struct.unpack_from("!H", asked, at + 1)
    found = None
    if len(labels) == 5 and ".".join(labels[2:]).lower() == f"svc.{DOMAIN}":
        found = find(labels[0].lower(), labels[1].lower())
    if found is None:
        return _HEADER.pack(number, _NO_SUCH_NAME, 1, 0, 0, 0) + question
    if kind != _A:
        return _HEADER.pack(number, _NO_ERROR, 1, 0, 0, 0) + question
    record = struct.pack("!HHHLH", 0xC00C, _A, 1, 5, 4) + ipaddress.IPv4Address(found).packed
    return _HEADER.pack(number, _NO_ERROR, 1, 1, 0, 0) + question + record
