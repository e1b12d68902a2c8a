"""Blobs by repository: where they come from, who may have them, and what is asked of upstream for it."""

import os
from pathlib import Path

import pytest

from regproxy.oci.digest import Digest
from regproxy.oci.errors import RegistryError
from regproxy.oci.http.cache_status import CacheStatus
from regproxy.policy.routing import Route
from regproxy.pull.blobs import Blobs, Described, Opened
from tests.fakes.deeds import Stall
from tests.fakes.entry import on
from tests.fakes.registry import FakeRegistry
from tests.rig import Rig, rig

NAME, OTHER = "library/app", "library/other"
BODY = os.urandom(300_000)
DIGEST = Digest.of(BODY)


def _blobs(proxy: Rig) -> Blobs:
    return proxy.proxy.handlers.blobs


def _route(proxy: Rig, name: str = NAME) -> Route:
    return proxy.proxy.handlers.routes.find(name, [], "")


async def _pull(proxy: Rig, name: str = NAME) -> tuple[CacheStatus, bytes]:
    """Open a blob and read it to its end."""
    opened = await _blobs(proxy).open(_route(proxy, name), DIGEST)
    assert isinstance(opened, Opened)
    body = bytearray()
    try:
        while len(body) < opened.content.size:
            extent = await opened.content.extent(len(body), opened.content.size)
            body += os.pread(extent.file.fileno(), extent.length, extent.offset)
    finally:
        opened.content.release()
    await proxy.settled()
    return opened.cache_status, bytes(body)


async def test_a_blob_is_fetched_once_and_read_from_the_store_from_then_on(upstream: FakeRegistry, proxy: Rig) -> None:
    upstream.add_blob(NAME, BODY)
    assert not await _blobs(proxy).holds(_route(proxy).repository, DIGEST)
    assert await _pull(proxy) == (CacheStatus.MISS, BODY)
    assert await _blobs(proxy).holds(_route(proxy).repository, DIGEST)
    assert await _pull(proxy) == (CacheStatus.HIT, BODY)
    assert upstream.sent_blob_bytes() == len(BODY)


async def test_another_repository_gets_it_on_upstreams_word_and_its_bytes_are_not_fetched_again(upstream: FakeRegistry, proxy: Rig) -> None:
    upstream.add_blob(NAME, BODY)
    await _pull(proxy)
    sent = upstream.sent_blob_bytes()
    with pytest.raises(RegistryError) as refused:
        await _pull(proxy, OTHER)
    assert refused.value.code == "BLOB_UNKNOWN", "a digest that was learnt somewhere is no right to read"
    upstream.add_blob(OTHER, BODY)
    assert [await _pull(proxy, OTHER) for _ in range(2)] == [(CacheStatus.REVALIDATED, BODY), (CacheStatus.HIT, BODY)]
    assert upstream.sent_blob_bytes() - sent <= 2, "it was asked for a byte to be sure"


async def test_a_size_is_told_without_fetching_the_blob(upstream: FakeRegistry, proxy: Rig) -> None:
    upstream.add_blob(NAME, BODY)
    assert await _blobs(proxy).describe(_route(proxy), DIGEST) == Described(len(BODY), CacheStatus.MISS)
    assert upstream.sent_blob_bytes() == 0
    await _pull(proxy)
    assert await _blobs(proxy).describe(_route(proxy), DIGEST) == Described(len(BODY), CacheStatus.HIT)


async def test_what_was_opened_is_current_until_something_is_removed(upstream: FakeRegistry, proxy: Rig) -> None:
    upstream.add_blob(NAME, BODY)
    await _pull(proxy)
    opened = await _blobs(proxy).open(_route(proxy), DIGEST)
    assert isinstance(opened, Opened)
    opened.content.release()
    assert opened.is_current is not None
    assert opened.is_current()
    await proxy.proxy.evictor.remove(DIGEST)
    assert not opened.is_current()
    assert (await _pull(proxy))[0] is CacheStatus.MISS


async def test_who_comes_while_it_is_fetched_shares_the_fill(upstream: FakeRegistry, proxy: Rig) -> None:
    upstream.add_blob(NAME, BODY)
    upstream.misbehave(on("GET", "/blobs/"), stall := Stall(100_000), times=1)
    opened = [await _blobs(proxy).open(_route(proxy), DIGEST) for _ in range(2)]
    assert [isinstance(each, Opened) and each.cache_status for each in opened] == [CacheStatus.MISS, CacheStatus.COLLAPSED]
    stall.event.set()
    for each in opened:
        assert isinstance(each, Opened)
        each.content.release()
    await proxy.settled()
    assert upstream.sent_blob_bytes() == len(BODY)


async def test_what_the_configuration_denies_is_asked_of_nobody(upstream: FakeRegistry, tmp_path: Path) -> None:
    upstream.add_blob(NAME, BODY)
    denying = {"hosts": [{"url": upstream.url}], "deny": [f"{NAME}@*"]}
    async with rig(tmp_path / "denied", {"docker.io": denying}) as proxy:
        for ask in (_blobs(proxy).open, _blobs(proxy).describe):
            with pytest.raises(RegistryError) as refused:
                await ask(_route(proxy), DIGEST)
            assert refused.value.status == 403
    assert upstream.ledger == []
