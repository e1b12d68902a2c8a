"""Clients behind proxies: limits, quotas and the access log are about them, and a stranger's word about itself is none."""

import asyncio
import io
import json
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.fakes.deeds import Hold
from tests.fakes.registry import FakeRegistry
from tests.rig import LOOPBACK, PATIENT, Rig, get, raw, rig

ONE, TWO = "203.0.113.7", "203.0.113.8"
NAME = "library/app"
PATH = f"/v2/{NAME}/manifests/1"


@asynccontextmanager
async def _behind(upstream: FakeRegistry, tmp_path: Path, client_from: str, address: str = LOOPBACK, **more: object) -> AsyncIterator[Rig]:
    proxies = {"addresses": [address], "client_from": client_from}
    upstream.add_image(NAME, "1", [b"layer"])
    async with rig(tmp_path / "store", {"docker.io": upstream.url}, trusted_proxies=proxies, **more) as running:
        yield running


def _clients(lines: io.StringIO) -> list[str]:
    """List who was logged to have asked for something, in their order."""
    for handler in logging.getLogger().handlers:
        handler.flush()
    told = (json.loads(line) for line in lines.getvalue().splitlines())
    return [str(each["client"]) for each in told if "endpoint" in each and "client" in each]


async def test_n19_07_a_repeated_request_is_logged_as_its_clients(upstream: FakeRegistry, tmp_path: Path, lines: io.StringIO) -> None:
    async with _behind(upstream, tmp_path, "x-forwarded-for") as proxy:
        reader, writer = await asyncio.open_connection(LOOPBACK, proxy.port)
        for client in (ONE, TWO, ONE, TWO, ONE):
            writer.write(f"HEAD {PATH} HTTP/1.1\r\nHost: proxy\r\nX-Forwarded-For: 1.2.3.4, {client}\r\n\r\n".encode())
            assert b"200" in await reader.readuntil(b"\r\n\r\n")
        writer.close()
        await proxy.ask(PATH)
    assert _clients(lines) == [ONE, TWO, ONE, TWO, ONE, LOOPBACK]


@pytest.mark.parametrize("client_from", ["x-forwarded-for", "forwarded"])
async def test_n19_07_each_client_behind_a_proxy_has_limits_of_its_own(upstream: FakeRegistry, tmp_path: Path, client_from: str) -> None:
    limit = {"per_second": 0.0001, "burst": 2}
    async with _behind(upstream, tmp_path, client_from, not_found_limit=limit) as proxy:

        async def ask(client: str, number: int) -> int:
            told = {"x-forwarded-for": client, "forwarded": f"for={client};proto=https"}[client_from]
            return (await proxy.ask(f"/v2/{NAME}/manifests/none{number}", **{client_from: told})).status

        assert [await ask(ONE, number) for number in range(3)] == [404, 404, 503]
        assert [await ask(TWO, number) for number in range(10, 12)] == [404, 404]


async def test_n19_07_a_strangers_header_is_ignored(upstream: FakeRegistry, tmp_path: Path, lines: io.StringIO) -> None:
    limit = {"per_second": 0.0001, "burst": 2}
    async with _behind(upstream, tmp_path, "x-forwarded-for", "10.9.9.9", not_found_limit=limit) as proxy:
        asked = [await proxy.ask(f"/v2/{NAME}/manifests/none{number}", X_Forwarded_For=f"203.0.113.{number}") for number in range(3)]
        assert [answer.status for answer in asked] == [404, 404, 503]
    assert set(_clients(lines)) == {LOOPBACK}


async def test_n19_07_a_quota_is_of_the_client_and_not_of_its_proxy(upstream: FakeRegistry, tmp_path: Path) -> None:
    quotas = [{"match": ONE, "connections": 1}]
    async with _behind(upstream, tmp_path, "x-forwarded-for", quotas=quotas, timeouts=PATIENT) as proxy:
        assert (await proxy.ask(PATH, X_Forwarded_For=ONE)).status == 200
        upstream.misbehave("/manifests/held", held := Hold())
        waiting = asyncio.create_task(proxy.ask(f"/v2/{NAME}/manifests/held", X_Forwarded_For=ONE))
        await held.reached.wait()
        statuses = [(await proxy.ask(PATH, X_Forwarded_For=client)).status for client in (ONE, TWO, TWO)]
        held.event.set()
        assert (await waiting).status == 404
    assert statuses == [429, 200, 200]


def _header(client: str, version: int) -> bytes:
    if version == 1:
        return f"PROXY TCP4 {client} 10.0.0.1 4711 5000\r\n".encode()
    octets = bytes(map(int, client.split("."))) + bytes([10, 0, 0, 1, 18, 103, 19, 136])
    return b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c" + octets


@pytest.mark.parametrize("version", [1, 2])
async def test_n19_07_a_connection_is_of_the_client_that_its_proxy_header_names(
    upstream: FakeRegistry, tmp_path: Path, lines: io.StringIO, version: int
) -> None:
    async with _behind(upstream, tmp_path, "proxy-protocol") as proxy:
        for client in (ONE, TWO):
            answer = await raw(proxy.port, _header(client, version) + get(PATH, X_Forwarded_For="1.2.3.4"))
            assert answer.received.startswith(b"HTTP/1.1 200")
        assert (await raw(proxy.port, get(PATH))).received == b"", "a connection of a proxy begins with the header"
        assert (await raw(proxy.port, b"PROXY TCP4 nobody\r\n" + get(PATH))).received == b""
    assert _clients(lines) == [ONE, TWO]
    assert "no valid PROXY header" in lines.getvalue()


async def test_n19_07_a_stranger_cannot_send_a_proxy_header(upstream: FakeRegistry, tmp_path: Path) -> None:
    async with _behind(upstream, tmp_path, "proxy-protocol", "10.9.9.9") as proxy:
        assert (await raw(proxy.port, _header(ONE, 1) + get(PATH))).received.split()[1] == b"400"
        assert (await raw(proxy.port, get(PATH))).received.startswith(b"HTTP/1.1 200")
