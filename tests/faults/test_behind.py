"""An object store behind the disk: what it holds outlives the disk, and none of its bad days is a client's."""

import asyncio
import contextlib
import json
import random
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from regproxy.behind import documents
from regproxy.oci.descriptor import Descriptor
from regproxy.oci.digest import Digest
from regproxy.oci.reference import Repository
from regproxy.policy.freshness import TagRecord
from regproxy.policy.store import objects
from tests.behind_kit import OTHER_KEY, behind, pull, replica, signer
from tests.canary import found_below
from tests.fakes.bucket import FakeBucket
from tests.fakes.deeds import Status
from tests.fakes.entry import on
from tests.fakes.program import Program
from tests.fakes.registry import FakeRegistry
from tests.faults.test_proven import ANN, ANNS, Tenants
from tests.rig import Rig, rig

NAME, OTHER = "library/app", "library/other"
LAYER = random.Random(17).randbytes(3_500_000)  # four pieces
SMALL = b"a small layer"
REPOSITORY = Repository("docker.io", NAME)
WRONG = LAYER[:2_500_000] + bytes([LAYER[2_500_000] ^ 1]) + LAYER[2_500_001:]
DEAD = "http://127.0.0.1:9"
PULLED = [200, 200, 200, 200]


@pytest.fixture
async def bucket() -> AsyncIterator[FakeBucket]:
    async with FakeBucket() as found:
        yield found


@pytest.fixture
def image(upstream: FakeRegistry) -> Descriptor:
    return upstream.add_image(NAME, "1", [LAYER, SMALL])


async def filled(root: Path, upstream: FakeRegistry, bucket: FakeBucket, name: str = NAME) -> None:
    """Have a cache pull an image and write it behind."""
    async with replica(root, upstream.url, bucket) as proxy:
        assert await pull(proxy, name, "1") == (PULLED, [*_layers(upstream, name)])
        await bucket.until(f"{name}/_/manifest/", 1)
        await bucket.until(f"{name}/_/blob/", 3)
        await bucket.until(f"tags/docker.io/{name}", 1)
    assert found_below(root.parent) == []
    assert not any(b"canary" in each for each in bucket.objects.values())


def _layers(upstream: FakeRegistry, name: str) -> list[bytes]:
    stored = upstream.repositories[name]
    return [LAYER, SMALL, next(body for body in stored.blobs.values() if body.startswith(b"{"))]


def key_of(body: bytes, kind: str = "blobs") -> str:
    return f"regproxy/{kind}/sha256/{Digest.of(body).hex}"


@pytest.mark.usefixtures("image")
async def test_n17_04_a_new_replica_serves_all_by_tag_and_digest_while_upstream_is_dead(
    upstream: FakeRegistry, bucket: FakeBucket, tmp_path: Path, image: Descriptor
) -> None:
    await filled(tmp_path / "one", upstream, bucket)
    async with replica(tmp_path / "two", DEAD, bucket) as proxy:
        assert await pull(proxy, NAME, str(image.digest)) == (PULLED, [*_layers(upstream, NAME)])
        assert await pull(proxy, NAME, "1") == (PULLED, [*_layers(upstream, NAME)])
        part = await proxy.ask(f"/v2/{NAME}/blobs/{Digest.of(LAYER)}", Range="bytes=1500000-1500099")
        assert (part.status, part.body) == (206, LAYER[1_500_000:1_500_100])
        head = await proxy.ask(f"/v2/{NAME}/blobs/{Digest.of(LAYER)}", "HEAD")
        assert (head.status, head.headers["Content-Length"]) == (200, str(len(LAYER)))
    async with replica(tmp_path / "two", DEAD, FakeBucket()) as proxy:  # what came from there is on the disk now
        assert await pull(proxy, NAME, "1") == (PULLED, [*_layers(upstream, NAME)])


