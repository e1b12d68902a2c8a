"""The webhook: two paths by https, and what is decided elsewhere.

Whoever reaches its port may send anything, while the API server is to be answered within a second. So connections, the bytes of reviews and
the values in them are bounded, shared between clients, and read within a time; what is large is parsed off the loop.
"""

import asyncio
import json
import logging
import signal
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

import aiohttp
from aiohttp import web

from regproxy.admission.digests import Digests
from regproxy.admission.review import (
    Exemptions,
    NotAReview,
    Review,
    allowed,
    denial,
    images_to_pin,
    parse_review,
    patch,
    refused,
)
from regproxy.client import client
from regproxy.config.tls import ServerTls
from regproxy.config.units import Address
from regproxy.oci.document import most_values
from regproxy.policy.clients.client_timeouts import ClientTimeouts
from regproxy.policy.clients.sharing import Share, client_key
from regproxy.policy.routing import Routes
from regproxy.slots import Slots
from regproxy.telemetry.log import fields
from regproxy.web.connection.server import RegistryServer
from regproxy.web.response_cache import ResponseCache
from regproxy.web.tls import Certificates

_MAX_REVIEW = 8 * 1024 * 1024  # bytes; etcd takes no object above 1.5 MiB, and a review has the old one too
_MAX_REVIEWS = 12 * 1024 * 1024  # bytes of all that are large; one client gets three quarters of it
_MAX_VALUES = 200_000  # of one review: as many as two Pods of 1.5 MiB have, each some hundred bytes of memory
_LARGE = 128 * 1024  # bytes; what is smaller, as nearly all are, waits for nobody and is parsed in a millisecond
_REVIEW_TIMEOUT = 5.0  # seconds for it to come; an API server waits for two
_QUESTIONS_TIMEOUT = 0.9  # seconds: a Pod waits a second at most
_MAX_QUESTIONS = 64  # connections to the cache
_MAX_CONNECTIONS = 256  # of clients; beyond that the one that is idle for longest is closed
_DRAIN = 5.0  # seconds

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Webhook:
    """What the webhook is given: rules, the namespaces it leaves alone, and where the cache is; *registry* None pins nothing."""

    routes: Routes
    exemptions: Exemptions
    registry: str | None = None


class Handler:
    """Answers POST /validate, POST /mutate and GET /healthz."""

    def __init__(self, webhook: Webhook, digests: Digests | None, timeout: float = _REVIEW_TIMEOUT) -> None:
        """Pin nothing where *digests* is None; a review has *timeout* seconds to come."""
        self._webhook = webhook
        self._digests = digests
        self._timeout = timeout
        self._room = Slots(Share.of(_MAX_REVIEWS))
        self._parser = ThreadPoolExecutor(1, "parser")

    async def __call__(self, request: web.BaseRequest) -> web.StreamResponse:
        client.set(client_key(request.remote or ""))
        match request.method, request.path:
            case "GET" | "HEAD", "/healthz":
                return web.Response(text="ok\n")
            case "POST", "/validate" | "/mutate":
                pass
            case _, "/validate" | "/mutate" | "/healthz":
                return web.Response(status=405)
            case _:
                return web.Response(status=404)
        try:
            review = await self._review(request)
        except NotAReview as error:
            return web.Response(status=400, text=f"{error}\n")
        except TimeoutError:
            return web.Response(status=503, text="too many reviews at once, or this one came too slowly\n", headers={"Connection": "close"})
        return await (self._validated(review) if request.path == "/validate" else self._mutated(review))

    async def _validated(self, review: Review) -> web.Response:
        reason = denial(review, self._webhook.exemptions, self._webhook.routes)
        if reason is None:
            return web.json_response(allowed(review))
        _log.info("pod denied", extra=fields(namespace=review.namespace, reason=reason))
        return web.json_response(refused(review, reason))

    async def _mutated(self, review: Review) -> web.Response:
        if self._digests is None:
            return web.json_response(allowed(review))
        pins = await self._digests.of(images_to_pin(review, self._webhook.exemptions, self._webhook.routes))
        return web.json_response(allowed(review, patch(review, pins)))

    async def _review(self, request: web.BaseRequest) -> Review:
        """Read and parse; raise `NotAReview`, or `TimeoutError` where it does not come in time, or others have all memory meanwhile."""
        async with AsyncExitStack() as room:
            async with asyncio.timeout(self._timeout):
                body = await self._read(request, room)
            if len(body) <= _LARGE:
                return _parsed(body)
            return await asyncio.get_running_loop().run_in_executor(self._parser, _parsed, body)

    async def _read(self, request: web.BaseRequest, room: AsyncExitStack) -> bytes:
        """Read a body; one that turns out to be large waits for memory, which is its own until *room* is left."""
        size = _MAX_REVIEW if request.content_length is None else request.content_length
        if size > _MAX_REVIEW:
            raise NotAReview(f"more than {_MAX_REVIEW} bytes")
        body, is_large = bytearray(), False
        async for chunk in request.content.iter_any():
            body += chunk
            if len(body) > _MAX_REVIEW:
                raise NotAReview(f"more than {_MAX_REVIEW} bytes")
            if len(body) > _LARGE and not is_large:
                await room.enter_async_context(self._room.held(weight=size))
                is_large = True
        return bytes(body)


def _parsed(body: bytes) -> Review:
    if most_values(body) > _MAX_VALUES:
        raise NotAReview(f"more than {_MAX_VALUES} values")
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        raise NotAReview("not JSON") from None
    return parse_review(document)


@asynccontextmanager
async def listening(webhook: Webhook, address: Address, tls: ServerTls) -> AsyncIterator[int]:
    """Serve the webhook at *address* by https, and give the port; the certificate's files are read again when they change."""
    timeouts, context = ClientTimeouts(connections=_MAX_CONNECTIONS), Certificates(tls).context
    connector = aiohttp.TCPConnector(limit=_MAX_QUESTIONS, ssl=False)  # what is answered is pulled, and verified, by digest
    async with aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(_QUESTIONS_TIMEOUT)) as session:
        digests = None if webhook.registry is None else Digests(session, webhook.registry, _QUESTIONS_TIMEOUT)
        server = RegistryServer(Handler(webhook, digests), timeouts, ResponseCache())
        host = None if address.host == "*" else address.host
        async with server.watchdog.running():
            listener = await asyncio.get_running_loop().create_server(
                server, host, address.port, ssl=context, ssl_handshake_timeout=timeouts.head
            )
            try:
                port: int = listener.sockets[0].getsockname()[1]
                yield port
            finally:
                listener.close()
                server.pre_shutdown()
                await server.shutdown(_DRAIN)


def run(webhook: Webhook, address: Address, tls: ServerTls, told: Callable[[str], None]) -> None:
    """Serve until SIGTERM or SIGINT; raise `OSError` where the address cannot be listened at."""

    async def serve() -> None:
        ended = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, ended.set)
        async with listening(webhook, address, tls) as port:
            told(f"serving the admission webhook at port {port}")
            await ended.wait()

    asyncio.run(serve())
