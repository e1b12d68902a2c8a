"""What one client may cost: slots, memory, questions to upstream. Each attack is on the real program."""

import asyncio
import json
import os
import socket
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from regproxy.oci.digest import Digest
from regproxy.oci.manifest import OCI_INDEX
from tests.fakes.caller import raw_request
from tests.fakes.deeds import Hold, Lie, Stall, Status
from tests.fakes.program import Program
from tests.fakes.registry import FakeRegistry
from tests.rig import LOOPBACK, get, rig

NAME = "library/app"
MIB = 1024 * 1024
OTHER = "127.0.0.2"  # another client
READERS = 200


@pytest.fixture(params=[1, 2], ids=["one worker", "two workers"])
async def program(request: pytest.FixtureRequest, upstream: FakeRegistry, tmp_path: Path) -> AsyncIterator[Program]:
    program = Program(tmp_path, {"docker.io": {"hosts": [{"url": upstream.url}]}}, workers=request.param)
    async with program.running():
        yield program
        assert "a worker died" not in program.log()


def most_memory(program: Program) -> int:
    """Tell how many bytes the workers have had at most, in all."""
    return sum(_most_memory(worker) for worker in program.workers())


def grown(program: Program, before: int) -> float:
    """Tell by how many MiB that has grown."""
    return (most_memory(program) - before) / MIB


def _most_memory(pid: int) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:"))


