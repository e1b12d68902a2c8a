"""Requests that are odd, hostile or hard to end, as raw bytes: rows S33 to S36, C01, C04, C08, C09, C14."""

import asyncio
import re
import select
import socket
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
import yaml
from aiohttp.http_parser import HttpRequestParser, HttpRequestParserC

from regproxy.policy.clients.client_timeouts import ClientTimeouts
from tests.clients.processes import Daemon, is_listening
from tests.clients.programs import program
from tests.fakes.caller import Caller, raw_request
from tests.fakes.deeds import Hold
from tests.fakes.registry import FakeRegistry
from tests.fakes.sockets import RawServer
from tests.free_port import free_port
from tests.rig import LOOPBACK, Raw, Rig, get, raw, rig

NAME = "library/app"
PING = raw_request("/v2/")
LAST = get("/v2/")


def answers(said: Raw) -> list[int]:
    """List the statuses of all answers on a connection."""
    return [int(status) for status in re.findall(rb"HTTP/1\.[01] (\d{3}) ", said.received)]


def test_s34_requests_are_read_by_the_parser_in_c() -> None:
    """Several holes were in the one in Python only."""
    assert HttpRequestParser is HttpRequestParserC


# What may be read in two ways, followed by what would be a second request in one of them.
SMUGGLED = b"GET /v2/smuggled HTTP/1.1\r\nHost: proxy\r\n\r\n"
HEAD = b"GET /v2/ HTTP/1.1\r\nHost: proxy\r\n"
CORPUS = [
    pytest.param(HEAD + b"Content-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + SMUGGLED, id="length and chunks"),
    pytest.param(HEAD + b"Transfer-Encoding: chunked\r\nContent-Length: 6\r\n\r\n0\r\n\r\n" + SMUGGLED, id="chunks and length"),
    pytest.param(HEAD + b"Content-Length: 0\r\nContent-Length: 44\r\n\r\n" + SMUGGLED, id="two lengths"),
    pytest.param(HEAD + b"Content-Length: 0, 44\r\n\r\n" + SMUGGLED, id="two lengths in one"),
    pytest.param(HEAD + b"Content-Length: +0\r\n\r\n" + SMUGGLED, id="a sign"),
    pytest.param(HEAD + b"Content-Length: -1\r\n\r\n" + SMUGGLED, id="a negative length"),
    pytest.param(HEAD + b"Content-Length: 0x0\r\n\r\n" + SMUGGLED, id="a length in hex"),
    pytest.param(HEAD + b"Content-Length: 0_0\r\n\r\n" + SMUGGLED, id="an underscore"),
    pytest.param(HEAD + b"Content-Length: \r\n\r\n" + SMUGGLED, id="no length at all"),
    pytest.param(HEAD + b"Content-Length : 0\r\n\r\n" + SMUGGLED, id="a space before the colon"),
    pytest.param(HEAD + b"Content-Length\x00: 0\r\n\r\n" + SMUGGLED, id="NUL in a name"),
    pytest.param(HEAD + b"X: a\x00b\r\n\r\n" + SMUGGLED, id="NUL in a value"),
    pytest.param(HEAD + b"X: a\rb: c\r\n\r\n" + SMUGGLED, id="bare CR"),
    pytest.param(HEAD + b"Transfer-Encoding: xchunked\r\n\r\n" + SMUGGLED, id="xchunked"),
    pytest.param(HEAD + b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n" + SMUGGLED, id="chunked is not last"),
    pytest.param(HEAD + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + SMUGGLED, id="chunked twice"),
    pytest.param(HEAD + b"Transfer-Encoding: chunked\r\n\r\n+0\r\n\r\n" + SMUGGLED, id="a sign in a chunk"),
    pytest.param(HEAD + b"Transfer-Encoding: chunked\r\n\r\n0x0\r\n\r\n" + SMUGGLED, id="a prefix in a chunk"),
    pytest.param(HEAD + b"Transfer-Encoding: chunked\r\n\r\n0;a\nb\r\n\r\n" + SMUGGLED, id="LF in an extension"),
    pytest.param(HEAD + b"Transfer-Encoding: chunked\r\n\r\n1\r\nab\r\n0\r\n\r\n" + SMUGGLED, id="a chunk longer than it says"),
    pytest.param(HEAD + b"X: a\r\n folded\r\n\r\n" + SMUGGLED, id="a folded line"),
    pytest.param(HEAD + b" X: a\r\n\r\n" + SMUGGLED, id="a line that begins with a space"),
    pytest.param(HEAD + b"no colon\r\n\r\n" + SMUGGLED, id="no colon"),
    pytest.param(HEAD + b"Host: other\r\n\r\n" + SMUGGLED, id="two hosts"),
    pytest.param(b"GET /v2/ HTTP/0.9\r\n\r\n" + SMUGGLED, id="HTTP/0.9"),
    pytest.param(b"GET /v2/\r\n\r\n" + SMUGGLED, id="no version"),
    pytest.param(b"GET /v2/ HTTP/2.0\r\nHost: proxy\r\n\r\n" + SMUGGLED, id="HTTP/2.0"),
    pytest.param(b"GET /v2/ HTTP/1.1 \r\nHost: proxy\r\n\r\n" + SMUGGLED, id="a space after the version"),
    pytest.param(b"GET /v2/\x01 HTTP/1.1\r\nHost: proxy\r\n\r\n" + SMUGGLED, id="a control character in the path"),
    pytest.param(b"G\x00T /v2/ HTTP/1.1\r\nHost: proxy\r\n\r\n" + SMUGGLED, id="NUL in the method"),
    pytest.param(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + SMUGGLED, id="the preface of HTTP/2"),
]


@pytest.mark.parametrize("request_", CORPUS)
async def test_s34_what_could_be_read_in_two_ways_is_answered_once_and_ends_the_connection(proxy: Rig, request_: bytes) -> None:
    said = await raw(proxy.port, request_ + LAST)
    assert answers(said) in ([400], [505], [])
    assert not said.was_reset or answers(said) == []


async def test_s34_a_body_of_a_get_is_no_second_request(proxy: Rig) -> None:
    request = HEAD + b"Content-Length: %d\r\n\r\n" % len(SMUGGLED) + SMUGGLED
    assert answers(await raw(proxy.port, request + LAST)) == [200, 200]
    chunked = HEAD + b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n" % (len(SMUGGLED), SMUGGLED)
    assert answers(await raw(proxy.port, chunked + LAST)) == [200, 200]


MANIFEST = raw_request(f"/v2/{NAME}/manifests/1")
SPLIT_AT = [1, 4, len(MANIFEST) - 4, len(MANIFEST) - 3, len(MANIFEST) - 2, len(MANIFEST) - 1]


class TestRepeatedWords:
    """Row S34: what was answered before in the same words is repeated only where those words are a request."""

    @pytest.fixture
    async def caller(self, upstream: FakeRegistry, tmp_path: Path) -> AsyncIterator[Caller]:
        upstream.add_image(NAME, "1", [b"layer"])
        async with rig(tmp_path / "store", {"docker.io": upstream.url}) as proxy, Caller.connected(proxy.port) as caller:
            for _ in range(3):
                assert b" 200 OK" in await caller.ask(MANIFEST)
            assert proxy.server.requests_count < 3, "they are repeated by now"
            self.proxy = proxy
            yield caller

    async def say(self, caller: Caller, *pieces: bytes) -> None:
        """Send pieces, the next after the one before was read."""
        for piece in pieces:
            caller.writer.write(piece)
            assert (await self.proxy.ask("/v2/")).status == 200

    @pytest.mark.parametrize("at", SPLIT_AT)
    async def test_s34_in_two_pieces_they_are_one_request(self, caller: Caller, at: int) -> None:
        await self.say(caller, MANIFEST[:at], MANIFEST[at:])
        assert b"vnd.oci" in await caller.answer()
        async with Caller.connected(self.proxy.port) as other:
            with suppress(ConnectionError):  # it was refused
                await self.say(other, MANIFEST[at:], LAST)
                assert b"vnd.oci" not in await other.reader.read(), "what is no request by itself was learnt as one"

    @pytest.mark.parametrize("framing", [b"Content-Length: %d" % len(MANIFEST), b"Transfer-Encoding: chunked"])
    async def test_s34_in_a_body_they_are_its_bytes(self, caller: Caller, framing: bytes) -> None:
        chunk = b"%x\r\n" % len(MANIFEST) if b"chunked" in framing else b""
        end = b"\r\n0\r\n\r\n" if chunk else b""
        for _ in range(3):
            await self.say(caller, MANIFEST[:-2] + framing + b"\r\n\r\n", chunk + MANIFEST + end)
        await self.say(caller, LAST)
        assert answers(Raw(await caller.reader.read(), was_reset=False)) == [200] * 4

    @pytest.mark.parametrize("beginning", [b"GE", b"GET /v2/ HTTP/1.1\r\nHost: proxy\r\nX: ", b"GET /v2/"])
    async def test_s34_behind_a_beginning_they_are_the_rest_of_it(self, caller: Caller, beginning: bytes) -> None:
        await self.say(caller, beginning, MANIFEST)
        caller.writer.write_eof()
        assert b"vnd.oci" not in await caller.reader.read()

    @pytest.mark.parametrize("tail", [1, 2, 3, 4])
    async def test_s34_a_short_piece_may_end_a_request_and_begin_one(self, caller: Caller, tail: int) -> None:
        await self.say(caller, PING[:-tail], PING[-tail:] + b"GE", MANIFEST)
        caller.writer.write_eof()
        assert b"vnd.oci" not in await caller.reader.read()

    async def test_s34_after_another_protocol_was_asked_for_nothing_is_read(self, caller: Caller) -> None:
        """The answer says that it is the last one, and it is."""
        caller.writer.write(HEAD + b"Upgrade: websocket\r\nConnection: upgrade\r\n\r\n" + MANIFEST)
        said = await caller.reader.read()
        assert b"Connection: close" in said
        assert b"vnd.oci" not in said


NGINX = """
daemon off; master_process off; pid {folder}/pid; error_log {folder}/error.log;
events {{ worker_connections 64; }}
http {{
    access_log off; client_body_temp_path {folder}; proxy_temp_path {folder};
    fastcgi_temp_path {folder}; uwsgi_temp_path {folder}; scgi_temp_path {folder};
    upstream proxy {{ server 127.0.0.1:{behind}; keepalive 1; }}
    server {{
        listen 127.0.0.1:{port};
        location / {{ proxy_pass http://proxy; proxy_http_version 1.1; proxy_set_header Connection ""; }}
    }}
}}
"""


@contextmanager
def nginx(folder: Path, behind: int) -> Iterator[int]:
    """Run nginx before a port, with one connection that it keeps for all its clients."""
    port = free_port()
    (folder / "nginx.conf").write_text(NGINX.format(folder=folder, behind=behind, port=port))
    daemon = Daemon([program("nginx", "nginx"), "-p", folder, "-c", folder / "nginx.conf"], folder / "nginx.log")
    daemon.start(lambda: is_listening(port))
    try:
        yield port
    finally:
        daemon.stop()


async def test_c04_behind_nginx_nobody_gets_the_answer_to_anothers_question(proxy: Rig, tmp_path: Path) -> None:
    """All clients share one connection to us: a request that is read as two would leave an answer for the next of them."""
    with nginx(tmp_path, proxy.port) as port:
        for number, each in enumerate(CORPUS):
            (request,) = each.values
            assert isinstance(request, bytes)
            await raw(port, request + LAST)
            said = await raw(port, get(f"/v2/library/own-{number}/manifests/1"))
            assert f"docker.io/library/own-{number}:1 (404)".encode() in said.body, each.id


@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        pytest.param(HEAD + b"Content-Length: 5\r\nConnection: close\r\n\r\nhello", [200], id="a body"),
        pytest.param(HEAD + b"Content-Length: 5\r\nExpect: 100-continue\r\nConnection: close\r\n\r\nhello", [200], id="100-continue"),
        pytest.param(b"GET /v2/ HTTP/1.0\r\n\r\n", [200], id="HTTP/1.0"),
        pytest.param(b"GET http://elsewhere.example/v2/ HTTP/1.1\r\nHost: proxy\r\nConnection: close\r\n\r\n", [200], id="absolute form"),
        pytest.param(b"OPTIONS * HTTP/1.1\r\nHost: proxy\r\nConnection: close\r\n\r\n", [404], id="the server itself"),
        pytest.param(b"CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\nConnection: close\r\n\r\n", [404], id="a tunnel"),
        pytest.param(HEAD + b"Upgrade: websocket\r\nConnection: upgrade, close\r\n\r\n", [200], id="another protocol"),
    ],
)
async def test_c08_what_is_odd_but_plain_has_one_answer(proxy: Rig, request_: bytes, expected: list[int]) -> None:
    said = [status for status in answers(await raw(proxy.port, request_)) if status != 100]
    assert said == expected or (expected == [404] and len(said) == 1 and 400 <= said[0] < 500)


