"""The webhook: two paths by https, and what is decided elsewhere."""

import asyncio
import logging
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
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
from regproxy.config.tls import ServerTls
from regproxy.config.units import Address
from regproxy.policy.routing import Routes
from regproxy.telemetry.log import fields
from regproxy.web.tls import Certificates

_MAX_REVIEW = 8 * 1024 * 1024  # bytes; etcd takes no object above 1.5 MiB, and a review has the old one too
_QUESTIONS_TIMEOUT = 0.9  # seconds: a Pod waits a second at most
_MAX_CONNECTIONS = 64  # to the cache
_DRAIN = 5.0  # seconds

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Webhook:
    """What the webhook is given: rules, the namespaces it leaves alone, and where the cache is; *registry* None pins nothing."""

    routes: Routes
    exemptions: Exemptions
    registry: str | None = None


def admission_app(webhook: Webhook) -> web.Application:
    """Make the application: POST /validate, POST /mutate, GET /healthz."""

    async def session(app: web.Application) -> AsyncIterator[None]:
        connector = aiohttp.TCPConnector(limit=_MAX_CONNECTIONS, ssl=False)  # what is answered is pulled, and verified, by digest
        async with aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(_QUESTIONS_TIMEOUT)) as opened:
            if webhook.registry is not None:
                app[digests] = Digests(opened, webhook.registry, _QUESTIONS_TIMEOUT)
            yield

    async def validate(request: web.Request) -> web.Response:
        review = await _review(request)
        reason = denial(review, webhook.exemptions, webhook.routes)
        if reason is None:
            return web.json_response(allowed(review))
        _log.info("pod denied", extra=fields(namespace=review.namespace, reason=reason))
        return web.json_response(refused(review, reason))

    async def mutate(request: web.Request) -> web.Response:
        review = await _review(request)
        if digests not in app:
            return web.json_response(allowed(review))
        pins = await app[digests].of(images_to_pin(review, webhook.exemptions, webhook.routes))
        return web.json_response(allowed(review, patch(review, pins)))

    async def alive(_: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    digests = web.AppKey("digests", Digests)
    app = web.Application(client_max_size=_MAX_REVIEW, middlewares=[_explained])
    app.cleanup_ctx.append(session)
    app.router.add_post("/validate", validate)
    app.router.add_post("/mutate", mutate)
    app.router.add_get("/healthz", alive)
    return app


@web.middleware
async def _explained(request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]) -> web.StreamResponse:
    try:
        return await handler(request)
    except NotAReview as error:
        return web.Response(status=400, text=f"{error}\n")


async def _review(request: web.Request) -> Review:
    try:
        document = await request.json()
    except (ValueError, RecursionError):
        raise NotAReview("not JSON") from None
    return parse_review(document)


@asynccontextmanager
async def listening(webhook: Webhook, address: Address, tls: ServerTls) -> AsyncIterator[int]:
    """Serve the webhook at *address* by https, and give the port; the certificate's files are read again when they change."""
    runner = web.AppRunner(admission_app(webhook), access_log=None, shutdown_timeout=_DRAIN)
    await runner.setup()
    try:
        host = None if address.host == "*" else address.host
        site = web.TCPSite(runner, host, address.port, ssl_context=Certificates(tls).context)
        await site.start()
        port: int = runner.addresses[0][1]
        yield port
    finally:
        await runner.cleanup()


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
