"""Answers that take long."""

import asyncio
import json
from collections.abc import AsyncIterator

import aiohttp
import pytest
from aiohttp import web

from regproxy.maintenance.progress import JobProgress
from regproxy.ports import StoreError
from regproxy.web.admin.gate import OUTCOME
from regproxy.web.admin.long_work import told
from tests.rig import LOOPBACK


class Work:
    """A piece of work that a test ends."""

    def __init__(self) -> None:
        self.end: asyncio.Future[dict[str, object]] = asyncio.get_running_loop().create_future()
        self.begun, self.cancelled = asyncio.Event(), asyncio.Event()
        self.outcome: asyncio.Future[str | None] = asyncio.get_running_loop().create_future()
        self.url = ""

    async def run(self, progress: JobProgress) -> dict[str, object]:
        progress.total = 10
        progress.advance(4)
        self.begun.set()
        try:
            return await self.end
        except asyncio.CancelledError:
            self.cancelled.set()
            raise

    async def answer(self, request: web.Request) -> web.StreamResponse:
        try:
            return await told(request, self.run)
        finally:
            self.outcome.set_result(request.get(OUTCOME))


@pytest.fixture
async def work() -> AsyncIterator[Work]:
    found, app = Work(), web.Application()
    app.router.add_post("/", found.answer)
    runner = web.AppRunner(app, access_log=None, handler_cancellation=True)
    await runner.setup()
    await web.TCPSite(runner, LOOPBACK, 0).start()
    found.url = f"http://{LOOPBACK}:{runner.addresses[0][1]}/"
    yield found
    await runner.cleanup()


async def _lines(work: Work) -> list[dict[str, object]]:
    async with aiohttp.ClientSession() as session, session.post(work.url) as response:
        assert (response.status, response.content_type) == (200, "application/x-ndjson")
        return [json.loads(line) async for line in response.content]


async def test_progress_is_told_while_it_takes_and_the_result_comes_last(work: Work) -> None:
    async with aiohttp.ClientSession() as session, session.post(work.url) as response:
        assert json.loads(await response.content.readline()) == {"done": 4, "total": 10}
        work.end.set_result({"damaged": 0})
        rest = [json.loads(line) async for line in response.content]
    assert rest[-1] == {"result": {"damaged": 0}}
    assert await work.outcome == "done"


@pytest.mark.parametrize("error", [StoreError("the disk failed"), ValueError("no tar"), LookupError("no image")], ids=repr)
async def test_why_there_is_no_result_comes_last(work: Work, error: Exception) -> None:
    work.end.set_exception(error)
    assert (await _lines(work))[-1] == {"error": str(error)}
    assert await work.outcome == f"failed: {error}"


async def test_who_leaves_ends_the_work(work: Work) -> None:
    async with aiohttp.ClientSession() as session, session.post(work.url) as response:
        await work.begun.wait()
        response.close()
    await work.cancelled.wait()
    await work.outcome
