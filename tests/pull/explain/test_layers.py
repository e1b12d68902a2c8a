"""Whose the blobs of an image are, and whether the object store holds them."""

import re
from pathlib import Path

from regproxy.oci.manifest import OCI_INDEX
from tests.behind_kit import behind, replica
from tests.fakes.bucket import FakeBucket
from tests.fakes.fleet import KEY, fleet
from tests.fakes.registry import FakeRegistry
from tests.rig import LOOPBACK, Rig, rig
from tests.web.admin.page_store import index_of, pull

from .test_explainer import NAME, explained, said

MIB = 1024 * 1024


async def _uploaded(proxy: Rig) -> None:
    await proxy.settled()
    while (await proxy.admin("store/status"))[1]["behind"]["pending"]:
        pass


async def test_n17_10_each_blob_is_told_with_its_owners_and_that_the_object_store_holds_it(tmp_path: Path, upstream: FakeRegistry) -> None:
    async with FakeBucket() as bucket, fleet(tmp_path, {"docker.io": upstream.url}, 2, store=behind(bucket.url)) as rigs:
        upstream.add_image(NAME, "1", [bytes(3 * MIB), b"small"])
        assert said(await explained(rigs[0]), "blobs") == ["whose they are is told once a manifest that lists them is here"]
        assert upstream.count("GET", "/manifests/") == 0
        bucket.hold_from = 1
        await pull(rigs[0], NAME, "1")
        await rigs[0].settled()
        assert {each.rpartition("; ")[2] for each in said(await explained(rigs[0]), "blob ")} == {"not in the object store"}
        bucket.release()
        await _uploaded(rigs[0])
        found = said(await explained(rigs[0]), "blob ")
        assert len(found) == 3
        large = next(each for each in found if each.startswith("3.0 MiB; 3 pieces, asked of upstream by "))
        assert {each.rpartition("; ")[2] for each in found} == {"in the object store"}
        members = {f"http://{LOOPBACK}:{each.port}" for each in rigs}
        shares = dict(re.findall(r"(http\S+) \((\d)\)", large))
        assert set(shares) <= members
        assert sum(map(int, shares.values())) == 3
        bucket.refuse = True
        assert all("the object store does not" in each for each in said(await explained(rigs[0]), "blob "))


async def test_n17_10_of_an_index_the_images_that_are_here_are_told(tmp_path: Path, upstream: FakeRegistry) -> None:
    one = upstream.add_image(NAME, None, [b"one"])
    upstream.add_manifest(NAME, index_of(one, {"os": "linux", "architecture": "arm64"}, "it"), OCI_INDEX, "1")
    async with FakeBucket() as bucket, replica(tmp_path / "store", upstream.url, bucket) as proxy:
        assert (await proxy.ask(f"/v2/{NAME}/manifests/1")).status == 200
        assert len(said(await explained(proxy), "blobs")) == 1
        await pull(proxy, NAME, "1")
        await _uploaded(proxy)
        assert said(await explained(proxy), "blob ") == ["0.0 MiB; in the object store"] * 2


async def test_n17_10_an_image_of_many_layers_is_told_in_bounded_space(tmp_path: Path, upstream: FakeRegistry) -> None:
    upstream.add_image(NAME, "1", [b"%d" % number for number in range(60)])
    async with FakeBucket() as bucket, replica(tmp_path / "store", upstream.url, bucket) as proxy:
        assert (await proxy.ask(f"/v2/{NAME}/manifests/1")).status == 200
        document = await explained(proxy)
        assert len(said(document, "blob ")) == 50
        assert said(document, "blobs") == ["and 11 more"]


async def test_n17_10_what_members_exchange_only_where_it_is_public_is_said_so(tmp_path: Path, upstream: FakeRegistry) -> None:
    upstream.add_image(NAME, "1", [b"layer"])
    async with fleet(tmp_path, {"docker.io": upstream.url}, 2) as rigs:
        await pull(rigs[0], NAME, "1")
        await rigs[0].settled()
    mine = {"docker.io": {"hosts": [{"url": upstream.url}], "access": "proven"}}
    place = {"peers": ["http://192.0.2.1:5000", "http://192.0.2.2:5000"], "advertise": "http://192.0.2.2:5000", "key": KEY}
    async with rig(tmp_path / "0" / "store", mine, fleet=place, insecure_credentials=True) as proxy:
        found = said(await explained(proxy), "blob ")
        assert len(found) == 2
        assert all(each.endswith(", where it is public") for each in found)


async def test_n17_10_without_fleet_and_object_store_there_is_nothing_to_tell(upstream: FakeRegistry, proxy: Rig) -> None:
    upstream.add_image(NAME, "1", [b"layer"])
    await proxy.ask(f"/v2/{NAME}/manifests/1")
    assert said(await explained(proxy), "blob") == []
