"""Our own ports by TLS: content is right, clients are known, certificates are renewed."""

import asyncio
import logging
import random
import socket
import ssl
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from regproxy.config import Address
from regproxy.config.tls import ServerTls
from regproxy.index.database import Database
from regproxy.index.retention import prepare
from regproxy.server import sockets
from regproxy.web.app import admin_port
from regproxy.web.tls import Certificates
from tests.fakes.authority import Authority, Pair
from tests.fakes.caller import Caller, raw_request
from tests.fakes.deeds import Lie, Stall
from tests.fakes.entry import on
from tests.fakes.registry import FakeRegistry
from tests.rig import LOOPBACK, Rig, rig

NAME = "library/app"
SIZE = 5_000_000
BLOB = random.Random(6).randbytes(SIZE)


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


def trusting(authority: Authority, client: Pair | None = None) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=authority.ca)
    if client is not None:
        context.load_cert_chain(client.certificate, client.key)
    return context


@asynccontextmanager
async def secured(tmp_path: Path, upstream: FakeRegistry, authority: Authority, pair: Pair, **more: str) -> AsyncIterator[Rig]:
    tls = {"certificate": str(pair.certificate), "key": str(pair.key), **more}
    async with rig(tmp_path / "store", {"docker.io": upstream.url}, tls=tls) as proxy:
        proxy.tls = trusting(authority)
        yield proxy


@pytest.fixture
async def proxy(tmp_path: Path, upstream: FakeRegistry, authority: Authority) -> AsyncIterator[Rig]:
    async with secured(tmp_path, upstream, authority, authority.issue("server")) as proxy:
        yield proxy


async def serial(proxy: Rig) -> int:
    """See which certificate a new connection is shown."""
    _, writer = await asyncio.open_connection(LOOPBACK, proxy.port, ssl=proxy.tls)
    shown = writer.get_extra_info("peercert")
    writer.close()
    return int(shown["serialNumber"], 16)


