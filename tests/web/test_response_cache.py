"""A repeated request is answered as if it had been parsed, and only if it would be answered so again."""

import asyncio
import io
import json
import logging
import re
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from aiohttp.test_utils import make_mocked_request
from multidict import CIMultiDict

from regproxy.oci.descriptor import Descriptor
from regproxy.oci.digest import Digest
from regproxy.oci.manifest import OCI_MANIFEST
from regproxy.ports import Extent
from regproxy.telemetry.log import Lines
from regproxy.web.access_log import AccessLogEntry
from regproxy.web.buffered import BufferedResponse
from regproxy.web.context import RequestContext
from regproxy.web.response_cache import ResponseCache
from tests.fakes.caller import Caller, raw_request
from tests.fakes.deeds import Hold
from tests.fakes.registry import FakeRegistry
from tests.rig import LOOPBACK, Rig, metric, rig
from tests.web.connection.watched import until

NAME = "library/app"
TAG = f"/v2/{NAME}/manifests/1"
LAYERS = [b"layer", b"layer" * 20_000]  # in memory, and in its file
HIT = 'regproxy_requests_total{endpoint="manifests",outcome="hit",upstream="docker.io"}'
TIMES = 'regproxy_request_seconds_count{endpoint="manifests"}'


class Subject:
    """A proxy that holds an image, and a client of it."""

    def __init__(self, proxy: Rig, caller: Caller, upstream: FakeRegistry, image: Descriptor, now: list[float], root: Path) -> None:
        self.proxy = proxy
        self.caller = caller
        self.upstream = upstream
        self.image = image
        self.now = now
        self.root = root

    @property
    def read(self) -> int:
        """The requests that were read so far; those that were repeated are not."""
        return self.proxy.server.requests_count

    async def repeated(self, request: bytes) -> bytes:
        """Ask, and see to it that the answer was repeated."""
        before = self.read
        answer = await self.caller.ask(request)
        assert self.read == before, "it was read"
        return answer

    async def in_two(self, request: bytes, at: int = 9) -> bytes:
        """Ask in two pieces, which have to be read."""
        self.caller.writer.write(request[:at])
        await until(lambda: bool(self.proxy.server.watchdog._heads))
        self.caller.writer.write(request[at:])
        return await self.caller.answer(has_body=not request.startswith(b"HEAD"))


@pytest.fixture
async def subject(upstream: FakeRegistry, tmp_path: Path) -> AsyncIterator[Subject]:
    image = upstream.add_image(NAME, "1", LAYERS)
    now = [1000.0]
    async with rig(tmp_path / "store", {"docker.io": upstream.url}, lambda: now[0]) as proxy:
        assert (await proxy.ask(TAG)).status == 200
        async with Caller.connected(proxy.port) as caller:
            yield Subject(proxy, caller, upstream, image, now, tmp_path / "store")


def lasting(answer: bytes) -> bytes:
    """Leave out what is of one answer alone."""
    found, count = re.subn(rb"\r\n(Date|X-Request-Id): [^\r]+", rb"\r\n\1", answer)
    assert count == 2
    return found


def number(answer: bytes) -> bytes:
    return answer.partition(b"X-Request-Id: ")[2].partition(b"\r\n")[0]


ASKED = [
    pytest.param(raw_request(TAG), id="by tag"),
    pytest.param(raw_request(TAG, "HEAD"), id="HEAD"),
    pytest.param(raw_request(f"/v2/{NAME}/manifests/{{digest}}"), id="by digest"),
    pytest.param(raw_request(f"{TAG}?ns=docker.io"), id="with ns"),
    pytest.param(raw_request(f"/v2/docker.io/{NAME}/manifests/1", Accept="*/*", User_Agent="agent"), id="below a prefix"),
    pytest.param(raw_request(TAG, If_None_Match='"{digest}"'), id="not modified"),
    pytest.param(raw_request(TAG, If_None_Match='"other"'), id="modified"),
    pytest.param(raw_request(TAG, Range="bytes=0-1"), id="a range, which manifests have none of"),
    pytest.param(raw_request(TAG, Authorization="Basic YTpi"), id="credentials, which nobody asked for"),
    pytest.param(raw_request(TAG, Content_Length="0"), id="an empty body"),
]


