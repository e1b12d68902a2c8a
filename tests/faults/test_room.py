"""A store with room for little: it holds what is used, is never over its limit, and nobody's pull suffers; by row."""

import asyncio
import os
import random
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from regproxy.oci.digest import Digest
from regproxy.policy.store.eviction import OCCASION
from regproxy.storage.blob_files import path_of
from tests.fakes.deeds import Cut, NoRanges, Stall, Status
from tests.fakes.entry import on
from tests.fakes.registry import FakeRegistry
from tests.fakes.volume import taken, tmpfs
from tests.rig import Rig, get, metric, raw, rig

MIB = 1024 * 1024
LIMIT = 48 * MIB


class Images:
    """Images of random layers at an upstream, pulled as a client does."""

    def __init__(self, upstream: FakeRegistry, proxy: Rig) -> None:
        self._upstream = upstream
        self._proxy = proxy
        self._layers: dict[str, list[bytes]] = {}

    def add(self, name: str, *layers: bytes) -> None:
        self._layers[name] = list(layers)
        self._upstream.add_image(f"library/{name}", "1", layers)

    async def pull(self, name: str) -> bool:
        """Pull an image, check every byte, and say whether upstream was not needed for the layers."""
        manifest = await self._proxy.ask(f"/v2/library/{name}/manifests/1?ns=docker.io")
        assert manifest.status == 200
        answers = [await self._proxy.ask(f"/v2/library/{name}/blobs/{Digest.of(layer)}?ns=docker.io") for layer in self._layers[name]]
        assert [answer.body for answer in answers] == self._layers[name]
        return all(answer.headers["Cache-Status"] == "regproxy; hit" for answer in answers)

    async def pull_alone(self, name: str) -> bool:
        """Pull, and wait until all of it is kept and its use is written down: ten seconds later, on a clock that stands still here."""
        was_hit = await self.pull(name)
        await self._proxy.settled()
        await self._proxy.proxy.evictor.sweep(0)
        return was_hit


@asynccontextmanager
async def _store(root: Path, upstream: FakeRegistry, now: list[float], max_size: int) -> AsyncIterator[Rig]:
    store = {"root": str(root), "max_size": f"{max_size}B"}
    docker = {"hosts": [{"url": upstream.url}], "tags": [{"fresh_for": "365d"}]}
    timeouts = {"connect": "30s", "headers": "30s", "silence": "30s"}  # a thousand fills on a busy machine
    async with rig(root, {"docker.io": docker}, lambda: now[0], store=store, timeouts=timeouts) as proxy:
        yield proxy


def _batched(paths: Sequence[str], size: int) -> Iterator[Sequence[str]]:
    return (paths[start : start + size] for start in range(0, len(paths), size))


async def test_more_than_fits_is_pulled_right_and_the_store_is_never_over_its_limit(upstream: FakeRegistry, tmp_path: Path) -> None:
    """The scenario of the issue: 48 MB, ten images of 12 MB and one of 64 MB, several at a time, three times over."""
    with tmpfs(tmp_path / "volume", "size=64m") as volume:
        async with _store(volume, upstream, [1e9], LIMIT) as proxy:
            images = Images(upstream, proxy)
            for number in range(10):
                images.add(f"app{number}", os.urandom(8 * MIB), os.urandom(4 * MIB))
            images.add("large", os.urandom(64 * MIB))
            names = ["large", *(f"app{number}" for number in range(10))] * 3
            random.Random(5).shuffle(names)
            most = 0
            while names:
                pulls = asyncio.gather(*(images.pull(name) for name in dict.fromkeys(names[:4])))
                while not pulls.done():
                    most = max(most, taken(volume))
                    await asyncio.wait([pulls], timeout=0.01)
                await pulls
                del names[:4]
            await proxy.settled()
            assert 12 * MIB < most <= LIMIT
            assert taken(volume) <= LIMIT
            assert metric(await proxy.metrics(), "regproxy_store_bytes") == taken(volume)