async def test_content_is_right_cold_in_flight_and_cached(upstream: FakeRegistry, proxy: Rig) -> None:
    """No sendfile there: every byte is read, encrypted and written."""
    path = f"/v2/{NAME}/blobs/{upstream.add_blob(NAME, BLOB)}"
    stall = Stall(SIZE // 2)
    upstream.misbehave(on("GET", "/blobs/"), stall)
    cold = asyncio.create_task(proxy.ask(path))
    await stall.reached.wait()
    following = [asyncio.create_task(proxy.ask(path)) for _ in range(5)]
    part = asyncio.create_task(proxy.ask(path, Range="bytes=100-3999999"))
    stall.event.set()
    assert [(await each).body == BLOB for each in (cold, *following)] == [True] * 6
    assert (await part).body == BLOB[100:4_000_000]
    await proxy.settled()
    assert (await proxy.ask(path)).body == BLOB
    for start, stop in ((0, 1), (SIZE - 1, SIZE), (1_048_575, 2_097_153), (262_143, 262_145)):
        answer = await proxy.ask(path, Range=f"bytes={start}-{stop - 1}")
        assert (answer.status, answer.body) == (206, BLOB[start:stop])


@pytest.mark.parametrize("size", [20_000, 100_000, 262_144])
async def test_a_small_blob_is_repeated_as_it_is(upstream: FakeRegistry, proxy: Rig, tmp_path: Path, size: int) -> None:
    path = f"/v2/{NAME}/blobs/{upstream.add_blob(NAME, BLOB[:size])}"
    for _ in range(2):
        assert (await proxy.ask(path)).body == BLOB[:size]
        await proxy.settled()
    assert (await proxy.ask(path)).status == 200
    index = await Database.open(tmp_path / "store" / "index.db", lambda connection: prepare(connection, []))
    await index.write("DROP TABLE content")
    await index.close()
    again = await proxy.ask(path)
    assert (again.headers["Cache-Status"], again.body) == ("regproxy; hit", BLOB[:size])


async def test_who_asks_for_more_than_it_takes_gets_all_of_it(upstream: FakeRegistry, proxy: Rig) -> None:
    count, size = 64, 200_000
    path = f"/v2/{NAME}/blobs/{upstream.add_blob(NAME, BLOB[:size])}"
    for _ in range(3):
        await proxy.ask(path)
        await proxy.settled()
    reader, writer = await asyncio.open_connection(LOOPBACK, proxy.port, ssl=proxy.tls)
    for _ in range(count):  # each alone in its record, as repeated requests are
        writer.write(raw_request(path))
        await writer.drain()
        await asyncio.sleep(0)
    async with asyncio.timeout(300):
        for _ in range(count):
            assert b"200 OK" in await reader.readuntil(b"\r\n\r\n")
            assert await reader.readexactly(size) == BLOB[:size]
    writer.close()


async def test_a_transfer_that_fails_ends_short_of_its_length(upstream: FakeRegistry, proxy: Rig) -> None:
    digest = upstream.add_blob(NAME, BLOB)
    upstream.misbehave(on("GET", "/blobs/"), Lie(bytes(SIZE)))
    answer = await proxy.ask(f"/v2/{NAME}/blobs/{digest}")
    assert (answer.is_whole, len(answer.body) < SIZE) == (False, True)


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
async def test_older_than_tls_1_2_is_refused(proxy: Rig) -> None:
    assert proxy.tls is not None
    proxy.tls.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
    proxy.tls.maximum_version = ssl.TLSVersion.TLSv1_1
    proxy.tls.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.raises((ssl.SSLError, ConnectionResetError)):
        await serial(proxy)


async def test_plain_http_gets_nothing(proxy: Rig) -> None:
    reader, writer = await asyncio.open_connection(LOOPBACK, proxy.port)
    writer.write(b"GET /v2/ HTTP/1.1\r\nHost: proxy\r\n\r\n")
    async with asyncio.timeout(300):
        assert b"HTTP/" not in await reader.read()
    writer.close()


async def test_only_who_our_authority_vouches_for_is_served(tmp_path: Path, upstream: FakeRegistry, authority: Authority) -> None:
    strangers = Authority(tmp_path, "strangers")
    async with secured(tmp_path, upstream, authority, authority.issue("server"), client_ca=str(authority.ca)) as proxy:
        for stranger in (None, strangers.issue("stranger")):
            proxy.tls = trusting(authority, stranger)
            with pytest.raises(aiohttp.ClientError):
                await proxy.ask("/v2/")
        proxy.tls = trusting(authority, authority.issue("client"))
        assert (await proxy.ask("/v2/")).status == 200


async def test_a_renewed_certificate_is_shown_from_the_next_connection_on(
    tmp_path: Path, upstream: FakeRegistry, authority: Authority
) -> None:
    pair = authority.issue("server")
    async with secured(tmp_path, upstream, authority, pair) as proxy:
        assert (await proxy.ask("/v2/")).status == 200
        before = await serial(proxy)
        authority.issue("server", into=pair)
        after = await serial(proxy)
        assert after != before
        assert (await proxy.ask("/v2/")).status == 200


async def test_a_renewed_authority_counts_from_the_next_connection_on(tmp_path: Path, upstream: FakeRegistry, authority: Authority) -> None:
    clients, others = Authority(tmp_path, "clients"), Authority(tmp_path, "others")
    trusted = tmp_path / "trusted.pem"
    trusted.write_bytes(clients.ca.read_bytes())
    async with secured(tmp_path, upstream, authority, authority.issue("server"), client_ca=str(trusted)) as proxy:
        trusted.write_bytes(others.ca.read_bytes() + b"\n")
        proxy.tls = trusting(authority, clients.issue("client"))
        with pytest.raises(aiohttp.ClientError):
            await proxy.ask("/v2/")
        proxy.tls = trusting(authority, others.issue("other"))
        assert (await proxy.ask("/v2/")).status == 200


def resumable(authority: Authority, client: Pair, version: ssl.TLSVersion) -> ssl.SSLContext:
    """Trust and be known, by one version of TLS: each resumes its sessions in a way of its own."""
    context = trusting(authority, client)
    context.minimum_version = context.maximum_version = version
    return context


def pinged(port: int, context: ssl.SSLContext, session: ssl.SSLSession | None = None) -> tuple[bytes, ssl.SSLSession | None, bool]:
    """Ask over a new connection, which may go on with an old session; give the answer, the session, and whether it was the old one."""
    with socket.create_connection((LOOPBACK, port), timeout=20) as plain:
        secured = context.wrap_socket(plain, server_hostname=LOOPBACK, session=session)
        try:
            secured.sendall(b"GET /v2/ HTTP/1.1\r\nHost: localhost\r\n\r\n")
            return secured.recv(65_536), secured.session, bool(secured.session_reused)
        finally:
            secured.close()


VERSIONS = pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=["TLS 1.2", "TLS 1.3"])


@asynccontextmanager
async def of_admin(tls: ServerTls) -> AsyncIterator[int]:
    """Serve an admin port by TLS, and give its number."""

    async def version(_: web.Request) -> web.Response:
        return web.Response(text="here")

    app = web.Application()
    app.router.add_get("/v2/", version)
    (listeners,) = sockets.opened(Address(LOOPBACK, 0))
    async with admin_port(app, listeners, tls):
        yield sockets.port(listeners)