@pytest.mark.usefixtures("image")
async def test_n17_04_a_part_is_read_there_before_the_rest(upstream: FakeRegistry, bucket: FakeBucket, tmp_path: Path) -> None:
    await filled(tmp_path / "one", upstream, bucket)
    async with replica(tmp_path / "two", DEAD, bucket) as proxy:
        part = await proxy.ask(f"/v2/{NAME}/blobs/{Digest.of(LAYER)}", Range="bytes=1500000-2600099")
        assert (part.status, part.body) == (206, LAYER[1_500_000:2_600_100])


@pytest.mark.usefixtures("image")
async def test_n17_04_many_who_ask_at_once_read_it_there_once(upstream: FakeRegistry, bucket: FakeBucket, tmp_path: Path) -> None:
    await filled(tmp_path / "one", upstream, bucket)
    bucket.counts.clear()
    async with replica(tmp_path / "two", DEAD, bucket) as proxy:
        answers = await asyncio.gather(*(proxy.ask(f"/v2/{NAME}/blobs/{Digest.of(LAYER)}") for _ in range(30)))
        assert {(each.status, each.body == LAYER) for each in answers} == {(200, True)}
    assert bucket.sent_bytes <= 1.2 * len(LAYER)


@pytest.mark.parametrize("day", ["refusing", "full", "slow", "unreachable"])
@pytest.mark.usefixtures("image")
async def test_n17_04_a_store_that_does_not_work_is_nobodys_trouble(
    upstream: FakeRegistry, bucket: FakeBucket, tmp_path: Path, day: str
) -> None:
    """It takes what waits when it works again."""
    bucket.refuse, bucket.is_full, bucket.latency = day == "refusing", day == "full", 5.0 if day == "slow" else 0.0
    if day == "unreachable":
        await bucket.stop()
    async with replica(tmp_path / "one", upstream.url, bucket) as proxy:
        assert await pull(proxy, NAME, "1") == (PULLED, [*_layers(upstream, NAME)])
        assert await pull(proxy, NAME, "1") == (PULLED, [*_layers(upstream, NAME)])
        if day in {"refusing", "unreachable"}:
            await _until(proxy, "the object store takes nothing")
        status, answer = await proxy.admin("store/status")
        assert status == 200
        assert answer["behind"]["pending"] >= 1
        await proxy.settled()
        assert upstream.count("GET", "blobs") == 3
        bucket.refuse, bucket.is_full, bucket.latency = False, False, 0.0
        if day == "unreachable":
            await bucket.start()
        await bucket.until("/_/blob/", 3)
        await bucket.until("/_/manifest/", 1)
        await bucket.until("tags/", 1)
    async with replica(tmp_path / "two", DEAD, bucket) as proxy:
        assert await pull(proxy, NAME, "1") == (PULLED, [*_layers(upstream, NAME)])


async def _until(proxy: Rig, line: str) -> None:
    async with asyncio.timeout(300):
        while True:
            async with proxy.session.get(f"http://127.0.0.1:{proxy.admin_port}/readyz") as response:
                if line in await response.text():
                    assert response.status == 200
                    return
            await asyncio.sleep(0.05)


@pytest.mark.parametrize("damage", ["lost", "short", "wrong"])
@pytest.mark.usefixtures("image")
async def test_n17_04_an_object_that_is_wrong_never_reaches_a_client_and_is_written_again(
    upstream: FakeRegistry, bucket: FakeBucket, tmp_path: Path, damage: str
) -> None:
    await filled(tmp_path / "one", upstream, bucket)
    key = key_of(LAYER)
    bucket.objects[key] = {"lost": b"", "short": LAYER[:2_000_000], "wrong": WRONG}[damage]
    if damage == "lost":
        del bucket.objects[key]
    async with replica(tmp_path / "two", upstream.url, bucket) as proxy:
        upstream.ledger.clear()
        assert await pull(proxy, NAME, "1") == (PULLED, [*_layers(upstream, NAME)])
        await bucket.until_equal(key, LAYER)
        await bucket.until(key_of(LAYER, "sums").removeprefix("regproxy/"), 1)
    if damage == "wrong":  # the pieces before it were right
        assert upstream.sent_blob_bytes() < len(LAYER)
    async with replica(tmp_path / "three", DEAD, bucket) as proxy:
        assert await pull(proxy, NAME, "1") == (PULLED, [*_layers(upstream, NAME)])


