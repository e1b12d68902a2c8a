import asyncio
import os
from hashlib import sha256
from pathlib import Path

import pytest

from regproxy.fleet.signing import PublicKeys
from regproxy.oci.digest import Digest
from regproxy.policy.fleet.signed_hash import Part, SignedHash
from tests.fakes.deeds import Hold, Paced
from tests.fakes.registry import FakeRegistry
from tests.rig import PATIENT, Rig, rig

NAME = "library/app"
MIB = 1024 * 1024


def path_to(digest: Digest) -> str:
    return f"/v2/{NAME}/_regproxy/hashes/{digest}"


async def stated(proxy: Rig, blob: bytes, start: int, stop: int) -> bytes:
    """Return the hash that is stated of a part, once it is, with everything else that is said in its place."""
    digest = Digest.of(blob)
    while True:
        answer = await proxy.ask(path_to(digest), Range=f"bytes={start}-{stop - 1}")
        assert (answer.status, answer.headers["Cache-Control"]) == (200, "no-store")
        if (said := json_of(answer.body)) != {"pending": True}:
            break
    signed, keys = SignedHash.decode(bytes.fromhex(str(said["hash"]))), PublicKeys()
    assert signed is not None
    keys.learn(bytes.fromhex(str(said["key"])))
    assert said["size"] == len(blob)
    assert keys.have_signed(Part(digest, len(blob), start, min(stop, len(blob))), signed)
    return signed.hash


def json_of(body: bytes) -> dict[str, object]:
    import json

    found = json.loads(body)
    assert isinstance(found, dict)
    return found


@pytest.mark.parametrize("is_cold", [True, False])
async def test_n17_13_a_part_is_stated_cold_and_stored(upstream: FakeRegistry, tmp_path: Path, is_cold: bool) -> None:
    blob = os.urandom(3 * MIB + 5)
    digest = upstream.add_blob(NAME, blob)
    async with rig(tmp_path / "store", {"docker.io": upstream.url}, timeouts=PATIENT) as proxy:
        if not is_cold:
            await proxy.ask(f"/v2/{NAME}/blobs/{digest}")
            await proxy.settled()
        for start, stop in ((0, MIB), (MIB, 2 * MIB), (3 * MIB, 4 * MIB), (3 * MIB, 4 * MIB)):
            assert await stated(proxy, blob, start, stop) == sha256(blob[start:stop]).digest()
        await proxy.settled()
        assert upstream.sent_blob_bytes() == len(blob)


async def test_n17_13_a_part_that_is_on_its_way_is_pending(upstream: FakeRegistry, tmp_path: Path) -> None:
    blob = os.urandom(2 * MIB)
    digest = upstream.add_blob(NAME, blob)
    upstream.misbehave("/blobs/", held := Hold())
    async with rig(tmp_path / "store", {"docker.io": upstream.url}, timeouts=PATIENT) as proxy:
        pulling = asyncio.create_task(proxy.ask(f"/v2/{NAME}/blobs/{digest}"))
        await held.reached.wait()
        asking = asyncio.create_task(proxy.ask(path_to(digest), Range=f"bytes={MIB}-{2 * MIB - 1}"))
        held.event.set()
        upstream.misbehave("/blobs/", Paced(MIB))
        await asyncio.gather(pulling, asking)
        assert await stated(proxy, blob, MIB, 2 * MIB) == sha256(blob[MIB:]).digest()


@pytest.mark.parametrize("uncached_ranges", ["pass", "fill", "wait"])
async def test_n17_13_who_asks_for_a_hash_keeps_nobody_from_the_blob(upstream: FakeRegistry, tmp_path: Path, uncached_ranges: str) -> None:
    blob = os.urandom(3 * MIB)
    digest = upstream.add_blob(NAME, blob)
    part, downloads = {"Range": f"bytes={MIB}-{2 * MIB - 1}"}, {"uncached_ranges": uncached_ranges}
    async with rig(tmp_path / "store", {"docker.io": upstream.url}, timeouts=PATIENT, downloads=downloads) as proxy:
        assert (await proxy.ask(f"/v2/{NAME}/blobs/{digest}", **part)).status == 206
        asked = len(upstream.ledger)
        said = json_of((await proxy.ask(path_to(digest), **part)).body)
        assert (said == {"kept": False}) is (uncached_ranges == "pass")
        assert uncached_ranges != "pass" or len(upstream.ledger) == asked
        assert (await proxy.ask(f"/v2/{NAME}/blobs/{digest}", **part)).body == blob[MIB : 2 * MIB]
        assert (await proxy.ask(f"/v2/{NAME}/blobs/{digest}")).body == blob
        await proxy.settled()
        assert await stated(proxy, blob, MIB, 2 * MIB) == sha256(blob[MIB : 2 * MIB]).digest()


