"""Repeated hits come from a worker's memory, and are as right as if it had asked: another process is at the same index."""

import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from regproxy.index.database import Database
from regproxy.index.retention import prepare
from regproxy.index.sqlite import SqliteIndex
from regproxy.oci.descriptor import Descriptor
from regproxy.oci.digest import Digest
from regproxy.oci.reference import Reference, Repository, Tag
from regproxy.policy.freezing import Freeze
from regproxy.policy.freshness import TagRecord
from tests.fakes.registry import FakeRegistry
from tests.rig import Rig, rig

NAME = "library/app"
APP = Repository("docker.io", NAME)
REFERENCE = Reference(APP, Tag("1"))
MANIFESTS = f"/v2/{NAME}/manifests"


@pytest.fixture
async def proxy(upstream: FakeRegistry, tmp_path: Path) -> AsyncIterator[Rig]:
    """Run regproxy with tags that stay fresh."""
    async with rig(tmp_path / "store", {"docker.io": upstream.url}) as running:
        yield running


@pytest.fixture
async def neighbour(tmp_path: Path) -> AsyncIterator[SqliteIndex]:
    """Open the index that the proxy uses, as another worker of the machine does."""
    (tmp_path / "store").mkdir(exist_ok=True)
    index = await SqliteIndex.open(tmp_path / "store" / "index.db")
    yield index
    await index.close()


async def warmed(proxy: Rig, *paths: str) -> list[str]:
    """Ask three times: once to fetch, once to find it in the store, once to be answered from memory; give the last outcomes."""
    for _ in range(2):
        for path in paths:
            assert (await proxy.ask(path)).status == 200
        await proxy.settled()
    return [(await proxy.ask(path)).headers["Cache-Status"] for path in paths]


async def test_a_repeated_hit_reads_neither_index_nor_store(upstream: FakeRegistry, proxy: Rig, tmp_path: Path) -> None:
    manifest = upstream.add_image(NAME, "1", [b"layer"])
    paths = [f"{MANIFESTS}/1", f"{MANIFESTS}/{manifest.digest}", f"/v2/{NAME}/blobs/{Digest.of(b'layer')}"]
    assert await warmed(proxy, *paths) == ["regproxy; hit"] * 3
    index = await Database.open(tmp_path / "store" / "index.db", lambda connection: prepare(connection, []))
    for table in ("tags", "holders", "content", "freezes"):
        await index.write(f"DROP TABLE {table}")
    await index.close()
    shutil.rmtree(tmp_path / "store" / "blobs" / "sha256" / manifest.digest.hex[:2])
    answers = [await proxy.ask(path) for path in paths]
    assert [answer.headers["Cache-Status"] for answer in answers] == ["regproxy; hit"] * 3
    assert answers[0].body == answers[1].body == upstream.repositories[NAME].manifests[manifest.digest].body
    assert answers[2].body == b"layer"


async def _forget(index: SqliteIndex, manifest: Descriptor) -> None:
    await index.ledger().forget(manifest.digest)


async def _lose(index: SqliteIndex, manifest: Descriptor) -> None:
    await index.ledger().lose([manifest.digest])


@pytest.mark.parametrize("remove", [_forget, _lose])
async def test_what_another_worker_removed_is_asked_for_again(
    upstream: FakeRegistry, proxy: Rig, neighbour: SqliteIndex, remove: Callable[[SqliteIndex, Descriptor], Awaitable[None]]
) -> None:
    manifest = upstream.add_image(NAME, "1", [b"layer"])
    paths = [f"{MANIFESTS}/1", f"{MANIFESTS}/{manifest.digest}"]
    await warmed(proxy, *paths)
    await remove(neighbour, manifest)
    assert "fwd=miss" in (await proxy.ask(paths[1])).headers["Cache-Status"]


async def test_a_blob_that_another_worker_removed_is_asked_for_again(upstream: FakeRegistry, proxy: Rig, neighbour: SqliteIndex) -> None:
    blob = upstream.add_blob(NAME, b"layer")
    await warmed(proxy, f"/v2/{NAME}/blobs/{blob}")
    await neighbour.ledger().forget(blob)
    answer = await proxy.ask(f"/v2/{NAME}/blobs/{blob}")
    assert (answer.body, "fwd=miss" in answer.headers["Cache-Status"]) == (b"layer", True)


