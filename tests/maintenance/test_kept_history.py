"""What a rollback wants is evicted last: after what was used later, in the server that saw it, after a restart, after the index is lost."""

from pathlib import Path

import pytest

from tests.fakes.registry import FakeRegistry
from tests.rig import Rig, rig

NAME = "library/app"


async def pulled(proxy: Rig, tag: str) -> str:
    answer = await proxy.ask(f"/v2/{NAME}/manifests/{tag}")
    assert answer.status == 200
    return answer.headers["Docker-Content-Digest"]


async def here(proxy: Rig) -> set[str]:
    return {str(each.digest) for each in await proxy.ledger.images()}


@pytest.mark.parametrize("interruption", ["none", "restart", "lost index"])
async def test_n18_06_what_the_history_names_is_evicted_last(upstream: FakeRegistry, tmp_path: Path, interruption: str) -> None:
    now = [1_000_000.0]
    settings = {"docker.io": {"hosts": [{"url": upstream.url}], "tags": [{"fresh_for": "0s"}]}}
    store = {"keep_history": "1d"}

    async def check(proxy: Rig) -> None:
        for _ in others:
            await proxy.proxy.evictor.sweep(1)
        assert await here(proxy) == {old, new}
        now[0] += 86_400
        await proxy.proxy.evictor.sweep(1)
        assert len(await here(proxy)) == 1, "it is not kept for ever"
        await proxy.proxy.evictor.sweep(1)
        assert await here(proxy) == set()

    async with rig(tmp_path / "store", settings, lambda: now[0], store=store) as proxy:
        upstream.add_image(NAME, "1", [b"old"])
        old = await pulled(proxy, "1")
        upstream.add_image(NAME, "1", [b"new"])
        new = await pulled(proxy, "1")
        others = set()
        for number in range(3):
            now[0] += 1000
            upstream.add_image(NAME, f"other-{number}", [b"other %d" % number])
            others.add(await pulled(proxy, f"other-{number}"))
        assert await here(proxy) == {old, new} | others
        if interruption == "none":
            await check(proxy)
            return
    if interruption == "lost index":
        (tmp_path / "store" / "index.db").write_bytes(b"damaged" * 1000)
    async with rig(tmp_path / "store", settings, lambda: now[0], store=store) as proxy:
        while await here(proxy) != {old, new} | others:
            await proxy.proxy.store.look()
        await check(proxy)
