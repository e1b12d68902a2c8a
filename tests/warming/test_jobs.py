"""Warm-ups by the admin API: what is brought in, what fails and why, what is tried again, and what a restart leaves."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from regproxy.oci.digest import Digest
from tests.clients.content import index
from tests.fakes.deeds import Drop, Headers, Hold, Status
from tests.fakes.registry import FakeRegistry
from tests.rig import Rig, rig

NAME = "library/app"
APP = f"docker.io/{NAME}:1"


async def over(proxy: Rig, number: int) -> dict[str, Any]:
    """Wait for the end of a job, and return it."""
    async with asyncio.timeout(120):
        while True:
            _, job = await proxy.admin(f"warm/{number}")
            if job["state"] not in {"queued", "running"}:
                return dict(job)
            await asyncio.sleep(0.02)


async def warmed(proxy: Rig, *images: str, **more: object) -> dict[str, Any]:
    status, job = await proxy.admin("warm", "POST", {"images": list(images), **more})
    assert status == 202, job
    return await over(proxy, job["id"])


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(60):
        while not await condition():  # noqa: ASYNC110  the admin API tells nobody
            await asyncio.sleep(0.02)


def several(upstream: FakeRegistry, tag: str) -> dict[str, list[str]]:
    """Add an image for two platforms; return the digests of each."""
    found, children = {}, []
    for architecture in ("amd64", "arm64"):
        image = upstream.add_image(NAME, f"{tag}-{architecture}", [architecture.encode() * 1000])
        found[architecture] = [str(image.digest)]
        described = {"mediaType": image.media_type, "digest": str(image.digest), "size": image.size}
        children.append({**described, "platform": {"os": "linux", "architecture": architecture}})
    top = index(children)
    upstream.add_manifest(NAME, top.body, top.media_type, tag=tag)
    return found


async def test_n18_02_what_was_warmed_is_served_when_upstream_is_dead(upstream: FakeRegistry, proxy: Rig) -> None:
    image = upstream.add_image(NAME, "1", [b"one" * 1000, b"two" * 1000])
    job = await warmed(proxy, "app:1")
    assert (job["state"], job["origin"]) == ("done", "operator")
    [shown] = job["images"]
    assert (shown["name"], shown["digest"], shown["reason"], shown["attempts"]) == (APP, str(image.digest), "", 1)
    upstream.misbehave("/v2/", Drop())
    manifest = await proxy.ask(f"/v2/{NAME}/manifests/{image.digest}")
    assert manifest.status == 200
    for layer in (b"one" * 1000, b"two" * 1000):
        assert (await proxy.ask(f"/v2/{NAME}/blobs/{Digest.of(layer)}")).body == layer


async def test_n18_02_each_byte_is_fetched_once_though_images_share_layers_and_clients_pull(upstream: FakeRegistry, proxy: Rig) -> None:
    shared = b"shared" * 10_000
    for tag in map(str, range(6)):
        upstream.add_image(NAME, tag, [shared, tag.encode() * 1000])
    digest = str(Digest.of(shared))
    asking = asyncio.create_task(proxy.ask(f"/v2/{NAME}/blobs/{digest}"))
    job = await warmed(proxy, *(f"app:{tag}" for tag in range(6)), parallel=4)
    assert job["counts"]["done"] == 6
    assert (await asking).body == shared
    assert upstream.count("GET", "blobs", digest) == 1
    assert (await warmed(proxy, *(f"app:{tag}" for tag in range(6))))["state"] == "done"
    assert upstream.count("GET", "blobs", digest) == 1


@pytest.mark.parametrize(("platforms", "brought"), [(["linux/arm64"], {"arm64"}), ([], {"amd64", "arm64"})])
async def test_n18_02_of_an_index_the_platforms_that_are_asked_for(
    upstream: FakeRegistry, proxy: Rig, platforms: list[str], brought: set[str]
) -> None:
    digests = several(upstream, "1")
    assert (await warmed(proxy, "app:1", platforms=platforms))["state"] == "done"
    upstream.misbehave("/v2/", Drop())
    served = {name for name, (digest,) in digests.items() if (await proxy.ask(f"/v2/{NAME}/manifests/{digest}")).status == 200}
    assert served == brought


async def test_n18_02_a_platform_that_is_not_there_is_told_with_those_that_are(upstream: FakeRegistry, proxy: Rig) -> None:
    several(upstream, "1")
    job = await warmed(proxy, "app:1", platforms=["linux/s390x"])
    assert job["state"] == "failed"
    assert job["images"][0]["reason"].endswith("has no image for linux/s390x: it has linux/amd64, linux/arm64")


async def test_n18_02_one_image_that_fails_does_not_fail_the_others(upstream: FakeRegistry, proxy: Rig) -> None:
    upstream.add_image(NAME, "1", [b"layer"])
    upstream.add_image(NAME, "2", [b"other"])
    upstream.misbehave("/manifests/2", Status(403))
    job = await warmed(proxy, "app:none", "app:2", "app:1")
    assert job["state"] == "failed"
    assert [(each["state"], each["attempts"], bool(each["reason"])) for each in job["images"]] == [
        ("failed", 1, True),
        ("failed", 1, True),
        ("done", 1, False),
    ]


async def test_n18_02_what_upstream_could_not_give_is_tried_again(upstream: FakeRegistry, proxy: Rig) -> None:
    image = upstream.add_image(NAME, "1", [b"layer" * 1000])
    upstream.misbehave("/manifests/", Status(503))
    status, job = await proxy.admin("warm", "POST", {"images": ["app:1"]})
    assert status == 202

    async def has_failed() -> bool:
        return bool((await proxy.admin(f"warm/{job['id']}"))[1]["images"][0]["reason"])

    await until(has_failed)
    upstream.behave()
    job = await over(proxy, job["id"])
    assert job["state"] == "done"
    assert job["images"][0]["attempts"] > 1
    assert job["images"][0]["digest"] == str(image.digest)


async def test_n18_02_a_job_that_is_cancelled_ends_and_the_next_one_begins(upstream: FakeRegistry, proxy: Rig) -> None:
    upstream.add_image(NAME, "1", [b"layer"])
    upstream.add_image(NAME, "2", [b"other"])
    gate = Hold()
    upstream.misbehave("/manifests/1", gate)
    _, held = await proxy.admin("warm", "POST", {"images": ["app:1", "app:2"], "parallel": 1})
    await gate.reached.wait()
    _, waiting = await proxy.admin("warm", "POST", {"images": ["app:2"]})
    _, unwanted = await proxy.admin("warm", "POST", {"images": ["app:2"]})
    assert (await proxy.admin(f"warm/{unwanted['id']}", "DELETE"))[0] == 204
    assert (await proxy.admin(f"warm/{held['id']}", "DELETE"))[0] == 204
    assert (await over(proxy, waiting["id"]))["state"] == "done"
    assert [(await over(proxy, each["id"]))["state"] for each in (held, unwanted)] == ["cancelled"] * 2
    assert (await proxy.admin(f"warm/{held['id']}", "DELETE"))[0] == 404
    gate.event.set()
    _, listed = await proxy.admin("warm")
    assert [each["id"] for each in listed["jobs"]] == [unwanted["id"], waiting["id"], held["id"]]


async def test_n18_02_a_job_goes_on_after_a_restart_with_what_is_missing(upstream: FakeRegistry, tmp_path: Path) -> None:
    first, second = (upstream.add_image(NAME, tag, [tag.encode() * 1000]) for tag in ("1", "2"))
    gate = Hold()
    upstream.misbehave(f"/blobs/{Digest.of(b'2' * 1000)}", gate)
    async with rig(tmp_path / "store", {"docker.io": upstream.url}) as proxy:
        _, job = await proxy.admin("warm", "POST", {"images": ["app:1", "app:2"], "parallel": 1})
        await gate.reached.wait()
    gate.event.set()
    upstream.behave()
    async with rig(tmp_path / "store", {"docker.io": upstream.url}) as proxy:
        job = await over(proxy, job["id"])
        assert job["state"] == "done"
        assert [each["digest"] for each in job["images"]] == [str(first.digest), str(second.digest)]
        assert all(each["bytes"] > 1000 for each in job["images"]), "of what was brought in before the restart too"
        assert upstream.count("GET", "blobs", str(Digest.of(b"1" * 1000))) == 1


async def test_n18_02_how_far_a_layer_is_is_shown_while_it_comes(upstream: FakeRegistry, proxy: Rig) -> None:
    upstream.add_image(NAME, "1", [b"layer" * 1000])
    digest = str(Digest.of(b"layer" * 1000))
    gate = Hold()
    upstream.misbehave(f"/blobs/{digest}", gate)
    _, job = await proxy.admin("warm", "POST", {"images": ["app:1"]})
    await gate.reached.wait()
    _, shown = await proxy.admin(f"warm/{job['id']}")
    layers = {each["digest"]: each for each in shown["images"][0]["layers"]}
    assert (layers[digest]["size"], layers[digest]["written"]) == (5000, 0)
    gate.event.set()
    assert (await over(proxy, job["id"]))["images"][0]["bytes"] >= 5000


async def test_n18_03_an_image_that_the_store_has_no_room_for_fails(upstream: FakeRegistry, tmp_path: Path) -> None:
    upstream.add_image(NAME, "1", [bytes(3_000_000)])
    async with rig(tmp_path / "store", {"docker.io": upstream.url}, store={"root": str(tmp_path / "store"), "max_size": "1MiB"}) as proxy:
        job = await warmed(proxy, "app:1")
        assert "no room" in job["images"][0]["reason"]


async def test_n18_03_the_pulls_that_are_left_are_for_clients(upstream: FakeRegistry, proxy: Rig) -> None:
    upstream.add_image(NAME, "1", [b"layer"])
    upstream.add_image(NAME, "2", [b"other"])
    upstream.misbehave("/manifests/", Headers({"ratelimit-limit": "100;w=21600", "ratelimit-remaining": "5;w=21600"}))
    assert (await proxy.ask(f"/v2/{NAME}/manifests/2")).status == 200
    _, job = await proxy.admin("warm", "POST", {"images": ["app:1"]})

    async def waits() -> bool:
        return "few pulls left" in (await proxy.admin(f"warm/{job['id']}"))[1]["images"][0]["reason"]

    await until(waits)
    assert upstream.count("GET", "manifests", "1") == 0