@pytest.mark.usefixtures("image")
async def test_n17_04_what_is_wrong_there_is_not_given_where_upstream_is_dead_either(
    upstream: FakeRegistry, bucket: FakeBucket, tmp_path: Path
) -> None:
    await filled(tmp_path / "one", upstream, bucket)
    bucket.objects[key_of(LAYER)] = WRONG
    async with replica(tmp_path / "two", DEAD, bucket) as proxy:
        answer = await proxy.ask(f"/v2/{NAME}/blobs/{Digest.of(LAYER)}")
        assert answer.status >= 500 or (not answer.is_whole and LAYER.startswith(answer.body))


async def test_n17_04_a_manifest_that_is_wrong_there_is_asked_of_upstream_and_written_again(
    upstream: FakeRegistry, bucket: FakeBucket, tmp_path: Path, image: Descriptor
) -> None:
    await filled(tmp_path / "one", upstream, bucket)
    key = f"regproxy/blobs/sha256/{image.digest.hex}"
    right = bucket.objects[key]
    bucket.objects[key] = right.replace(b"layers", b"l4yers")
    async with replica(tmp_path / "two", upstream.url, bucket) as proxy:
        assert await pull(proxy, NAME, "1") == (PULLED, [*_layers(upstream, NAME)])
        await bucket.until_equal(key, right)


@pytest.mark.usefixtures("image")
async def test_n17_04_a_blob_goes_on_at_upstream_where_the_store_stops_in_the_middle(
    upstream: FakeRegistry, bucket: FakeBucket, tmp_path: Path
) -> None:
    await filled(tmp_path / "one", upstream, bucket)
    bucket.cut_after = 2_200_000
    async with replica(tmp_path / "two", upstream.url, bucket) as proxy:
        upstream.ledger.clear()
        assert await pull(proxy, NAME, "1") == (PULLED, [*_layers(upstream, NAME)])
    assert 0 < upstream.sent_blob_bytes() < len(LAYER)


@pytest.mark.usefixtures("image")
async def test_n17_04_what_one_repository_holds_there_no_other_one_may_have(
    upstream: FakeRegistry, bucket: FakeBucket, tmp_path: Path, image: Descriptor
) -> None:
    await filled(tmp_path / "one", upstream, bucket)
    async with replica(tmp_path / "two", DEAD, bucket) as proxy:
        assert (await proxy.ask(f"/v2/{OTHER}/manifests/{image.digest}")).status >= 400
        assert (await proxy.ask(f"/v2/{OTHER}/blobs/{Digest.of(LAYER)}")).status >= 400
        assert await pull(proxy, NAME, "1") == (PULLED, [*_layers(upstream, NAME)])
        assert (await proxy.ask(f"/v2/{OTHER}/manifests/{image.digest}")).status >= 400
        assert (await proxy.ask(f"/v2/{OTHER}/blobs/{Digest.of(LAYER)}")).status >= 400