async def _deaf(port: int) -> socket.socket:
    """Connect a socket for which the kernel takes little."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    sock.setblocking(False)
    await asyncio.get_running_loop().sock_connect(sock, (LOOPBACK, port))
    return sock


@asynccontextmanager
async def unread(program: Program, requests: Iterable[bytes]) -> AsyncIterator[list[asyncio.StreamReader]]:
    """Send requests, each on a connection of its own, and read nothing of the answers."""
    clients = [await asyncio.open_connection(sock=await _deaf(program.port), limit=1) for _ in requests]
    for (_, writer), request in zip(clients, requests, strict=True):
        writer.write(request)
    try:
        yield [reader for reader, _ in clients]
    finally:
        for _, writer in clients:
            writer.transport.abort()


async def asked(program: Program, request: bytes, address: str = OTHER) -> bytes:
    """Ask from *address*, and give the answer as it came."""
    reader, writer = await asyncio.open_connection(LOOPBACK, program.port, local_addr=(address, 0))
    try:
        writer.write(request)
        async with asyncio.timeout(30):
            return await reader.read(-1)
    finally:
        writer.close()


def _path(digest: object) -> str:
    return f"/v2/{NAME}/blobs/{digest}"


async def test_n12_12_slow_readers_of_parts_leave_room_for_others(upstream: FakeRegistry, program: Program) -> None:
    size = 12 * MIB
    cold, other = upstream.add_blob(NAME, bytes(size)), upstream.add_blob(NAME, os.urandom(MIB))
    stall = Stall(500)  # of what comes before the parts
    upstream.misbehave(lambda entry: str(cold) in entry.path and entry.headers.get("range", "bytes=0-").startswith("bytes=0-"), stall)
    before = most_memory(program)
    requests = [raw_request(_path(cold), Range=f"bytes={1000 + number}-{size - 1}") for number in range(READERS)]
    async with unread(program, requests) as readers:
        answers = [asyncio.create_task(reader.readexactly(1)) for reader in readers]
        await asyncio.wait(answers, return_when=asyncio.FIRST_COMPLETED)
        await stall.reached.wait()
        assert (await asked(program, get(_path(cold), Range="bytes=100000-100009"))).startswith(b"HTTP/1.1 206 ")
        for address in (OTHER, LOOPBACK):
            assert (await asked(program, get(_path(other)), address)).startswith(b"HTTP/1.1 200 ")
        assert grown(program, before) < 160 * len(program.workers())
        assert upstream.count("GET", "blobs", str(cold)) < READERS / 2 * len(program.workers())
        assert most_memory(program) - before < 160 * MIB * len(program.workers())
        stall.event.set()
        for answer in answers:
            answer.cancel()


async def test_n12_12_many_who_want_a_thousand_parts_hold_nobody_up(upstream: FakeRegistry, program: Program) -> None:
    """All at once they would hold the loop for so long that the worker is taken for dead."""
    path = f"/v2/{NAME}/blobs/{upstream.add_blob(NAME, os.urandom(2 * MIB))}"
    assert (await asked(program, get(path))).startswith(b"HTTP/1.1 200 ")
    before, workers = most_memory(program), program.workers()
    parts = ",".join(f"{at * 2000}-{at * 2000 + 900}" for at in range(1024))
    async with unread(program, [raw_request(path, Range=f"bytes={parts}")] * 600) as readers:
        first = await asyncio.gather(*(reader.readexactly(12) for reader in readers))
        assert set(first) == {b"HTTP/1.1 206"}
        assert (await asked(program, get(path))).startswith(b"HTTP/1.1 200 ")
        assert program.workers() == workers
        assert grown(program, before) < 250 * len(workers)


def _index(size: int, number: int) -> bytes:
    """Write an index of about *size* bytes; nothing that it lists is in another."""
    listed = '{"mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": "sha256:%032x%032x", "size": 1}'
    count = (size - 200) // len(f"{listed % (0, 0)}, ")
    many = ", ".join(listed % (number, at) for at in range(count))
    return f'{{"schemaVersion": 2, "mediaType": "{OCI_INDEX}", "manifests": [{many}]}}'.encode()


def _tagged(upstream: FakeRegistry, tag: str, body: bytes) -> str:
    upstream.add_manifest(NAME, body, OCI_INDEX, tag)
    return f"/v2/{NAME}/manifests/{tag}"


async def test_n12_14_who_does_not_read_a_large_manifest_costs_little(upstream: FakeRegistry, program: Program) -> None:
    path = _tagged(upstream, "1", _index(4 * MIB, 1))
    assert (await asked(program, get(path))).startswith(b"HTTP/1.1 200 ")
    before = most_memory(program)
    async with unread(program, [raw_request(path)] * 100) as readers:
        await asyncio.gather(*(reader.readexactly(1) for reader in readers))
        assert (await asked(program, get(path))).startswith(b"HTTP/1.1 200 ")
        assert grown(program, before) < 100 * len(program.workers())


async def test_n12_14_who_asks_on_while_an_answer_is_due_costs_little(upstream: FakeRegistry, program: Program) -> None:
    upstream.misbehave("/manifests/", hold := Hold())
    request = raw_request(f"/v2/{NAME}/manifests/1", X_Long="a" * 60_000)
    before = most_memory(program)
    async with unread(program, [request * 100] * 60):
        await hold.reached.wait()
        assert (await asked(program, get("/v2/"))).startswith(b"HTTP/1.1 200 ")
        for _ in range(200):
            assert (await asked(program, get("/v2/"))).startswith(b"HTTP/1.1 200 ")
        assert grown(program, before) < 100
        hold.event.set()


async def test_n12_14_nor_of_many_large_manifests(upstream: FakeRegistry, program: Program) -> None:
    """Others have theirs; whom it is too much for is told when to come back.

    A worker has 32 MiB of documents on their way, 32 at hand, 64 for clients to take, and in another form what one of them lists.
    """
    paths = [_tagged(upstream, f"{number}", _index(4 * MIB - 4096, number)) for number in range(28)]
    before = most_memory(program)
    async with unread(program, [raw_request(path) for path in paths[1:]]) as readers:
        firsts = [asyncio.create_task(reader.readexactly(1)) for reader in readers]
        await asyncio.wait(firsts, return_when=asyncio.FIRST_COMPLETED)
        assert (await asked(program, get(paths[0]))).startswith(b"HTTP/1.1 200 ")
        await asyncio.gather(*firsts)
        assert grown(program, before) < 200 * len(program.workers())


async def test_n12_14_a_manifest_of_a_million_values_is_not_read(upstream: FakeRegistry, program: Program) -> None:
    """Each `{}` of three bytes would take seventy."""
    many = b",".join([b"{}"] * MIB)
    paths = [
        _tagged(
            upstream,
            f"{number}",
            b'{"schemaVersion": 2, "n": %d, "manifests": [%s]}' % (number, many),
        )
        for number in range(7)
    ]
    before = most_memory(program)
    answers = await asyncio.gather(*(asked(program, get(path)) for path in paths))
    assert {answer[:12] for answer in answers} == {b"HTTP/1.1 422"}
    assert grown(program, before) < 120 * len(program.workers())


async def test_n12_14_large_lists_of_tags_are_bounded(upstream: FakeRegistry, program: Program) -> None:
    lists = [json.dumps({"name": NAME, "tags": [f"{number:03}-{at:0120}" for at in range(47_000)]}).encode() for number in range(4)]
    for number in range(60):
        upstream.add_blob(f"library/app{number}", b"")
        upstream.misbehave(f"/app{number}/tags/", Lie(lists[number % len(lists)]))
    before = most_memory(program)
    paths = [f"/v2/library/app{number}/tags/list" for number in range(60)]
    async with unread(program, [raw_request(path) for path in paths]) as readers:
        firsts = [asyncio.create_task(reader.readexactly(1)) for reader in readers]
        await asyncio.wait(firsts, return_when=asyncio.FIRST_COMPLETED)
        await asyncio.gather(*firsts)
        assert grown(program, before) < 400 * len(program.workers())
    assert (await asked(program, get(paths[0]))).startswith(b"HTTP/1.1 200 ")


async def test_n12_15_what_does_not_exist_is_asked_for_as_often_as_is_allowed(upstream: FakeRegistry, tmp_path: Path) -> None:
    upstream.add_blob(NAME, b"blob")
    async with rig(tmp_path / "store", {"docker.io": upstream.url}, not_found_limit={"per_second": 0.001, "burst": 20}) as proxy:
        digests = [Digest.of(b"%d" % number) for number in range(400)]
        for _ in range(50):
            assert (await proxy.ask(_path(digests[0]))).status == 404
        assert len(upstream.ledger) < 10, "one digest is few questions"
        answers = await asyncio.gather(*(proxy.ask(_path(digest)) for digest in digests))
        assert {answer.status for answer in answers} == {404, 503}
        asked = {entry.reference for entry in upstream.ledger if entry.kind == "blobs"}
        assert len(asked) <= 21
        assert (await proxy.ask(_path(Digest.of(b"blob")))).status == 503


async def test_n12_15_what_is_refused_is_not_asked_for_at_each_request(upstream: FakeRegistry, tmp_path: Path) -> None:
    digest = upstream.add_blob(NAME, b"blob")
    upstream.misbehave("/blobs/", Status(403))
    async with rig(tmp_path / "store", {"docker.io": upstream.url}) as proxy:
        assert [(await proxy.ask(_path(digest))).status for _ in range(20)] == [403] * 20
        assert len([entry for entry in upstream.ledger if entry.kind == "blobs"]) < 5
