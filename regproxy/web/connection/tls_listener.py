"""Accepts clients that begin with TLS or a PROXY header: handshakes in progress are bounded, in all and for each client.

A client that has not finished its handshake is nobody yet: no request of it is counted, and no watchdog knows it, but it takes 300 KiB.
Where all places are taken, who waits the longest has to go once it has had the time that a handshake takes on a slow line; until then new
clients wait in the kernel. Of a client that has too many, the oldest goes at once.
"""

import asyncio
import errno
import inspect
import logging
import ssl
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from socket import socket

from regproxy.policy.clients.forwarded import TrustedProxies
from regproxy.policy.clients.proxy_protocol import InvalidProxyHeader, header
from regproxy.policy.clients.sharing import Share, client_key
from regproxy.telemetry import metrics
from regproxy.telemetry.log import fields

_MAX_HANDSHAKES = Share.of(256)  # in progress at once, of a worker: some 80 MB
_GRACE = 2.0  # seconds: a handshake is two round trips and some milliseconds of a core
_AT_ONCE = 64  # connections accepted in one turn of the loop
_RETRY_AFTER = 1.0  # seconds, where there are no descriptors
_NO_RESOURCES = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Begun:
    """A handshake in progress: whose, and since when."""

    client: str
    connection: socket
    at: float


class TlsListener:
    """A listening socket whose clients begin with a handshake."""

    def __init__(
        self,
        sock: socket,
        context: ssl.SSLContext | None,
        factory: Callable[..., asyncio.BaseProtocol],
        timeout: float,
        share: Share = _MAX_HANDSHAKES,
        grace: float = _GRACE,
        proxies: TrustedProxies | None = None,
    ) -> None:
        """Make a protocol by *factory* for each client whose handshake ends within *timeout* seconds; `open` begins.

        *proxies* begin with a PROXY header, within the same time; *factory* is given the client that it names. No *context*: no TLS.
        """
        self._sock = sock
        self._context = context
        self._factory = factory
        self._timeout = timeout
        self._share = share
        self._grace = grace
        self._proxies = proxies
        self._loop = asyncio.get_running_loop()
        self._begun: dict[asyncio.Task[None], _Begun] = {}  # handshakes in progress, the oldest first
        self._clients: dict[str, dict[asyncio.Task[None], None]] = {}  # those of each client, the oldest first
        self._is_open = False
        self._timer: asyncio.TimerHandle | None = None  # runs while nobody is accepted

    def __repr__(self) -> str:
        return f"<TlsListener {len(self._begun)}/{self._share.most} handshakes, {len(self._clients)} clients>"

    def open(self) -> None:
        self._sock.settimeout(0.0)
        self._is_open = True
        self._loop.add_reader(self._sock, self._accept)

    def close(self) -> None:
        """Accept no more clients; those that were accepted go on."""
        if self._is_open:
            self._is_open = False
            self._loop.remove_reader(self._sock)
            self._sock.close()
            if self._timer is not None:
                self._timer.cancel()

    def _accept(self) -> None:
        for _ in range(_AT_ONCE):
            if len(self._begun) >= self._share.most and (wait := self._make_room()) > 0:
                self._pause(wait)
                return
            try:
                connection, address = self._sock.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                if error.errno not in _NO_RESOURCES:
                    raise
                _log.warning("cannot accept connections", extra=fields(reason=str(error)))
                self._pause(_RETRY_AFTER)
                return
            connection.settimeout(0.0)
            self._begin(connection, address[0])

    def _begin(self, connection: socket, address: str) -> None:
        is_proxy = self._proxies is not None and self._proxies.trusts(address)
        client = client_key(address)
        if not is_proxy:
            self._make_way(client)
        task = self._loop.create_task(self._shake_hands(connection, is_proxy=is_proxy))
        self._count(task, _Begun(client, connection, self._loop.time()))
        task.add_done_callback(self._ended)

    def _make_way(self, client: str) -> None:
        """Drop the oldest handshake of a client that has too many."""
        own = self._clients.get(client)
        if own and not self._share.may_take(len(self._begun), len(own)):
            self._drop(next(iter(own)))

    def _count(self, task: asyncio.Task[None], begun: _Begun) -> None:
        self._begun[task] = begun
        self._clients.setdefault(begun.client, {})[task] = None

    async def _shake_hands(self, connection: socket, *, is_proxy: bool) -> None:
        factory = self._factory
        try:
            if is_proxy and (client := await self._named(connection)):
                factory = partial(factory, client)
                self._hand_over(client_key(client))
            timeout = self._timeout if self._context is not None else None
            await self._loop.connect_accepted_socket(factory, connection, ssl=self._context, ssl_handshake_timeout=timeout)
        except InvalidProxyHeader as error:
            _log.warning("closed connection of a trusted proxy: no valid PROXY header", extra=fields(reason=str(error)))
        except (ConnectionAbortedError, TimeoutError):
            metrics.CLIENTS_DROPPED.labels("handshake").inc()  # it took too long
        except OSError:
            pass  # it left, or speaks something else

    async def _named(self, connection: socket) -> str:
        """Read the PROXY header of a connection, and return whose it is; empty where the proxy asks for itself.

        Close the connection where that does not do; raise `InvalidProxyHeader` or `OSError`.
        """
        reading, piece = header(), b""
        try:
            async with asyncio.timeout(self._timeout):
                wanted = next(reading)
                while more := await self._loop.sock_recv(connection, wanted - len(piece)):
                    piece += more
                    if len(piece) == wanted:
                        wanted, piece = reading.send(piece), b""
        except StopIteration as end:
            return end.value or ""
        except BaseException:
            connection.close()
            raise
        connection.close()
        raise ConnectionResetError

    def _hand_over(self, client: str) -> None:
        """Count the handshake in progress, which is a proxy's so far, as one of *client*."""
        task = asyncio.current_task()
        begun = self._begun.get(task) if task is not None else None
        if task is not None and begun is not None:
            self._forget(task)
            self._make_way(client)
            self._count(task, replace(begun, client=client))

    def _make_room(self) -> float:
        """Drop the oldest handshake, or return after how many seconds that is due."""
        oldest, begun = next(iter(self._begun.items()))
        wait = begun.at + self._grace - self._loop.time()
        if wait <= 0:
            self._drop(oldest)
        return wait

    def _drop(self, task: asyncio.Task[None]) -> None:
        metrics.CLIENTS_DROPPED.labels("handshake").inc()
        if inspect.getcoroutinestate(task.get_coro()) == inspect.CORO_CREATED:  # type: ignore[arg-type]  # a coroutine of ours
            self._begun[task].connection.close()  # it will never run
        self._forget(task)
        task.cancel()

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._forget(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._loop.call_exception_handler({"message": "a TLS handshake failed", "exception": error, "task": task})
        self._resume()

    def _forget(self, task: asyncio.Task[None]) -> None:
        begun = self._begun.pop(task, None)
        if begun is None:
            return
        own = self._clients[begun.client]
        del own[task]
        if not own:
            del self._clients[begun.client]

    def _pause(self, seconds: float) -> None:
        """Accept nobody for so long, or until a handshake ends."""
        self._loop.remove_reader(self._sock)
        self._timer = self._loop.call_later(seconds, self._resume)

    def _resume(self) -> None:
        if self._timer is not None and self._is_open:
            self._timer.cancel()
            self._timer = None
            self._loop.add_reader(self._sock, self._accept)
