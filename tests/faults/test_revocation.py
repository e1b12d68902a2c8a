"""A repository that upstream takes away is closed for every worker."""

import asyncio
from pathlib import Path

import pytest

from tests.fakes.deeds import Status
from tests.fakes.program import Program
from tests.fakes.registry import FakeRegistry
from tests.pull.test_access import NAME, Images
from tests.rig import get


@pytest.fixture
def images(upstream: FakeRegistry) -> Images:
    return Images(upstream)


async def test_n12_06_every_worker_obeys(upstream: FakeRegistry, tmp_path: Path, images: Images) -> None:
    """What a worker repeats from its memory, too, over a connection that stays open."""
    entry = {"hosts": [{"url": upstream.url}], "tags": [{"match": "*", "fresh_for": "0s", "missing_for": "0s"}]}
    program = Program(tmp_path, {"docker.io": entry})
    paths = [path for method, path, headers in images.by_digest() if method == "GET" and not headers]
    async with program.running():
        for path in paths:
            for _ in range(20):
                assert (await program.ask(path))[0] == 200
        assert (await program.ask(images.tag))[0] == 200
        reader, writer = await asyncio.open_connection("127.0.0.1", program.port)
        request = get(paths[0]).replace(b"Connection: close\r\n", b"")
        for _ in range(3):
            assert await _status(reader, writer, request) == 200
        upstream.misbehave(f"/{NAME}/", Status(403))
        assert (await program.ask(images.tag))[0] == 403
        assert await _status(reader, writer, request) == 403
        writer.close()
        for path in paths:
            assert {(await program.ask(path))[0] for _ in range(20)} == {403}
        assert await program.metric("regproxy_repositories_closed_total") == 1
        assert program.log().count("repository closed: upstream refuses it") == 1
        upstream.behave()
        assert (await program.ask(images.tag))[0] == 200
        for path in paths:
            assert {(await program.ask(path))[0] for _ in range(20)} == {200}


async def _status(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: bytes) -> int:
    writer.write(request)
    head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 30)
    length = next(int(line.partition(b":")[2]) for line in head.splitlines() if line.lower().startswith(b"content-length"))
    await reader.readexactly(length)
    return int(head.split()[1])