@pytest.mark.usefixtures("image")
async def test_n17_04_a_repository_that_upstream_refused_is_closed_to_new_replicas_too(
    upstream: FakeRegistry, bucket: FakeBucket, tmp_path: Path
) -> None:
    await filled(tmp_path / "one", upstream, bucket)
    async with rig(
        tmp_path / "one",
        {"docker.io": {"hosts": [{"url": upstream.url}], "tags": [{"fresh_for": "0s"}]}},
        store=behind(bucket.url),
        reconfirm_after="0s",
    ) as proxy:
        upstream.misbehave(f"/{NAME}/", Status(403))
        assert (await proxy.ask(f"/v2/{NAME}/manifests/1")).status == 403
        await bucket.until("closed/docker.io/library/app", 1)
    async with replica(tmp_path / "two", DEAD, bucket) as proxy:
        assert (await pull(proxy, NAME, "1"))[0][0] in {403, 502, 503, 504}
        assert (await proxy.ask(f"/v2/{NAME}/blobs/{Digest.of(LAYER)}")).status >= 400
    async with replica(tmp_path / "three", upstream.url, bucket) as proxy:
        assert (await proxy.ask(f"/v2/{NAME}/blobs/{Digest.of(LAYER)}")).status == 403
        upstream.behave()
        assert await pull(proxy, NAME, "1") == (PULLED, [*_layers(upstream, NAME)])
        await bucket.until_without("closed/")


async def test_n17_04_nothing_of_a_proven_upstream_is_read_there_without_a_live_proof(bucket: FakeBucket, tmp_path: Path) -> None:
    async with Tenants() as tenants:
        tenants.add_image(ANNS, "1", [LAYER, SMALL])
        upstream = {"hosts": [{"url": tenants.url}], "access": "proven"}
        path = f"/v2/{ANNS}/blobs/{Digest.of(LAYER)}"
        async with rig(tmp_path / "one", {"docker.io": upstream}, store=behind(bucket.url)) as proxy:
            assert (await proxy.ask(f"/v2/{ANNS}/manifests/1", Authorization=ANN)).status == 200
            assert (await proxy.ask(path, Authorization=ANN)).body == LAYER
            await bucket.until("/_/blob/", 1)
            await bucket.until("tags/", 1)
        tenants.ledger.clear()
        async with rig(tmp_path / "two", {"docker.io": upstream}, store=behind(bucket.url)) as proxy:
            assert (await proxy.ask(path)).status == 401
            assert (await proxy.ask(path, Authorization=ANN)).body == LAYER
            assert tenants.sent_blob_bytes() == 0, "it was read behind, and only after upstream had said that she may"
        dead = {**upstream, "hosts": [{"url": DEAD}]}
        async with rig(tmp_path / "three", {"docker.io": dead}, store=behind(bucket.url)) as proxy:
            for asked in (path, f"/v2/{ANNS}/manifests/1"):
                assert (await proxy.ask(asked, Authorization=ANN)).status >= 400
                assert (await proxy.ask(asked)).status >= 400


@pytest.mark.parametrize("key", [OTHER_KEY, None], ids=["with another key", "not at all"])
async def test_n17_04_what_is_not_signed_with_our_key_says_nothing(
    upstream: FakeRegistry, bucket: FakeBucket, tmp_path: Path, image: Descriptor, key: str | None
) -> None:
    """Whoever can write there must not be able to say what a tag means, or who holds what."""
    forger = signer(key or OTHER_KEY)
    forged = {
        objects.tag(REPOSITORY, "1"): documents.tag_with_history(documents.TagDocument(TagRecord(image, 9e9), ())),
        objects.link("manifest", REPOSITORY, image.digest): documents.link_document(image),
    }
    body = upstream.repositories[NAME].manifests[image.digest].body
    for path, document in forged.items():
        written = forger.signed(path, document)
        bucket.write(f"regproxy/{path}", written if key else written.partition(b"\n")[0])
    bucket.write(f"regproxy/{objects.blob(image.digest)}", body)
    async with replica(tmp_path / "two", DEAD, bucket) as proxy:
        assert (await proxy.ask(f"/v2/{NAME}/manifests/1")).status >= 500
        assert (await proxy.ask(f"/v2/{NAME}/manifests/{image.digest}")).status >= 500