@pytest.mark.parametrize("range_", ["", "bytes=0-1,4-5", "bytes=0-", "bytes=1-1048576", "bytes=0-99", "bytes=99999999-"])
async def test_n17_13_a_hash_is_of_one_piece(upstream: FakeRegistry, tmp_path: Path, range_: str) -> None:
    digest = upstream.add_blob(NAME, os.urandom(17 * MIB))
    async with rig(tmp_path / "store", {"docker.io": upstream.url}, timeouts=PATIENT) as proxy:
        await proxy.ask(f"/v2/{NAME}/blobs/{digest}")
        await proxy.settled()
        assert (await proxy.ask(path_to(digest), **({"Range": range_} if range_ else {}))).status == 416


async def test_n17_13_what_one_upstream_sends_is_signed_for_no_other(upstream: FakeRegistry, tmp_path: Path) -> None:
    """Of a hostile one, wrong bytes are signed before anybody knows, and a member might pass that on as of another upstream."""
    blob = os.urandom(MIB)
    digest, keys = upstream.add_blob(NAME, blob), set()
    async with rig(tmp_path / "store", {"docker.io": upstream.url, "quay.io": upstream.url}, timeouts=PATIENT) as proxy:
        for name in ("docker.io", "quay.io"):
            await proxy.ask(f"/v2/{NAME}/blobs/{digest}?ns={name}")
            await proxy.settled()
            keys.add(json_of((await proxy.ask(f"{path_to(digest)}?ns={name}", Range=f"bytes=0-{MIB - 1}")).body)["key"])
    assert len(keys) == 2


async def test_n17_13_what_was_hashed_of_a_damaged_file_is_not_said_of_the_next_one(upstream: FakeRegistry, tmp_path: Path) -> None:
    blob = os.urandom(MIB)
    digest = upstream.add_blob(NAME, blob)
    async with rig(tmp_path / "store", {"docker.io": upstream.url}, timeouts=PATIENT) as proxy:
        await proxy.ask(f"/v2/{NAME}/blobs/{digest}")
        await proxy.settled()
        (path,) = (each for each in (tmp_path / "store" / "blobs").rglob("*") if each.is_file())
        with path.open("r+b") as file:
            file.write(bytes(MIB))
        assert await stated(proxy, blob, 0, MIB) == sha256(bytes(MIB)).digest()
        path.unlink()
        await proxy.ask(f"/v2/{NAME}/blobs/{digest}")
        await proxy.settled()
        assert await stated(proxy, blob, 0, MIB) == sha256(blob).digest()


async def test_n17_13_who_may_not_have_a_blob_is_told_nothing_of_it(upstream: FakeRegistry, tmp_path: Path) -> None:
    digest = upstream.add_blob(NAME, b"private")
    entry = {"hosts": [{"url": upstream.url}], "deny": ["team/*"]}
    async with rig(tmp_path / "store", {"docker.io": entry}, timeouts=PATIENT) as proxy:
        await proxy.ask(f"/v2/{NAME}/blobs/{digest}")
        await proxy.settled()
        for name, status in ((NAME, 200), ("team/app", 403), ("library/other", 404)):
            answer = await proxy.ask(f"/v2/{name}/_regproxy/hashes/{digest}", Range="bytes=0-6")
            assert answer.status == status
            assert (b"key" in answer.body) is (status == 200)
    clients = {"htpasswd": str(tmp_path / "users")}
    (tmp_path / "users").write_text("user:$2b$04$abcdefghijklmnopqrstuuIhrUIuwoLGGvkSrsZo1Mn.ZtLWfBSVS\n")
    async with rig(tmp_path / "closed", {"docker.io": upstream.url}, clients=clients, timeouts=PATIENT) as proxy:
        assert (await proxy.ask(path_to(digest), Range="bytes=0-6")).status == 401