@pytest.mark.parametrize("asked", ASKED)
async def test_what_is_repeated_is_what_is_answered_to_who_is_read(subject: Subject, asked: bytes) -> None:
    request = asked.replace(b"{digest}", str(subject.image.digest).encode())
    for _ in range(2):  # by digest the first is what is remembered
        first = await subject.caller.ask(request)
    second, third = await subject.repeated(request), await subject.repeated(request)
    assert lasting(first) == lasting(second) == lasting(third) == lasting(await subject.in_two(request))
    assert len({number(answer) for answer in (first, second, third)}) == 3


OTHERS = [
    pytest.param(raw_request(f"/v2/{NAME}/manifests/none"), id="an error"),
    pytest.param(raw_request("/v2/"), id="a ping"),
    pytest.param(raw_request(f"/v2/{NAME}/tags/list"), id="a list"),
    pytest.param(raw_request(TAG, "POST"), id="a write"),
    pytest.param(raw_request(TAG, X=2048 * "a"), id="a long head"),
    pytest.param(raw_request(TAG, Content_Length="4") + b"body", id="a body"),
    pytest.param(raw_request(TAG, Transfer_Encoding="chunked") + b"0\r\n\r\n", id="an empty body in chunks"),
    pytest.param(raw_request(TAG) + b"\r\n", id="something after the head"),
]


@pytest.mark.parametrize("request_", OTHERS)
async def test_all_else_is_read_each_time(subject: Subject, request_: bytes) -> None:
    before = subject.read
    for _ in range(3):
        await subject.caller.ask(request_)
        async with Caller.connected(subject.proxy.port) as other:
            await other.ask(request_)
    assert subject.read == before + 6


LAST = [
    pytest.param(raw_request(TAG, Connection="close"), id="close"),
    pytest.param(raw_request(TAG).replace(b"HTTP/1.1", b"HTTP/1.0"), id="1.0"),
    pytest.param(raw_request(TAG, Connection="upgrade", Upgrade="websocket"), id="another protocol"),
]


@pytest.mark.parametrize("request_", LAST)
async def test_who_wants_its_connection_closed_is_read(subject: Subject, request_: bytes) -> None:
    before = subject.read
    for _ in range(3):
        async with Caller.connected(subject.proxy.port) as caller:
            assert b"Connection: close" in await caller.ask(request_)
            assert await caller.reader.read() == b""
    assert subject.read == before + 3


async def test_an_answer_that_upstream_had_a_part_in_is_not_repeated(subject: Subject) -> None:
    subject.upstream.add_image(NAME, "2", [b"other"])
    request = raw_request(f"/v2/{NAME}/manifests/2")
    statuses = [(await subject.caller.ask(request)).partition(b"Cache-Status: ")[2].partition(b"\r\n")[0] for _ in range(3)]
    assert statuses == [b"regproxy; fwd=miss", b"regproxy; hit", b"regproxy; hit"]


async def _grow_old(subject: Subject) -> None:
    subject.now[0] += 301


async def _freeze(subject: Subject) -> None:
    other = subject.upstream.add_image(NAME, "2", [b"other"])
    assert (await subject.proxy.admin("freezes", "POST", {"pattern": f"docker.io/{NAME}:1", "digest": str(other.digest)}))[0] == 201


async def _remove(subject: Subject) -> None:
    assert (await subject.proxy.admin("store/remove", "POST", {"image": f"docker.io/{NAME}:1"}))[0] == 200


async def _move(subject: Subject) -> None:
    """Find out by another way that the tag moved."""
    subject.upstream.add_image(NAME, "1", [b"new"])
    subject.now[0] += 301
    assert (await subject.proxy.ask(TAG)).status == 200
    subject.now[0] -= 1


