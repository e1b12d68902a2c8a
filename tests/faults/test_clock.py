"""The wall clock jumps: it costs questions, and nothing else; by row."""

import os
from pathlib import Path

import pytest

from regproxy.oci.digest import Digest
from tests.fakes.registry import FakeRegistry
from tests.rig import Rig, rig

NAME = "library/app"
TAG = f"/v2/{NAME}/manifests/1?ns=docker.io"
YEARS = 10 * 365 * 86_400.0


async def _outcome(proxy: Rig, path: str) -> str:
    return (await proxy.ask(path)).headers["Cache-Status"].removeprefix("regproxy; ")


@pytest.mark.parametrize(
    "jump", [YEARS, -YEARS, 3600.0, -3600.0], ids=["d16 ten years on", "d16 ten years back", "d16 DST", "d16 DST ends"]
)
async def test_a_jump_of_the_clock_costs_a_question_and_evicts_nothing(upstream: FakeRegistry, tmp_path: Path, jump: float) -> None:
    now = [2e9]
    old, layer = os.urandom(3_000_000), os.urandom(3_000_000)
    docker = {"hosts": [{"url": upstream.url}], "tags": [{"fresh_for": "5m"}]}
    store = {"root": str(tmp_path / "store"), "max_size": "8MiB"}
    async with rig(tmp_path / "store", {"docker.io": docker}, lambda: now[0], store=store) as proxy:
        upstream.add_image("library/old", "1", [old])
        upstream.add_image(NAME, "1", [layer])
        blobs = [f"/v2/{name}/blobs/{Digest.of(body)}?ns=docker.io" for name, body in (("library/old", old), (NAME, layer))]
        for path in ("/v2/library/old/manifests/1?ns=docker.io", blobs[0], TAG, blobs[1]):
            await proxy.ask(path)
        await proxy.settled()
        now[0] += jump
        assert await _outcome(proxy, TAG) == "fwd=stale; fwd-status=200", "neither fresh for ever nor lost"
        assert await _outcome(proxy, TAG) == "hit", "and fresh again from now on"
        assert [await _outcome(proxy, path) for path in blobs] == ["hit", "hit"]
        await proxy.proxy.evictor.sweep(0)
        assert [await _outcome(proxy, path) for path in blobs] == ["hit", "hit"]
        assert upstream.count("GET", "blobs") == 2
        now[0] -= jump
        assert await _outcome(proxy, TAG) == "fwd=stale; fwd-status=200"


async def test_d16_a_sweep_after_a_jump_back_still_knows_what_was_used_last(upstream: FakeRegistry, tmp_path: Path) -> None:
    """What was used in what is now the future would never be idle, and push out all that is used from now on."""
    now = [2e9]
    store = {"root": str(tmp_path / "store"), "max_size": "8MiB"}
    async with rig(tmp_path / "store", {"docker.io": upstream.url}, lambda: now[0], store=store) as proxy:
        bodies = [os.urandom(2_000_000) for _ in range(3)]
        paths = [f"/v2/{NAME}/blobs/{upstream.add_blob(NAME, body)}?ns=docker.io" for body in bodies]
        for path in paths:
            await proxy.ask(path)
            now[0] += 1
        await proxy.settled()
        now[0] -= YEARS
        await proxy.proxy.evictor.sweep(0)
        assert await _outcome(proxy, paths[1]) == "hit"
        await proxy.proxy.evictor.sweep(1)
        left = [(tmp_path / "store" / "blobs" / "sha256" / Digest.of(body).hex[:2] / Digest.of(body).hex).exists() for body in bodies]
        assert sorted(left) == [False, True, True], "one goes, not all"
        assert left[1], "and not the one that was used since"