async def test_n17_04_a_document_that_was_moved_says_nothing(
    upstream: FakeRegistry, bucket: FakeBucket, tmp_path: Path, image: Descriptor
) -> None:
    await filled(tmp_path / "one", upstream, bucket)
    before, after = objects.tag(REPOSITORY, "1"), objects.tag(REPOSITORY, "2")
    bucket.write(f"regproxy/{after}", bucket.objects[f"regproxy/{before}"])
    link = objects.link("manifest", Repository("docker.io", OTHER), image.digest)
    bucket.write(f"regproxy/{link}", bucket.objects[f"regproxy/{objects.link('manifest', REPOSITORY, image.digest)}"])
    async with replica(tmp_path / "two", DEAD, bucket) as proxy:
        assert (await proxy.ask(f"/v2/{NAME}/manifests/2")).status >= 500
        assert (await proxy.ask(f"/v2/{OTHER}/manifests/{image.digest}")).status >= 500


@pytest.mark.usefixtures("image")
async def test_n17_04_a_key_is_rotated_out(upstream: FakeRegistry, bucket: FakeBucket, tmp_path: Path) -> None:
    await filled(tmp_path / "one", upstream, bucket)
    async with replica(tmp_path / "two", DEAD, bucket, key=OTHER_KEY) as proxy:
        assert (await pull(proxy, NAME, "1"))[0] != PULLED
    from tests.behind_kit import KEY

    async with replica(tmp_path / "three", DEAD, bucket, key=f"{OTHER_KEY},{KEY}") as proxy:
        assert await pull(proxy, NAME, "1") == (PULLED, [*_layers(upstream, NAME)])


@pytest.mark.usefixtures("image")
async def test_n17_04_a_tag_that_moved_is_asked_of_upstream_as_any_stale_one(
    upstream: FakeRegistry, bucket: FakeBucket, tmp_path: Path
) -> None:
    await filled(tmp_path / "one", upstream, bucket)
    moved = upstream.add_image(NAME, "1", [b"moved"])
    entry = {"hosts": [{"url": upstream.url}], "tags": [{"fresh_for": "0s"}]}
    async with replica(tmp_path / "two", entry, bucket) as proxy:
        assert (await proxy.ask(f"/v2/{NAME}/manifests/1")).headers["Docker-Content-Digest"] == str(moved.digest)
        await bucket.until_in(objects.tag(REPOSITORY, "1"), str(moved.digest).encode())