@pytest.mark.parametrize("change", [_grow_old, _freeze, _remove, _move])
async def test_what_stands_no_longer_is_not_repeated(subject: Subject, change: Callable[[Subject], Awaitable[None]]) -> None:
    for _ in range(2):
        old = await subject.caller.ask(raw_request(TAG))
    await subject.repeated(raw_request(TAG))
    await change(subject)
    before = subject.read
    new = await subject.caller.ask(raw_request(TAG))
    assert subject.read == before + 1
    assert lasting(new) != lasting(old)


async def test_what_was_frozen_and_let_go_is_as_before(subject: Subject) -> None:
    hits = [await subject.caller.ask(raw_request(TAG)) for _ in range(2)]
    await _freeze(subject)
    frozen = [await subject.caller.ask(raw_request(TAG)) for _ in range(3)]
    assert b"detail=frozen" in await subject.repeated(raw_request(TAG))
    assert {lasting(answer) for answer in hits}.isdisjoint(lasting(answer) for answer in frozen)
    assert (await subject.proxy.admin(f"freezes?pattern=docker.io/{NAME}:1", "DELETE"))[0] == 204
    assert lasting(await subject.caller.ask(raw_request(TAG))) == lasting(hits[1])


@pytest.fixture(params=LAYERS, ids=["in memory", "in a file"])
def layer(request: pytest.FixtureRequest) -> bytes:
    body: bytes = request.param
    return body


@pytest.fixture
async def blob(subject: Subject, layer: bytes) -> bytes:
    """Ask for a small blob until its response is repeated; return the request."""
    request = raw_request(f"/v2/{NAME}/blobs/{Digest.of(layer)}")
    await subject.caller.ask(request)
    await subject.proxy.settled()
    read = await subject.caller.ask(request)
    assert lasting(read) == lasting(await subject.repeated(request)) == lasting(await subject.repeated(request))
    assert read.endswith(b"\r\n\r\n" + layer)
    assert b"Cache-Status: regproxy; hit\r\n" in read
    return request


def _file(subject: Subject, layer: bytes) -> Path:
    (file,) = (path for path in subject.root.glob("blobs/sha256/*/*") if path.name.startswith(Digest.of(layer).hex))
    return file


@pytest.mark.parametrize(
    "harm",
    [
        pytest.param(lambda file: file.unlink(), id="missing"),
        pytest.param(lambda file: file.write_bytes(b""), id="emptied"),
        pytest.param(lambda file: file.write_bytes(b"lay"), id="truncated"),
        pytest.param(lambda file: file.write_bytes(file.read_bytes() + b" and more"), id="grown"),
        pytest.param(lambda file: file.chmod(0), id="put aside"),
    ],
)
async def test_a_small_blob_is_not_repeated_when_its_file_is_not_what_it_was(
    subject: Subject, blob: bytes, layer: bytes, harm: Callable[[Path], object]
) -> None:
    harm(_file(subject, layer))
    before = subject.read
    assert (await subject.caller.ask(blob)).endswith(b"\r\n\r\n" + layer), "it was fetched again"
    assert subject.read == before + 1


async def test_a_small_blob_is_not_repeated_when_it_was_removed(subject: Subject, blob: bytes) -> None:
    await _remove(subject)
    before = subject.read
    await subject.caller.ask(blob)
    assert subject.read == before + 1


async def test_a_small_blob_is_looked_for_anew_when_something_was_removed(subject: Subject, blob: bytes, layer: bytes) -> None:
    """Whether its repository holds it is for the index to say, whatever became of the file."""
    other = subject.upstream.add_image("library/other", "1", [layer, b"and more"])
    assert (await subject.proxy.ask("/v2/library/other/manifests/1")).body.count(b"sha256") == 3
    await subject.caller.ask(blob)
    await subject.repeated(blob)
    assert (await subject.proxy.admin("store/remove", "POST", {"image": f"docker.io/library/other@{other.digest}"}))[0] == 200
    before = subject.read
    answer = await subject.caller.ask(blob)
    assert subject.read == before + 1
    assert lasting(answer) == lasting(await subject.repeated(blob))


