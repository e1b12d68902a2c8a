"""A warm-up is a guest: of clients, of an upstream that counts pulls, of the store; and it ends whatever happens to the program."""

import json
import time
from collections import Counter
from pathlib import Path
from typing import Any

from regproxy.policy.store.eviction import OCCASION
from tests.fakes.deeds import Counted, Stall
from tests.fakes.entry import on
from tests.fakes.program import Program
from tests.fakes.registry import FakeRegistry
from tests.rig import rig
from tests.warming.test_jobs import warmed

IMAGES, LAYERS, SIZE = 40, 5, 20_000
REPOSITORIES = 4


def stocked(upstream: FakeRegistry) -> list[str]:
    """Add images of which each shares two of its layers with others, also of other repositories; return their names."""
    names = []
    for number in range(IMAGES):
        name = f"team/app{number % REPOSITORIES}"
        shared = [f"shared {number % each}".encode().ljust(SIZE) for each in (3, 7)]
        own = [f"{number} {layer}".encode().ljust(SIZE) for layer in range(LAYERS - len(shared))]
        upstream.add_image(name, str(number), [*shared, *own])
        names.append(f"{name}:{number}")
    return names


def sizes(upstream: FakeRegistry) -> dict[str, int]:
    """Return the size of each blob once, in however many repositories it is."""
    return {str(digest): len(body) for stored in upstream.repositories.values() for digest, body in stored.blobs.items()}


async def begin(program: Program, names: list[str], parallel: int = 4) -> int:
    status, text = await program.admin("/api/v1/warm", "POST", {"images": names, "parallel": parallel})
    assert status == 202, text
    return int(json.loads(text)["id"])


async def job(program: Program, number: int) -> dict[str, Any]:
    return dict(json.loads((await program.admin(f"/api/v1/warm/{number}"))[1]))


async def test_n18_28_a_warm_up_that_is_killed_goes_on_and_no_byte_comes_twice(tmp_path: Path) -> None:
    async with FakeRegistry() as upstream:
        names, expected = stocked(upstream), sizes(upstream)
        middle = str(max(digest for digest, size in expected.items() if size == SIZE))
        stall = Stall(SIZE // 2)
        upstream.misbehave(on("GET", f"/blobs/{middle}"), stall)
        program = Program(tmp_path, {"docker.io": {"hosts": [{"url": upstream.url}]}})
        async with program.running():
            number = await begin(program, names)
            await stall.reached.wait()
            await program.until(lambda: upstream.count("GET", "blobs") > len(expected) // 3)
        upstream.behave()
        before = Counter(entry.reference for entry in upstream.ledger if entry.kind == "blobs" and entry.method == "GET")
        assert 0 < len(before) < len(expected), "it was killed in the middle"
        async with program.running():

            async def is_over() -> bool:
                return (await job(program, number))["state"] in {"done", "failed"}

            await program.until(is_over)
            found = await job(program, number)
            assert found["counts"]["done"] == IMAGES, [each["reason"] for each in found["images"] if each["state"] != "done"]
        asked = Counter(entry.reference for entry in upstream.ledger if entry.kind == "blobs" and entry.method == "GET")
        again = {digest for digest, count in asked.items() if count > 1}
        assert set(asked) == set(expected)
        assert len(again) <= 8, "only what was on its way is asked for again"
        assert upstream.sent_blob_bytes() <= sum(expected.values()) + len(again) * SIZE


async def test_n18_28_pulls_that_an_upstream_counts_are_left_to_clients_by_many_images_at_once(tmp_path: Path) -> None:
    """No client has pulled anything, so that nobody but the warm-up itself knows how many pulls are left."""
    async with FakeRegistry() as upstream:
        names = stocked(upstream)
        counted = Counted(limit=20)
        upstream.misbehave(on("GET", "/manifests/"), counted)
        program = Program(tmp_path, {"docker.io": {"hosts": [{"url": upstream.url}]}})
        async with program.running():
            number = await begin(program, names, parallel=16)

            async def waits() -> bool:
                return sum("few pulls left" in each["reason"] for each in (await job(program, number))["images"]) >= 16

            await program.until(waits)
            assert counted.left == 2, "a tenth of them"
            found = await job(program, number)
            assert found["counts"]["done"] == 18
            assert found["counts"]["failed"] == 0
            waiting = next(each["name"] for each in found["images"] if each["reason"])
            repository, _, tag = waiting.removeprefix("docker.io/").partition(":")
            assert (await program.ask(f"/v2/{repository}/manifests/{tag}"))[0] == 200


async def test_n18_28_what_is_used_often_is_not_evicted_for_a_warm_up(tmp_path: Path) -> None:
    mebibyte = 1024 * 1024
    async with FakeRegistry() as upstream:
        used = [upstream.add_blob("team/app", bytes([number]) * mebibyte) for number in range(6)]
        for number in range(8):
            upstream.add_image("team/other", str(number), [bytes([100 + number]) * mebibyte])
        store = {"root": str(tmp_path / "store"), "max_size": "8MiB"}
        async with rig(tmp_path / "store", {"docker.io": upstream.url}, store=store) as proxy:
            for digest in used:
                assert (await proxy.ask(f"/v2/team/app/blobs/{digest}")).status == 200
            await proxy.settled()
            await proxy.ledger.touch([], used, time.time() + 2 * OCCASION)  # on another occasion
            assert (await proxy.ledger.census()).shares.often > 6 * mebibyte - 1
            await warmed(proxy, *(f"team/other:{number}" for number in range(8)), parallel=1)
            asked = upstream.count("GET", "blobs")
            for digest in used:
                assert (await proxy.ask(f"/v2/team/app/blobs/{digest}")).status == 200
            assert upstream.count("GET", "blobs") == asked
