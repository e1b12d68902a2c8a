"""Who may send a hook's request, and how long its body may take."""

import asyncio
from collections.abc import AsyncIterator

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from regproxy.policy.clients.token_bucket import Rate
from regproxy.policy.credential import Secret
from regproxy.policy.hooks.sources import Hook, Source
from regproxy.web.admin.hooks.reception import Reception

SECRET = "canary-of-a-hook-0123456789"


class Configured:
    """A hook, and nothing behind it."""

    def __init__(self, source: Source, secret: str | None, upstream: str) -> None:
        self.hook = Hook(source, None if secret is None else Secret(secret), upstream, Rate(1, 1))


async def served(reception: Reception, *hooks: Configured) -> TestServer:
    """Serve the bodies that *hooks* are sent, with the upstream of the hook that each is for."""

    async def answer(request: web.Request) -> web.StreamResponse:
        one, body = await reception.received(request, hooks)
        return web.Response(text=f"{one.hook.upstream} {len(body)}")

    app = web.Application()
    app.router.add_post("/", reception.refusing(hooks[0].hook.source, answer))
    server = TestServer(app)
    await server.start_server()
    return server


async def test_n18_11_the_secret_tells_which_of_several_hooks_is_meant() -> None:
    hooks = [Configured(Source.HARBOR, None, "open"), *(Configured(Source.HARBOR, f"{SECRET}{name}", name) for name in ("one", "two"))]
    async with await served(Reception(), *hooks) as server, aiohttp.ClientSession() as session:
        for shown, meant in ((f"{SECRET}two", "two 1"), (f"{SECRET}one", "one 1"), ("anything", "open 1")):
            async with session.post(server.make_url("/"), data=b"x", headers={"Authorization": shown}) as response:
                assert await response.text() == meant


@pytest.mark.parametrize(("source", "expected"), [(Source.GITHUB, 408), (Source.HARBOR, 401)])
async def test_n18_11_a_body_that_never_ends_is_waited_for_only_where_it_is_signed(source: Source, expected: int) -> None:
    async def endless() -> AsyncIterator[bytes]:
        yield b"{"
        await asyncio.Event().wait()

    async with (
        await served(Reception(timeout=0.05), Configured(source, SECRET, "one")) as server,
        aiohttp.ClientSession() as session,
        session.post(server.make_url("/"), data=endless()) as response,
    ):
        assert (response.status, list(await response.json())) == (expected, ["error"])
