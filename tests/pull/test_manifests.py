"""What a tag means while upstream moves it, hides it or says that it is not there."""

import asyncio
import json
import time
from pathlib import Path

import pytest

from tests.fakes.deeds import Status
from tests.fakes.registry import FakeRegistry
from tests.rig import Answer, Rig, rig

NAME = "library/app"


async def pulled(proxy: Rig, tag: str = "1") -> Answer:
    return await proxy.ask(f"/v2/{NAME}/manifests/{tag}?ns=docker.io")


def upstreams(registry: FakeRegistry, *frozen: str, **rule: str) -> dict[str, object]:
    freeze = [{"match": match} for match in frozen]
    return {"docker.io": {"hosts": [{"url": registry.url}], "tags": [{"fresh_for": "0s", **rule}], "freeze": freeze}}


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


async def test_n13_23_a_missing_tag_is_named_with_its_repository(upstream: FakeRegistry, proxy: Rig) -> None:
    upstream.add_image(NAME, "1", [b"layer"])
    for _ in range(2):
        answer = await proxy.ask(f"/v2/{NAME}/manifests/no-such-tag")
        assert (answer.status, f"docker.io/{NAME}:no-such-tag".encode() in answer.body) == (404, True)