async def test_a_tag_that_another_worker_found_moved_is_moved_for_all(upstream: FakeRegistry, proxy: Rig, neighbour: SqliteIndex) -> None:
    upstream.add_image(NAME, "1", [b"old"])
    old = (await proxy.ask(f"{MANIFESTS}/1")).body
    moved = upstream.add_image(NAME, "2", [b"new"])
    await warmed(proxy, f"{MANIFESTS}/1", f"{MANIFESTS}/2")
    record = await neighbour.tag(Reference(APP, Tag("2")))
    assert record is not None
    await neighbour.put_tag(REFERENCE, TagRecord(record.descriptor, record.checked_at))
    answer = await proxy.ask(f"{MANIFESTS}/1")
    assert Digest.of(answer.body) == moved.digest != Digest.of(old)


async def test_a_freeze_that_another_worker_set_or_lifted_counts_at_once(
    upstream: FakeRegistry, proxy: Rig, neighbour: SqliteIndex
) -> None:
    manifest = upstream.add_image(NAME, "1", [b"layer"])
    other = upstream.add_image(NAME, "2", [b"other"])
    await warmed(proxy, f"{MANIFESTS}/1", f"{MANIFESTS}/2")
    await neighbour.put_freeze(Freeze(f"docker.io/{NAME}:1", other.digest))
    frozen = [await proxy.ask(f"{MANIFESTS}/1") for _ in range(3)]
    assert {Digest.of(answer.body) for answer in frozen} == {other.digest}
    assert {answer.headers["Cache-Status"] for answer in frozen} == {"regproxy; hit; detail=frozen"}
    await neighbour.drop_freeze(f"docker.io/{NAME}:1")
    assert Digest.of((await proxy.ask(f"{MANIFESTS}/1")).body) == manifest.digest


async def test_a_record_that_another_worker_renewed_is_found_before_upstream_is_asked(upstream: FakeRegistry, tmp_path: Path) -> None:
    now = [1000.0]
    async with rig(tmp_path / "store", {"docker.io": upstream.url}, lambda: now[0]) as proxy:
        upstream.add_image(NAME, "1", [b"layer"])
        await warmed(proxy, f"{MANIFESTS}/1")
        now[0] += 301
        index = await SqliteIndex.open(tmp_path / "store" / "index.db")
        record = await index.tag(REFERENCE)
        assert record is not None
        await index.put_tag(REFERENCE, TagRecord(record.descriptor, now[0]))
        await index.close()
        asked = len(upstream.ledger)
        assert await warmed(proxy, f"{MANIFESTS}/1") == ["regproxy; hit"]
        assert len(upstream.ledger) == asked


async def test_a_remembered_tag_grows_old_as_any_other(upstream: FakeRegistry, tmp_path: Path) -> None:
    now = [1000.0]
    async with rig(tmp_path / "store", {"docker.io": upstream.url}, lambda: now[0]) as proxy:
        upstream.add_image(NAME, "1", [b"old"])
        await warmed(proxy, f"{MANIFESTS}/1")
        moved = upstream.add_image(NAME, "1", [b"new"])
        now[0] += 299
        assert Digest.of((await proxy.ask(f"{MANIFESTS}/1")).body) != moved.digest
        now[0] += 2
        assert Digest.of((await proxy.ask(f"{MANIFESTS}/1")).body) == moved.digest


async def test_a_repository_has_no_right_to_what_is_remembered_of_another(upstream: FakeRegistry, proxy: Rig) -> None:
    manifest = upstream.add_image(NAME, "1", [b"layer"])
    await warmed(proxy, f"{MANIFESTS}/{manifest.digest}", f"/v2/{NAME}/blobs/{Digest.of(b'layer')}")
    for kind, digest in (("manifests", manifest.digest), ("blobs", Digest.of(b"layer"))):
        assert (await proxy.ask(f"/v2/library/other/{kind}/{digest}")).status == 404
