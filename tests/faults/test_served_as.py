"""Hosts that mean a registry: whatever way a client spells one, it gets that registry's image or none."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.fakes.registry import FakeRegistry
from tests.rig import Rig, raw, rig

NAME = "team/app"


@pytest.fixture
async def two(upstream: FakeRegistry, tmp_path: Path) -> AsyncIterator[tuple[Rig, dict[str, bytes]]]:
    """Serve docker.io and quay.io, which hold different images of one name, and give the digests."""
    async with FakeRegistry() as quay:
        entry = {"hosts": [{"url": quay.url}], "serve_as": ["quay.cache.example", "[fd00::1]"]}
        both = {"hub": upstream, "quay": quay}
        digests = {name: str(registry.add_image(NAME, "1", [name.encode()]).digest).encode() for name, registry in both.items()}
        async with rig(tmp_path / "store", {"docker.io": upstream.url, "quay.io": entry}) as proxy:
            yield proxy, digests


async def _digest(proxy: Rig, host: str, target: str = f"/v2/{NAME}/manifests/1") -> bytes:
    request = f"HEAD {target} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
    answer = await raw(proxy.port, request.encode())
    fields = dict(line.split(b": ", 1) for line in answer.received.split(b"\r\n") if b": " in line)
    return fields.get(b"Docker-Content-Digest", answer.received[9:12])


@pytest.mark.parametrize(
    "host",
    ["quay.cache.example", "quay.cache.example:5000", "Quay.Cache.Example.:5000", "quay.cache.example.", "[FD00:0::1]:5000", "quay.io"],
)
async def test_n13_15_a_host_that_is_served_as_gets_its_own_image(two: tuple[Rig, dict[str, bytes]], host: str) -> None:
    proxy, digests = two
    assert await _digest(proxy, host) == digests["quay"]
    assert await _digest(proxy, "cache.example:5000") == digests["hub"]
    assert await _digest(proxy, host) == digests["quay"], "also from memory"


async def test_n13_15_an_absolute_form_overrides_the_host(two: tuple[Rig, dict[str, bytes]]) -> None:
    proxy, digests = two
    path = f"/v2/{NAME}/manifests/1"
    assert await _digest(proxy, "hub.example", f"http://quay.cache.example:5000{path}") == digests["quay"]
    assert await _digest(proxy, "quay.cache.example", f"http://hub.example{path}") == digests["hub"]


async def test_n13_15_a_registrys_name_at_another_port_gets_nothing(two: tuple[Rig, dict[str, bytes]]) -> None:
    assert await _digest(two[0], "quay.io:5000") == b"404"