async def test_d30_a_sweep_of_pulls_that_never_come_back_leaves_the_working_set(upstream: FakeRegistry, tmp_path: Path) -> None:
    """A working set pulled every hour, then three times the capacity pulled once between its pulls."""
    now = [1e9]
    async with _store(tmp_path / "store", upstream, now, LIMIT // 4) as proxy:
        images = Images(upstream, proxy)
        working, cold = [f"work{number}" for number in range(15)], [f"cold{number}" for number in range(72)]
        for name in working + cold:
            images.add(name, os.urandom(MIB // 2))
        for _ in range(3):
            for name in working:
                await images.pull_alone(name)
            now[0] += 3600
        hits = []
        for turn, name in enumerate(cold):
            await images.pull_alone(name)
            now[0] += 60
            hits.append(await images.pull_alone(working[turn % len(working)]))
        assert sum(hits) / len(hits) > 0.9


async def test_d15_b1_a_layer_that_two_images_share_outlives_the_older(upstream: FakeRegistry, tmp_path: Path) -> None:
    now = [1e9]
    base, one, two = (os.urandom(2 * MIB) for _ in range(3))
    async with _store(tmp_path / "store", upstream, now, 8 * MIB) as proxy:
        images = Images(upstream, proxy)
        images.add("old", base, one)
        images.add("new", base, two)
        for name in ("old", "new"):
            await images.pull_alone(name)
            now[0] += OCCASION / 2
        await proxy.proxy.evictor.sweep(1)
        assert not (tmp_path / "store" / "blobs" / "sha256" / Digest.of(one).hex[:2] / Digest.of(one).hex).exists()
        assert await images.pull("new")


async def test_what_is_frozen_or_pinned_is_not_swept_until_it_is_let_go(upstream: FakeRegistry, tmp_path: Path) -> None:
    async with _store(tmp_path / "store", upstream, [1e9], LIMIT) as proxy:
        images = Images(upstream, proxy)
        for name in ("frozen", "pinned", "free"):
            images.add(name, os.urandom(MIB))
            await images.pull_alone(name)
        pattern, image = "docker.io/library/frozen:1", "docker.io/library/pinned:1"
        assert (await proxy.admin("freezes", "POST", {"pattern": pattern}))[0] == 201
        assert (await proxy.admin("store/pin", "POST", {"image": image, "pinned": True}))[0] == 200
        await proxy.proxy.evictor.sweep(LIMIT)
        assert [await images.pull_alone(name) for name in ("frozen", "pinned", "free")] == [True, True, False]
        assert (await proxy.admin(f"freezes?pattern={pattern}", "DELETE"))[0] == 204
        assert (await proxy.admin("store/pin", "POST", {"image": image, "pinned": False}))[0] == 200
        await proxy.proxy.evictor.sweep(LIMIT)
        assert taken(tmp_path / "store") == 0


async def test_d10_slow_readers_of_what_is_swept_get_all_of_it(upstream: FakeRegistry, tmp_path: Path) -> None:
    body = os.urandom(8 * MIB)
    digest = upstream.add_blob("library/app", body)
    path = f"/v2/library/app/blobs/{digest}?ns=docker.io"
    async with _store(tmp_path / "store", upstream, [1e9], LIMIT) as proxy:
        await proxy.ask(path)
        await proxy.settled()
        readers = [await asyncio.open_connection("127.0.0.1", proxy.port, limit=64 * 1024) for _ in range(50)]
        for reader, writer in readers:
            writer.write(get(path))
            await reader.readuntil(b"\r\n\r\n")
        await proxy.proxy.evictor.sweep(LIMIT)
        assert taken(tmp_path / "store") == 0
        for reader, writer in readers:
            assert await reader.readexactly(len(body)) == body
            writer.close()


async def test_d11_b11_what_is_being_fetched_is_not_swept(upstream: FakeRegistry, tmp_path: Path) -> None:
    bodies = [os.urandom(MIB) for _ in range(40)]
    digests = [upstream.add_blob("library/app", body) for body in bodies]
    async with _store(tmp_path / "store", upstream, [1e9], 8 * MIB) as proxy:
        paths = [f"/v2/library/app/blobs/{digest}?ns=docker.io" for digest in digests]
        for _ in range(3):
            answers = await asyncio.gather(*(proxy.ask(path) for path in paths))
            assert [answer.body for answer in answers] == bodies
        await proxy.settled()
        assert list((tmp_path / "store" / "ingest").iterdir()) == []
        assert taken(tmp_path / "store") <= 8 * MIB


async def test_d25_a_thousand_fills_at_once_stay_within_the_limit(upstream: FakeRegistry, tmp_path: Path) -> None:
    bodies = [os.urandom(64 * 1024) for _ in range(1000)]
    digests = [upstream.add_blob("library/app", body) for body in bodies]
    async with _store(tmp_path / "store", upstream, [1e9], 8 * MIB) as proxy:
        paths = [f"/v2/library/app/blobs/{digest}?ns=docker.io" for digest in digests]
        answers = asyncio.gather(*(proxy.ask(path) for path in paths))
        most = 0
        while not answers.done():
            most = max(most, taken(tmp_path / "store"))
            await asyncio.wait([answers], timeout=0.05)
        assert [answer.body == body for answer, body in zip(await answers, bodies, strict=True)] == [True] * 1000
        await proxy.settled()
        assert most <= 8 * MIB * 1.05


async def test_d25_what_a_host_only_promises_evicts_next_to_nothing(upstream: FakeRegistry, tmp_path: Path) -> None:
    """It announces most of what the store may hold, sends a little and stalls; an honest one is kept in the end."""
    stored = [os.urandom(MIB) for _ in range(LIMIT // MIB)]
    giant, ordinary = os.urandom(40 * MIB), os.urandom(MIB)
    paths = [f"/v2/library/app/blobs/{upstream.add_blob('library/app', body)}?ns=docker.io" for body in (*stored, giant, ordinary)]
    promised, small = paths[-2:]
    stalled = Stall(2 * MIB)
    async with _store(tmp_path / "store", upstream, [1e9], LIMIT) as proxy:
        for path in paths[:-2]:
            await proxy.ask(path)
        await proxy.settled()
        upstream.misbehave(on("GET", promised.partition("?")[0]), NoRanges(), stalled, times=1)
        leaving = await raw(proxy.port, get(promised), read=MIB)
        assert len(leaving.body) > 0
        assert (await proxy.ask(small)).body == ordinary
        async with asyncio.timeout(300):
            while not path_of(tmp_path / "store", Digest.of(ordinary)).exists():  # noqa: ASYNC110 -- it is the file system that is watched
                await asyncio.sleep(0.01)
        there = sum(path_of(tmp_path / "store", Digest.of(body)).exists() for body in stored)
        assert there >= len(stored) * 3 // 4
        stalled.event.set()
        await proxy.settled()
        assert (await proxy.ask(promised)).headers["Cache-Status"] == "regproxy; hit"
        assert taken(tmp_path / "store") <= LIMIT
        assert metric(await proxy.metrics(), "regproxy_store_bytes") == taken(tmp_path / "store")


async def test_d29_a_limit_that_was_lowered_is_kept_from_the_start(upstream: FakeRegistry, tmp_path: Path) -> None:
    bodies = [os.urandom(MIB) for _ in range(8)]
    paths = [f"/v2/library/app/blobs/{upstream.add_blob('library/app', body)}?ns=docker.io" for body in bodies]
    async with _store(tmp_path / "store", upstream, [1e9], 48 * MIB) as proxy:
        for path in paths:
            await proxy.ask(path)
        await proxy.settled()
    async with _store(tmp_path / "store", upstream, [1e9], 4 * MIB) as proxy:
        assert (await proxy.ask(paths[0])).body == bodies[0]
        async with asyncio.timeout(300):
            while taken(tmp_path / "store") > 4 * MIB:  # noqa: ASYNC110 -- it is the file system that is watched
                await asyncio.sleep(0.01)


async def test_d31_what_a_host_cuts_takes_no_more_than_fits_and_nothing_from_what_is_cached(upstream: FakeRegistry, tmp_path: Path) -> None:
    """A hundred blobs are cut and never finished: their partial files are counted, and go before anything that is cached."""
    limit, at = 8 * MIB, 300_000
    cached, *cut = [os.urandom(400_000) for _ in range(101)]
    paths = [f"/v2/library/app/blobs/{upstream.add_blob('library/app', body)}" for body in (cached, *cut)]
    async with _store(tmp_path / "store", upstream, [1e9], limit) as proxy:
        assert (await proxy.ask(paths[0])).body == cached
        upstream.misbehave(
            lambda entry: entry.kind == "blobs" and not entry.headers.get("range", "bytes=0-").startswith("bytes=0-"), Status(404)
        )
        upstream.misbehave(on("GET", "/blobs/"), Cut(at))
        most = 0
        for some in (*_batched(paths[1:-1], 9), paths[-1:]):
            assert not any(answer.is_whole for answer in await asyncio.gather(*map(proxy.ask, some)))
            await proxy.settled()
            most = max(most, taken(tmp_path / "store"))
        assert limit // 2 < most <= limit
        upstream.behave()
        assert (await proxy.ask(paths[0])).headers["Cache-Status"] == "regproxy; hit"
        upstream.ledger.clear()
        assert (await proxy.ask(paths[-1])).body == cut[-1]
        await proxy.settled()
        resumed = [entry.headers["range"] for entry in upstream.ledger if entry.method == "GET" and "range" in entry.headers]
        assert [each.rpartition("-")[0] for each in resumed] == [f"bytes={at - 1}"], "what the last one left is used"
        assert metric(await proxy.metrics(), "regproxy_store_bytes") == taken(tmp_path / "store")
    async with _store(tmp_path / "store", upstream, [1e9], limit) as proxy:
        assert metric(await proxy.metrics(), "regproxy_store_bytes") == taken(tmp_path / "store"), "a restart counts them, too"
        for body, path in zip(cut[:30], paths[1:31], strict=True):
            assert (await proxy.ask(path)).body == body
            await proxy.settled()
            assert taken(tmp_path / "store") <= limit


async def test_b12_who_asks_while_room_is_made_waits_or_streams(upstream: FakeRegistry, tmp_path: Path) -> None:
    """A reserved place is no content: bazel-remote #318 answered 404."""
    digest = upstream.add_blob("library/app", os.urandom(6 * MIB))
    path = f"/v2/library/app/blobs/{digest}?ns=docker.io"
    async with _store(tmp_path / "store", upstream, [1e9], 8 * MIB) as proxy:
        await proxy.ask(f"/v2/library/app/blobs/{upstream.add_blob('library/app', os.urandom(6 * MIB))}?ns=docker.io")
        await proxy.settled()
        answers = await asyncio.gather(*(raw(proxy.port, get(path)) for _ in range(20)))
        assert {Digest.of(answer.body) for answer in answers} == {digest}


async def test_what_was_lost_and_brought_again_is_counted_once(upstream: FakeRegistry, tmp_path: Path) -> None:
    """Removed behind our back, and put aside as damaged: the books had both all the while, and the fetch counts them again."""
    lost, damaged = os.urandom(MIB), os.urandom(2 * MIB)
    paths = {body: f"/v2/library/app/blobs/{upstream.add_blob('library/app', body)}?ns=docker.io" for body in (lost, damaged)}
    async with _store(tmp_path / "store", upstream, [1e9], LIMIT) as proxy:
        for path in paths.values():
            await proxy.ask(path)
        await proxy.settled()
        path_of(tmp_path / "store", Digest.of(lost)).unlink()
        os.truncate(path_of(tmp_path / "store", Digest.of(damaged)), MIB)
        for body, path in paths.items():
            assert (await proxy.ask(path)).body == body
        await proxy.settled()
        for _ in range(2):
            await proxy.proxy.evictor.agree()
        assert metric(await proxy.metrics(), "regproxy_store_bytes") == taken(tmp_path / "store") == 3 * MIB


@pytest.mark.parametrize("watched", ["regproxy_store_bytes", "regproxy_store_blobs", "regproxy_evicted_bytes_total"])
async def test_room_is_told_in_metrics(proxy: Rig, watched: str) -> None:
    assert f"\n{watched} " in await proxy.metrics()