async def test_n17_04_killed_in_the_middle_of_writing_behind(upstream: FakeRegistry, bucket: FakeBucket, tmp_path: Path) -> None:
    """Nothing is lost that was recorded, and nothing there names what is not there."""
    layers = [random.Random(number).randbytes(9_000_000 if number < 2 else 40_000) for number in range(8)]
    image = upstream.add_image(NAME, "1", layers)
    bucket.hold_from = 6  # writes: the rest waits until it is killed
    program = Program(
        tmp_path,
        {"docker.io": {"hosts": [{"url": upstream.url}]}},
        store={"root": str(tmp_path / "store"), **behind(bucket.url)},
    )
    async with program.running():
        status, manifest = await program.ask(f"/v2/{NAME}/manifests/1")
        assert status == 200
        for layer in layers:
            assert await program.ask(f"/v2/{NAME}/blobs/{Digest.of(layer)}") == (200, layer)
        async with asyncio.timeout(300):
            await program.until(lambda: _are_recorded(program, len(layers) // 2))
        await bucket.until_holding()
        assert program.process is not None
        program.process.kill()
        await program.process.wait()
    _assert_nothing_half_there(bucket)
    bucket.release()
    recorded = _recorded(tmp_path / "store")
    assert len(recorded) >= len(layers) // 2
    async with program.running():
        for kind, digest in recorded:
            await bucket.until(f"/_/{kind}/sha256/{digest.removeprefix('sha256:')}", 1)
    _assert_nothing_half_there(bucket)
    assert found_below(tmp_path) == []
    held = {str(image.digest): manifest, **{str(Digest.of(layer)): layer for layer in layers}}
    async with replica(tmp_path / "two", DEAD, bucket) as proxy:
        for kind, digest in recorded:
            assert (await proxy.ask(f"/v2/{NAME}/{kind}s/{digest}")).body == held[digest]


def _recorded(store: Path) -> list[tuple[str, str]]:
    """List what the index of a program that was killed has on record: the rest was on its way there."""
    with contextlib.closing(sqlite3.connect(store / "index.db")) as connection:
        return connection.execute("SELECT kind, digest FROM holders").fetchall()


async def _are_recorded(program: Program, count: int) -> bool:
    _, answer = await program.admin("/api/v1/store/status")
    return int(json.loads(answer)["behind"]["pending"]) >= count


def _assert_nothing_half_there(bucket: FakeBucket) -> None:
    for key in bucket.keys("/_/blob/"):
        name = key.rpartition("/")[2]
        assert f"regproxy/sums/sha256/{name}" in bucket.objects
    for key in (*bucket.keys("sums/"), *bucket.keys("/_/manifest/")):
        name = key.rpartition("/")[2]
        assert Digest.of(bucket.objects[f"regproxy/blobs/sha256/{name}"]).hex == name


async def test_n17_04_everything_on_a_disk_is_pushed_there(
    upstream: FakeRegistry, bucket: FakeBucket, tmp_path: Path, image: Descriptor
) -> None:
    async with rig(tmp_path / "one", {"docker.io": upstream.url}) as proxy:
        assert await pull(proxy, NAME, "1") == (PULLED, [*_layers(upstream, NAME)])
        await proxy.settled()
        assert (await proxy.admin("store/push", "POST", {}))[0] == 200
        async with proxy.session.post(f"http://127.0.0.1:{proxy.admin_port}/api/v1/store/push", json={}) as response:
            assert "there is no object store behind this store" in await response.text()
    async with replica(tmp_path / "one", upstream.url, bucket) as proxy:
        async with proxy.session.post(f"http://127.0.0.1:{proxy.admin_port}/api/v1/store/push", json={}) as response:
            *_, last = (await response.text()).splitlines()
        assert '"result"' in last
        assert (len(bucket.keys("/_/blob/")), len(bucket.keys("/_/manifest/")), len(bucket.keys("tags/"))) == (3, 1, 1)
        bucket.objects.pop(key_of(SMALL))
        async with proxy.session.post(f"http://127.0.0.1:{proxy.admin_port}/api/v1/store/check", json={}) as response:
            assert '"missing": 1' in await response.text()
        await bucket.until_equal(key_of(SMALL), SMALL)
        await bucket.until(key_of(SMALL, "sums").removeprefix("regproxy/"), 1)  # which are written last: before, nobody believes in it
    async with replica(tmp_path / "two", DEAD, bucket) as proxy:
        assert await pull(proxy, NAME, str(image.digest)) == (PULLED, [*_layers(upstream, NAME)])


@pytest.mark.usefixtures("image")
async def test_n17_04_uses_lie_there_where_its_size_is_bounded(upstream: FakeRegistry, bucket: FakeBucket, tmp_path: Path) -> None:
    async with replica(tmp_path / "one", upstream.url, bucket, max_size="1GiB") as proxy:
        assert await pull(proxy, NAME, "1") == (PULLED, [*_layers(upstream, NAME)])
        await bucket.until("/_/blob/", 3)
        await bucket.until("leases/evict/", 1)
    async with replica(tmp_path / "one", upstream.url, bucket, max_size="1GiB"):
        await bucket.until("uses/", 4)
    assert len(bucket.keys("/blobs/")) == 4


async def test_n17_04_upstream_that_is_slow_to_begin_does_not_matter(
    upstream: FakeRegistry, bucket: FakeBucket, tmp_path: Path, image: Descriptor
) -> None:
    await filled(tmp_path / "one", upstream, bucket)
    upstream.misbehave(on("GET", "/blobs/"), Status(503))
    async with replica(tmp_path / "two", upstream.url, bucket) as proxy:
        assert await pull(proxy, NAME, str(image.digest)) == (PULLED, [*_layers(upstream, NAME)])