@VERSIONS
@pytest.mark.parametrize("port", ["registry", "admin"])
async def test_n12_07_a_session_does_not_outlive_the_authority_of_its_client(
    tmp_path: Path, upstream: FakeRegistry, authority: Authority, version: ssl.TLSVersion, port: str
) -> None:
    clients, others = Authority(tmp_path, "clients"), Authority(tmp_path, "others")
    trusted, pair = tmp_path / "trusted.pem", authority.issue("server")
    trusted.write_bytes(clients.ca.read_bytes())
    tls = ServerTls(certificate=pair.certificate, key=pair.key, client_ca=trusted)
    async with secured(tmp_path, upstream, authority, pair, client_ca=str(trusted)) as proxy, of_admin(tls) as admin:
        number = proxy.port if port == "registry" else admin
        context = resumable(authority, clients.issue("client"), version)
        answer, session, _ = await asyncio.to_thread(pinged, number, context)
        assert answer.startswith(b"HTTP/1.1 200")
        trusted.write_bytes(others.ca.read_bytes() + b"\n")
        received = b""
        with suppress(OSError):
            received, _, _ = await asyncio.to_thread(pinged, number, context, session)
        assert received == b""
        answer, _, _ = await asyncio.to_thread(pinged, number, resumable(authority, others.issue("other"), version))
        assert answer.startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize("port", ["registry", "admin"])
async def test_n12_07_a_connection_ends_with_the_authority_of_its_client(
    tmp_path: Path, upstream: FakeRegistry, authority: Authority, port: str
) -> None:
    """At its next request; one that is repeated too, which is answered from memory."""
    clients, others = Authority(tmp_path, "clients"), Authority(tmp_path, "others")
    trusted, pair = tmp_path / "trusted.pem", authority.issue("server")
    trusted.write_bytes(clients.ca.read_bytes())
    tls = ServerTls(certificate=pair.certificate, key=pair.key, client_ca=trusted)
    upstream.add_image(NAME, "1", [b"layer"])
    path = f"/v2/{NAME}/manifests/1" if port == "registry" else "/v2/"
    async with secured(tmp_path, upstream, authority, pair, client_ca=str(trusted)) as proxy, of_admin(tls) as admin:
        number = proxy.port if port == "registry" else admin
        reader, writer = await asyncio.open_connection(LOOPBACK, number, ssl=trusting(authority, clients.issue("client")))
        caller = Caller(reader, writer)
        for _ in range(3):
            assert (await caller.ask(raw_request(path))).startswith(b"HTTP/1.1 200")
        authority.issue("server", into=pair)  # that of the server may change: the clients' stands
        assert (await caller.ask(raw_request(path))).startswith(b"HTTP/1.1 200")
        trusted.write_bytes(others.ca.read_bytes() + b"\n")
        writer.write(raw_request(path))
        async with asyncio.timeout(20):
            assert await reader.read() == b""
        writer.close()


async def test_n12_07_a_connection_ends_with_the_certificate_of_its_client(authority: Authority) -> None:
    now = [time.time()]
    pair = authority.issue("server")
    certificates = Certificates(ServerTls(certificate=pair.certificate, key=pair.key, client_ca=authority.ca), lambda: now[0])
    accepted: asyncio.Queue[asyncio.StreamWriter] = asyncio.Queue()
    server = await asyncio.start_server(lambda _, writer: accepted.put_nowait(writer), LOOPBACK, 0, ssl=certificates.context)
    async with server:
        number = server.sockets[0].getsockname()[1]
        _, writer = await asyncio.open_connection(LOOPBACK, number, ssl=trusting(authority, authority.issue("client")))
        ours = await accepted.get()
        assert certificates.is_trusted(ours.transport)
        now[0] += 2 * 86_400
        assert not certificates.is_trusted(ours.transport)
        writer.close()
        ours.close()


@pytest.mark.parametrize("damage", ["half renewed", "emptied", "removed"])
async def test_files_that_do_not_fit_leave_the_last_good_ones_in_use(
    tmp_path: Path, upstream: FakeRegistry, authority: Authority, caplog: pytest.LogCaptureFixture, damage: str
) -> None:
    pair = authority.issue("server")
    async with secured(tmp_path, upstream, authority, pair) as proxy:
        before = await serial(proxy)
        old_key = pair.key.read_bytes()
        match damage:
            case "half renewed":
                new = authority.issue("server", into=pair).key.read_bytes()
                pair.key.write_bytes(old_key)
            case "emptied":
                pair.certificate.write_bytes(b"")
            case _:
                pair.certificate.unlink()
        with caplog.at_level(logging.WARNING):
            assert [await serial(proxy) for _ in range(3)] == [before] * 3
        assert [record.message for record in caplog.records if record.name == "regproxy.web.tls"] == ["certificate not reloaded"]
        if damage == "half renewed":
            pair.key.write_bytes(new)
        else:
            authority.issue("server", into=pair)
        assert await serial(proxy) != before