@pytest.mark.parametrize("more", [{"Range": "bytes=0-1"}, {"If_None_Match": "*"}], ids=["a part", "not modified"])
async def test_of_a_small_blob_only_the_whole_is_repeated(subject: Subject, blob: bytes, more: dict[str, str]) -> None:
    request = blob.removesuffix(b"\r\n") + raw_request("", **more).partition(b"Host: proxy\r\n")[2]
    before = subject.read
    answers = [await subject.caller.ask(request) for _ in range(3)]
    assert {answer[:12] for answer in answers} <= {b"HTTP/1.1 206", b"HTTP/1.1 304"}
    assert subject.read == before + 3


async def test_a_large_blob_is_not_repeated(subject: Subject) -> None:
    digest = subject.upstream.add_blob(NAME, bytes(256 * 1024 + 1))
    before = subject.read
    for _ in range(4):
        await subject.caller.ask(raw_request(f"/v2/{NAME}/blobs/{digest}"))
        await subject.proxy.settled()
    assert subject.read == before + 4


async def test_the_bytes_of_what_is_repeated_are_counted(subject: Subject, blob: bytes, layer: bytes) -> None:
    def sent(metrics: str) -> float:
        return metric(metrics, 'regproxy_sent_bytes_total{endpoint="blobs",source="hit"}')

    before = sent(await subject.proxy.metrics())
    await subject.repeated(blob)
    await subject.caller.ask(blob.replace(b"GET", b"HEAD", 1))
    assert sent(await subject.proxy.metrics()) == before + len(layer)


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    """Collect what is told of requests."""
    stream, access = io.StringIO(), logging.getLogger("regproxy.access")
    handler, level = Lines(stream), access.level
    logging.getLogger().addHandler(handler)
    access.setLevel(logging.INFO)
    yield stream
    logging.getLogger().removeHandler(handler)
    access.setLevel(level)


async def test_of_what_is_repeated_the_same_is_told(subject: Subject, log: io.StringIO) -> None:
    def counted(metrics: str) -> list[float]:
        return [float(line.rpartition(" ")[2]) for line in metrics.splitlines() if line.startswith((HIT, TIMES))]

    before = counted(await subject.proxy.metrics())
    request = raw_request(TAG, User_Agent="agent")
    answers = [await subject.caller.ask(request), await subject.repeated(request), await subject.repeated(request)]
    for handler in logging.getLogger().handlers:
        handler.flush()
    lines = [json.loads(line) for line in log.getvalue().splitlines() if "regproxy.access" in line]
    assert [line.pop("request_id") for line in lines] == [number(answer).decode() for answer in answers]
    assert all(line.pop("time") and line.pop("seconds") >= 0 for line in lines)
    assert lines[0] == lines[1] == lines[2]
    assert (lines[2]["agent"], lines[2]["client"], lines[2]["outcome"]) == ("agent", "127.0.0.1", "hit")
    assert [after - was for was, after in zip(before, counted(await subject.proxy.metrics()), strict=True)] == [3, 3]


async def test_each_client_that_asks_at_once_is_told_of(subject: Subject, log: io.StringIO) -> None:
    request = raw_request(TAG, User_Agent="agent")
    async with AsyncExitStack() as stack:
        callers = [await stack.enter_async_context(Caller.connected(subject.proxy.port)) for _ in range(5)]
        for caller in callers:
            await caller.ask(request)
        before, read = await _hits(subject), subject.read
        for caller in callers:
            caller.writer.write(request)
        answers = [await caller.answer() for caller in callers]
    assert subject.read == read, "they were repeated"
    assert await _hits(subject) == before + 5
    for handler in logging.getLogger().handlers:
        handler.flush()
    told = {json.loads(line)["request_id"] for line in log.getvalue().splitlines() if "regproxy.access" in line}
    assert {number(answer).decode() for answer in answers} < told


async def _hits(subject: Subject) -> float:
    return sum(float(line.rpartition(" ")[2]) for line in (await subject.proxy.metrics()).splitlines() if line.startswith(HIT))


