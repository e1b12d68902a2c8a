"""What a worker does, whichever process it runs in."""

import asyncio
from pathlib import Path

import pytest

from regproxy.config import Address, load
from regproxy.fleet.memory import NullFleet
from regproxy.ports import StoreError
from regproxy.server import sockets
from regproxy.server.answering import answering
from regproxy.server.status import WorkerStatus
from regproxy.wiring import kept
from tests.rig import LOOPBACK, get, raw


async def test_it_answers_and_reports_until_all_is_over(tmp_path: Path) -> None:
    file = tmp_path / "regproxy.yaml"
    file.write_text(f"{{store: {{root: {tmp_path / 'store'}}}, drain: 1s}}")
    settings = load(file, {})
    (listeners,) = sockets.opened(Address(LOOPBACK, 0))
    reports: list[WorkerStatus] = []
    heard = asyncio.Event()

    def report(status: WorkerStatus) -> None:
        reports.append(status)
        heard.set()

    async with kept(settings):
        async with answering(settings, listeners, NullFleet(), None, report) as server:
            assert reports == []
            await asyncio.wait_for(heard.wait(), 300)
            assert (await raw(sockets.port(listeners), get("/v2/"))).received.startswith(b"HTTP/1.1 200 ")
        assert server.is_leaving
        assert reports[0].is_accepting
        assert "docker.io" in reports[0].upstreams
        assert [each.fileno() for each in listeners] == [-1]


async def test_a_store_that_is_not_there_leaves_no_socket_open(tmp_path: Path) -> None:
    file = tmp_path / "regproxy.yaml"
    file.write_text(f"{{store: {{root: {tmp_path / 'absent'}}}}}")
    (listeners,) = sockets.opened(Address(LOOPBACK, 0))
    with pytest.raises((StoreError, OSError)):
        async with answering(load(file, {}), listeners, NullFleet(), None, lambda _: None):
            pass
    assert [each.fileno() for each in listeners] == [-1]