async def test_c08_without_a_host_the_default_upstream_is_asked(upstream: FakeRegistry, proxy: Rig) -> None:
    upstream.add_image(NAME, "1", [b"layer"])
    said = await raw(proxy.port, f"GET /v2/{NAME}/manifests/1 HTTP/1.0\r\n\r\n".encode())
    assert answers(said) == [200]


async def test_c09_pipelined_requests_are_bounded_and_all_answered(proxy: Rig) -> None:
    """A client that reads nothing is read no further; one that reads has all its answers."""
    reader, writer = await asyncio.open_connection(LOOPBACK, proxy.port)
    count = 5_000

    async def ask() -> None:
        for _ in range(count // 100):
            writer.write(PING * 100)
            await writer.drain()

    asking = asyncio.create_task(ask())
    found = 0
    async with asyncio.timeout(100):
        while found < count:
            found += (await reader.read(1 << 20)).count(b"HTTP/1.1 200")
        await asking
    writer.close()


@pytest.mark.parametrize("is_hit", [False, True], ids=["ping", "hit"])
async def test_c09_who_pipelines_and_does_not_read_is_not_read_either(upstream: FakeRegistry, proxy: Rig, is_hit: bool) -> None:
    digest = upstream.add_image(NAME, "1", [b"layer"]).digest
    request = raw_request(f"/v2/{NAME}/manifests/{digest}") if is_hit else PING
    _, writer = await asyncio.open_connection(LOOPBACK, proxy.port, limit=1024)
    writer.transport.set_write_buffer_limits(high=0)
    sent = 0
    with suppress(TimeoutError):
        while sent < 50_000_000:  # which would take a gigabyte of memory if it were read
            writer.write(request * 1000)
            await asyncio.wait_for(writer.drain(), 3)  # nothing is taken for so long
            sent += len(request) * 1000
    assert sent < 50_000_000
    assert (await proxy.ask("/v2/")).status == 200
    writer.transport.abort()


@pytest.mark.parametrize(
    "line",
    [
        pytest.param(b"X-Long: ", id="a header"),
        pytest.param(b"", id="a name"),
    ],
)
async def test_s35_a_head_without_end_is_cut_off(proxy: Rig, line: bytes) -> None:
    """Byte by byte, as a limit that holds for each segment alone would never be reached."""
    reader, writer = await asyncio.open_connection(LOOPBACK, proxy.port)
    writer.write(HEAD + line)
    received = asyncio.create_task(reader.read())
    sent = 0
    async with asyncio.timeout(100):
        while not received.done() and sent < 1_000_000:
            writer.write(b"a")
            sent += 1
            await asyncio.sleep(0)
    writer.close()
    assert sent < 1_000_000
    with suppress(ConnectionResetError):
        assert b" 400 Bad Request" in await received


async def test_s35_many_headers_are_refused(proxy: Rig) -> None:
    said = await raw(proxy.port, HEAD + b"".join(b"X-%d: a\r\n" % number for number in range(10_000)) + b"\r\n")
    assert answers(said) in ([400], [])


async def test_s35_trailers_and_tiny_chunks_are_not_kept(proxy: Rig) -> None:
    chunks = b"1\r\na\r\n" * 100_000
    trailers = b"".join(b"X-%d: a\r\n" % number for number in range(100_000))
    said = await raw(proxy.port, HEAD + b"Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n" + chunks + b"0\r\n" + trailers + b"\r\n")
    assert answers(said) in ([200], [400], [200, 400], [])


SPLIT = [
    pytest.param(b"HTTP/1.1 404 No\rSet-Cookie: a=b\r\nContent-Length: 0\r\n\r\n", id="reason"),
    pytest.param(b"HTTP/1.1 307 T\r\nLocation: http://127.0.0.1/\rSet-Cookie: a=b\r\nContent-Length: 0\r\n\r\n", id="Location"),
    pytest.param(b"HTTP/1.1 404 N\r\nContent-Type: a/b\x00\rSet-Cookie: a=b\r\nContent-Length: 0\r\n\r\n", id="Content-Type"),
    pytest.param(b'HTTP/1.1 200 OK\r\nDocker-Content-Digest: a"\x0bSet-Cookie: a=b\r\nContent-Length: 2\r\n\r\n{}', id="digest"),
    pytest.param(b"HTTP/1.1 429 N\r\nRetry-After: 5\rSet-Cookie: a=b\r\nContent-Length: 0\r\n\r\n", id="Retry-After"),
]


@pytest.mark.parametrize("answer", SPLIT)
async def test_s36_nothing_of_an_upstreams_head_becomes_ours(tmp_path: Path, answer: bytes) -> None:
    async with RawServer([answer]) as evil, rig(tmp_path / "store", {"docker.io": evil.url}) as proxy:
        for path in (f"/v2/{NAME}/manifests/1", f"/v2/{NAME}/blobs/sha256:{'a' * 64}", f"/v2/{NAME}/tags/list"):
            said = await raw(proxy.port, get(path))
            head = said.received.partition(b"\r\n\r\n")[0]
            assert b"cookie" not in head.lower()
            assert len(answers(said)) == 1


async def test_c14_who_shuts_down_sending_is_answered_from_upstream_too(upstream: FakeRegistry, proxy: Rig) -> None:
    digest = upstream.add_blob(NAME, b"blob")
    gate = Hold()
    upstream.misbehave("/blobs/", gate)
    reader, writer = await asyncio.open_connection(LOOPBACK, proxy.port)
    writer.write(get(f"/v2/{NAME}/blobs/{digest}"))
    writer.write_eof()
    await gate.reached.wait()
    gate.event.set()
    async with asyncio.timeout(300):
        assert (await reader.read()).endswith(b"\r\n\r\nblob")
    writer.close()


async def test_s37_guessing_names_costs_upstream_little_and_hits_nothing(upstream: FakeRegistry, tmp_path: Path) -> None:
    upstream.add_image(NAME, "1", [b"layer"])
    blob = upstream.add_blob(NAME, b"blob")
    hits = [f"/v2/{NAME}/manifests/1", f"/v2/{NAME}/blobs/{blob}", f"/v2/{NAME}/manifests/{upstream.repositories[NAME].tags['1']}"]
    async with rig(tmp_path / "store", {"docker.io": upstream.url}, not_found_limit={"per_second": 0.01, "burst": 20}) as proxy:
        for hit in hits:
            assert (await proxy.ask(hit)).status == 200
        await proxy.settled()
        before = len(upstream.ledger)
        guesses = [f"/v2/library/{number}/{kind}" for number in range(100) for kind in ("manifests/1", f"blobs/{blob}", "tags/list")]
        statuses = [(await proxy.ask(guess)).status for guess in guesses]
        assert (statuses.count(404), statuses.count(503)) == (20, 280)
        asked = len(upstream.ledger) - before
        assert asked <= 60, "each costs a few requests at most"
        assert {(await proxy.ask(hit)).status for hit in hits} == {200}
        assert len(upstream.ledger) - before == asked


class TestManySlowClients:
    """Rows C01 and S33: they are let go, and nobody else waits for them."""

    @pytest.fixture
    async def proxy(self, upstream: FakeRegistry, tmp_path: Path) -> AsyncIterator[Rig]:
        async with rig(tmp_path / "store", {"docker.io": upstream.url}, time.time, ClientTimeouts(head=3.0, progress=3.0)) as proxy:
            yield proxy

    @pytest.mark.parametrize("beginning", [b"", b"GET /v2/ HT", HEAD + b"X-a: "], ids=["silent", "a line", "a head"])
    async def test_c01_heads_that_never_end(self, upstream: FakeRegistry, proxy: Rig, beginning: bytes) -> None:
        upstream.add_image(NAME, "1", [b"layer"])
        slow = await asyncio.gather(*(asyncio.open_connection(LOOPBACK, proxy.port) for _ in range(500)))
        for _, writer in slow:
            writer.write(beginning)
        assert (await proxy.ask(f"/v2/{NAME}/manifests/1")).status == 200
        async with asyncio.timeout(300):
            await asyncio.gather(*(reader.read() for reader, _ in slow))
        for _, writer in slow:
            writer.close()
        assert 'regproxy_clients_dropped_total{reason="head"}' in await proxy.metrics()

    async def test_c02_readers_that_take_nothing_slow_nobody_and_are_dropped(self, upstream: FakeRegistry, proxy: Rig) -> None:
        """One of them is who began the fill."""
        body = bytes(24 * 1024 * 1024)  # more than the kernel takes for a client that does not read
        path = f"/v2/{NAME}/blobs/{upstream.add_blob(NAME, body)}"
        stuck = [await asyncio.to_thread(_asking, proxy.port, get(path)) for _ in range(3)]
        assert (await proxy.ask(path)).body == body
        await proxy.settled()
        assert await asyncio.gather(*(asyncio.to_thread(_is_reset, client) for client in stuck)) == [True] * 3
        for client in stuck:
            client.close()


def _asking(port: int, request: bytes) -> socket.socket:
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.connect((LOOPBACK, port))
    client.sendall(request)
    return client


def _is_reset(client: socket.socket) -> bool:
    """Wait for the end of a connection without reading from it."""
    poll = select.poll()
    poll.register(client, 0)
    return bool(poll.poll(30_000))


async def test_c11_more_idle_clients_than_descriptors_keep_nobody_out(upstream: FakeRegistry, tmp_path: Path) -> None:
    upstream.add_image(NAME, "1", [b"layer"])
    port = free_port()
    document = {
        "listen": f"{LOOPBACK}:{port}",
        "admin_listen": f"{LOOPBACK}:{free_port()}",
        "workers": 1,
        "store": {"root": str(tmp_path / "store")},
        "upstreams": {"docker.io": {"hosts": [{"url": upstream.url}]}},
    }
    (tmp_path / "regproxy.yaml").write_text(yaml.safe_dump(document))
    command: list[str | Path] = [
        "prlimit",
        "--nofile=300:300",
        sys.executable,
        "-m",
        "regproxy",
        "serve",
        "--config",
        tmp_path / "regproxy.yaml",
    ]
    program = Daemon(command, tmp_path / "regproxy.log")
    await asyncio.to_thread(program.start, lambda: is_listening(port))
    idle = []
    try:
        for _ in range(500):
            reader, writer = await asyncio.open_connection(LOOPBACK, port)
            idle.append(writer)
            writer.write(PING)
            async with asyncio.timeout(300):
                assert (await reader.readuntil(b"{}")).startswith(b"HTTP/1.1 200")
        said = await raw(port, get(f"/v2/{NAME}/manifests/1"))
        assert answers(said) == [200]
    finally:
        for writer in idle:
            writer.close()
        await asyncio.to_thread(program.stop)


@pytest.mark.parametrize(
    "lines",
    [
        pytest.param([f"Authorization: Bearer {'a' * 70_000}"], id="one field"),
        pytest.param([f"X-{number}: {'a' * 8000}" for number in range(100)], id="many fields"),
    ],
)
async def test_n13_19_a_head_that_is_too_long_is_refused_in_the_form_of_oci(proxy: Rig, lines: list[str]) -> None:
    head = "\r\n".join(["GET /v2/ HTTP/1.1", "Host: proxy", *lines, "", ""]).encode()
    reader, writer = await asyncio.open_connection(LOOPBACK, proxy.port)
    writer.write(head[:65_000])
    assert (await proxy.ask("/v2/")).status == 200, "it has been read"
    writer.write(head[65_000:70_000])
    said = await asyncio.wait_for(reader.readuntil(b"}]}"), 20)
    writer.close()
    assert re.match(rb"HTTP/1\.[01] (400|431) ", said)
    assert b"application/json" in said
    assert (await proxy.ask("/v2/", Authorization=f"Bearer {'a' * 20_000}")).status == 200
