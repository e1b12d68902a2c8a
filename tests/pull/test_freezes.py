"""Tags that operators hold to what they mean."""

import asyncio
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from regproxy.cli import app
from tests.fakes.registry import FakeRegistry
from tests.rig import Answer, Rig, rig

NAME = "library/app"


async def pulled(proxy: Rig, tag: str = "1") -> Answer:
    return await proxy.ask(f"/v2/{NAME}/manifests/{tag}?ns=docker.io")


def upstreams(registry: FakeRegistry, *frozen: str, **rule: str) -> dict[str, object]:
    freeze = [{"match": match} for match in frozen]
    return {"docker.io": {"hosts": [{"url": registry.url}], "tags": [{"fresh_for": "0s", **rule}], "freeze": freeze}}


async def ran(proxy: Rig, *arguments: str) -> Result:
    """Run a command against the proxy's admin port, in a thread as it blocks."""
    command = [*arguments, "--admin", f"http://127.0.0.1:{proxy.admin_port}"]
    return await asyncio.to_thread(CliRunner().invoke, app, command)


@pytest.mark.parametrize(
    "image", ["docker.io/library/app:1", "docker.io/app:1", "docker.io/app", "index.docker.io/library/*", "docker.io/*"]
)
async def test_a_frozen_tag_means_what_it_meant_until_it_is_let_go(upstream: FakeRegistry, proxy: Rig, image: str) -> None:
    upstream.add_image(NAME, "1", [b"old"])
    old = await pulled(proxy)
    assert (await ran(proxy, "freeze", image)).exit_code == 0
    upstream.add_image(NAME, "1", [b"new"])
    frozen = await pulled(proxy)
    assert (frozen.body, frozen.headers["Cache-Status"]) == (old.body, "regproxy; hit; detail=frozen")
    assert (await ran(proxy, "unfreeze", image)).exit_code == 0
    assert (await pulled(proxy)).body != old.body


async def test_a_freeze_survives_a_restart_and_an_upstream_that_is_gone(upstream: FakeRegistry, tmp_path: Path) -> None:
    upstream.add_image(NAME, "1", [b"old"])
    async with rig(tmp_path / "store", upstreams(upstream)) as proxy:
        old = await pulled(proxy)
        assert (await ran(proxy, "freeze", "docker.io/library/*")).exit_code == 0
    await upstream.stop()
    async with rig(tmp_path / "store", upstreams(upstream)) as proxy:
        frozen = await pulled(proxy)
    assert (frozen.body, "Warning" in frozen.headers) == (old.body, False)


async def test_a_tag_can_be_held_to_another_digest(upstream: FakeRegistry, proxy: Rig) -> None:
    first = upstream.add_image(NAME, "1", [b"first"])
    upstream.add_image(NAME, "1", [b"second"])
    nothing = await ran(proxy, "freeze")
    assert (nothing.exit_code, nothing.stdout, nothing.stderr) == (0, "", "nothing is frozen\n")
    assert (await ran(proxy, "freeze", "docker.io/app:1", "--digest", str(first.digest))).exit_code == 0
    assert (await pulled(proxy)).headers["Docker-Content-Digest"] == str(first.digest)
    assert (await ran(proxy, "freeze")).stdout == f"docker.io/library/app:1  {first.digest}\n"


async def test_a_tag_frozen_before_it_was_known_stays_what_it_was_found_to_be(upstream: FakeRegistry, tmp_path: Path) -> None:
    async with rig(tmp_path / "store", upstreams(upstream, NAME)) as proxy:
        upstream.add_image(NAME, "1", [b"old"])
        old = await pulled(proxy)
        upstream.add_image(NAME, "1", [b"new"])
        assert (await pulled(proxy)).body == old.body


async def test_a_frozen_tag_that_is_not_known_is_still_under_its_policy(upstream: FakeRegistry, tmp_path: Path) -> None:
    upstream.add_image(NAME, "1", [b"layer"])
    async with rig(tmp_path / "store", upstreams(upstream, NAME, policy="never")) as proxy:
        assert (await pulled(proxy)).status == 404
    assert upstream.ledger == []


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        pytest.param(("freeze", "nowhere.io/a:1"), "no upstream 'nowhere.io' is configured here", id="an unknown registry"),
        pytest.param(("freeze", "docker.io/a:1", "--digest", "md5:1"), "md5", id="no digest"),
        pytest.param(("unfreeze", "docker.io/a:1"), "was not frozen at run time", id="nothing to let go of"),
    ],
)
async def test_what_cannot_be_frozen_is_told_in_a_line(proxy: Rig, arguments: tuple[str, ...], said: str) -> None:
    result = await ran(proxy, *arguments)
    assert (result.exit_code, said in result.stderr) == (1, True)
