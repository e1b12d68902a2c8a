"""What a tag means while upstream moves it, hides it or says that it is not there."""

import asyncio
import json
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from regproxy.cli import app
from tests.fakes.deeds import Status
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


async def test_u26_a_missing_tag_is_asked_for_once_in_a_while(upstream: FakeRegistry, tmp_path: Path) -> None:
    async with rig(tmp_path / "store", upstreams(upstream, missing_for="1h")) as proxy:
        answers = [await pulled(proxy) for _ in range(5)]
        upstream.add_image(NAME, "1", [b"layer"])
        answers.append(await pulled(proxy))
        assert (await pulled(proxy, "2")).status == 404, "another tag is another question"
    assert {(answer.status, json.loads(answer.body)["errors"][0]["code"]) for answer in answers} == {(404, "MANIFEST_UNKNOWN")}
    assert upstream.count("GET", "manifests", "/1") == 1


async def test_u26_a_tag_that_is_pushed_late_is_found_when_the_memory_is_over(upstream: FakeRegistry, tmp_path: Path) -> None:
    async with rig(tmp_path / "store", upstreams(upstream, missing_for="0s")) as proxy:
        assert (await pulled(proxy)).status == 404
        upstream.add_image(NAME, "1", [b"layer"])
        assert (await pulled(proxy)).status == 200


async def test_u26_a_refusal_is_not_taken_for_an_absence(upstream: FakeRegistry, tmp_path: Path) -> None:
    """It is repeated for a moment, whatever `missing_for` is."""
    upstream.add_image(NAME, "1", [b"layer"])
    now = [time.time()]
    async with rig(tmp_path / "store", upstreams(upstream, missing_for="1h"), lambda: now[0]) as proxy:
        upstream.misbehave("/manifests/", Status(403), times=1)
        assert (await pulled(proxy)).status == 403
        now[0] += 5
        assert (await pulled(proxy)).status == 200


@pytest.mark.parametrize("is_known", [False, True], ids=["never seen", "cached"])
@pytest.mark.parametrize(("deed", "told"), [(Status(401), 403), (Status(403), 403), (Status(451), 451)], ids=["401", "403", "451"])
async def test_n12_15_a_tag_that_is_refused_is_not_asked_for_at_each_request(
    upstream: FakeRegistry, tmp_path: Path, deed: Status, told: int, *, is_known: bool
) -> None:
    """Thousands of nodes may ask for it again and again."""
    upstream.add_image(NAME, "1", [b"layer"])
    now = [time.time()]
    async with rig(tmp_path / "store", upstreams(upstream), lambda: now[0]) as proxy:
        if is_known:
            assert (await pulled(proxy)).status == 200
        now[0] += 1
        upstream.misbehave("/manifests/", deed)
        before = len(upstream.ledger)
        together = await asyncio.gather(*(pulled(proxy) for _ in range(50)))
        refused = [*together, *[await pulled(proxy) for _ in range(50)]]
        assert {answer.status for answer in refused} == {told}
        assert {json.loads(answer.body)["errors"][0]["code"] for answer in refused[50:]} == {"DENIED"}
        assert len(upstream.ledger) - before < 10
        upstream.behave()
        now[0] += 6
        assert (await pulled(proxy)).status == 200


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


async def test_a_foreign_web_page_cannot_freeze(proxy: Rig) -> None:
    """A form has no way to say application/json without asking first (CORS)."""
    url = f"http://127.0.0.1:{proxy.admin_port}/api/v1/freezes"
    async with proxy.session.post(url, data='{"pattern": "docker.io/*"}', headers={"Content-Type": "text/plain"}) as response:
        assert response.status == 400


async def test_n13_23_a_missing_tag_is_named_with_its_repository(upstream: FakeRegistry, proxy: Rig) -> None:
    upstream.add_image(NAME, "1", [b"layer"])
    for _ in range(2):
        answer = await proxy.ask(f"/v2/{NAME}/manifests/no-such-tag")
        assert (answer.status, f"docker.io/{NAME}:no-such-tag".encode() in answer.body) == (404, True)