async def test_what_is_repeated_counts_as_used(subject: Subject) -> None:
    """Or the most wanted image would be the first to be swept."""

    async def unused() -> int:
        url = f"http://{LOOPBACK}:{subject.proxy.admin_port}/api/v1/store/collect"
        async with subject.proxy.session.post(url, json={"unused_for": 50.0, "dry_run": True}) as response:
            last = (await response.text()).splitlines()[-1]
        return len(json.loads(last)["result"]["removed"])

    await subject.caller.ask(raw_request(TAG))
    assert await unused() == 0
    subject.now[0] += 100
    assert await unused() == 1
    await subject.repeated(raw_request(TAG))
    assert await unused() == 0


class TestTurns:
    """Within a turn of the event loop nothing changes that an answer depends on, but for what must be open."""

    async def test_whether_an_answer_is_current_is_asked_once_and_each_use_is_counted(self) -> None:
        asked: list[bool] = []
        uses: list[int] = []
        current = True

        def is_current() -> bool:
            asked.append(current)
            return current

        request, context = make_mocked_request("GET", "/v2/"), RequestContext()
        response = BufferedResponse(200, CIMultiDict({"Content-Type": "text/plain"}), b"body", is_current, uses.append)
        context.decorate(response.headers)
        cache = ResponseCache()
        cache.learn(b"request", request, response, AccessLogEntry(request, context, response))
        assert uses == [], "nobody got it again"
        for turn in (1, 2):
            asked.clear()
            answers = [cache.answer(b"request", "client", 0) for _ in range(3)]
            assert [answer is not None and answer.written.endswith(b"body") for answer in answers] == [True] * 3
            assert len(asked) == 1
            await asyncio.sleep(0)
            assert uses == [3] * turn
        current = False
        assert cache.answer(b"request", "client", 0) is None
        await asyncio.sleep(0)
        assert uses == [3, 3]

    async def test_a_file_that_is_closed_meanwhile_is_not_sent(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_bytes(b"body")
        request, context, cache = make_mocked_request("GET", "/v2/"), RequestContext(), ResponseCache()
        with (tmp_path / "file").open("rb", buffering=0) as file:
            response = BufferedResponse(200, CIMultiDict(), Extent(file, 0, 4), lambda: True)
            context.decorate(response.headers)
            cache.learn(b"request", request, response, AccessLogEntry(request, context, response))
            assert cache.answer(b"request", "client", 4) is not None
        assert cache.answer(b"request", "client", 4) is None


class TestOnTheWire:
    """What is repeated must be all that a client sent, and its turn."""

    async def test_requests_that_come_together_are_read_and_answered_in_their_order(self, subject: Subject) -> None:
        caller, request = subject.caller, raw_request(TAG)
        await caller.ask(request)
        await subject.repeated(request)
        before = subject.read
        caller.writer.write(request + raw_request("/v2/") + request)
        answers = [await caller.answer() for _ in range(3)]
        assert [b"vnd.oci" in answer for answer in answers] == [True, False, True]
        assert subject.read == before + 3
        await caller.ask(request)
        await subject.repeated(request)

    async def test_nobody_is_answered_before_who_asked_earlier(self, subject: Subject) -> None:
        caller, gate = subject.caller, Hold()
        await caller.ask(raw_request(TAG))
        await subject.repeated(raw_request(TAG))
        subject.upstream.misbehave("/manifests/none", gate)
        caller.writer.write(raw_request(f"/v2/{NAME}/manifests/none"))
        await gate.reached.wait()
        caller.writer.write(raw_request(TAG))
        assert (await subject.proxy.ask(TAG)).status == 200, "others are not held up"
        gate.event.set()
        assert (await caller.answer()).startswith(b"HTTP/1.1 404 ")
        assert lasting(await caller.answer()) == lasting(await caller.ask(raw_request(TAG)))

    async def test_what_is_asked_meanwhile_does_not_get_the_answer_before_it(self, subject: Subject) -> None:
        caller, second = subject.caller, raw_request(f"/v2/{NAME}/manifests/2")
        await _freeze(subject)  # and so the index has to be asked again
        before = subject.read
        caller.writer.write(raw_request(TAG))
        await until(lambda: subject.read > before)
        caller.writer.write(second)
        for _ in range(2):
            await caller.answer()
        assert b"detail=frozen" not in await caller.ask(second)

    async def test_a_request_of_several_pieces_leaves_the_connection_as_it_was(self, subject: Subject) -> None:
        await subject.caller.ask(raw_request(TAG))
        await subject.in_two(raw_request(TAG))
        await subject.repeated(raw_request(TAG))

    async def test_who_does_not_read_is_not_repeated_to(self, subject: Subject) -> None:
        """What it was sent would wait in memory; the ordinary way waits for it to be taken."""
        request, size = raw_request(f"/v2/{NAME}/manifests/large"), 24 * 1024
        body = {"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": {}, "layers": [], "annotations": {"a": size * "a"}}
        subject.upstream.add_manifest(NAME, json.dumps(body).encode(), OCI_MANIFEST, "large")
        for _ in range(2):
            await subject.caller.ask(request)
        await subject.repeated(request)
        others = set(subject.proxy.server.watchdog._checks)
        async with Caller.connected(subject.proxy.port, takes=4096) as deaf:  # a kernel takes megabytes, and minutes for them
            assert isinstance(deaf.writer.transport, asyncio.Transport)
            deaf.writer.transport.pause_reading()
            await until(lambda: subject.proxy.server.watchdog._checks.keys() > others)
            (wire,) = (each.wire for each in subject.proxy.server.watchdog._checks if each not in others)
            wire.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
            before = subject.read
            deaf.writer.write(request)
            await until(lambda: wire.get_write_buffer_size() > 0)
            assert subject.read == before, "it was not repeated"
            waiting = wire.get_write_buffer_size()
            deaf.writer.write(request)
            await until(lambda: subject.read > before or wire.get_write_buffer_size() > waiting)
            assert subject.read == before + 1, "it was repeated"
            for _ in range(20):
                deaf.writer.write(request)
                await subject.caller.ask(raw_request("/v2/"))
            assert wire.get_write_buffer_size() < 65536 + 2 * size

    @pytest.mark.parametrize("layer", LAYERS[1:], ids=["in a file"], indirect=True)
    async def test_who_reads_late_has_every_byte_of_a_file(self, subject: Subject, blob: bytes, layer: bytes) -> None:
        """What the kernel does not take waits in memory, so the next request is read, and waits for it to be taken."""
        others = set(subject.proxy.server.watchdog._checks)
        async with Caller.connected(subject.proxy.port, takes=4096) as late:
            assert isinstance(late.writer.transport, asyncio.Transport)
            late.writer.transport.pause_reading()
            await until(lambda: subject.proxy.server.watchdog._checks.keys() > others)
            (connection,) = (each for each in subject.proxy.server.watchdog._checks if each not in others)
            connection.wire.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
            before = subject.read
            late.writer.write(blob)
            await until(lambda: connection.wire.get_write_buffer_size() > 0)
            assert subject.read == before, "it was not repeated"
            assert 0 < subject.proxy.server.watchdog._lent_bytes <= len(layer)
            late.writer.write(blob)
            await until(lambda: subject.read > before)
            late.writer.transport.resume_reading()
            for _ in range(2):
                assert (await late.answer()).endswith(b"\r\n\r\n" + layer)
            late.writer.write(blob)
            assert (await late.answer()).endswith(b"\r\n\r\n" + layer)
        await until(lambda: connection not in subject.proxy.server.watchdog._checks)
        assert subject.proxy.server.watchdog._lent_bytes == 0

    async def test_who_is_to_leave_is_told(self, subject: Subject) -> None:
        await subject.caller.ask(raw_request(TAG))
        assert b"Connection" not in await subject.repeated(raw_request(TAG))
        subject.proxy.server.is_leaving = True
        assert b"Connection: close" in await subject.caller.ask(raw_request(TAG))
        assert await subject.caller.reader.read() == b""
