"""Our own ports by TLS: content is right, clients are known, certificates are renewed."""

import asyncio
import logging
import random
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

from tests.fakes.authority import Authority, Pair
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
    async with asyncio.timeout(20):
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
        assert [record.message for record in caplog.records if record.name == "regproxy.web.tls"] == ["a certificate was not renewed"]
        if damage == "half renewed":
            pair.key.write_bytes(new)
        else:
            authority.issue("server", into=pair)
        assert await serial(proxy) != before
