"""`regproxy warm` and `regproxy refresh`, as they are typed."""

import asyncio
import json
import sys
from asyncio.subprocess import PIPE
from pathlib import Path

import pytest

from tests.fakes.deeds import Hold
from tests.fakes.registry import FakeRegistry
from tests.rig import LOOPBACK, Rig

PODS = json.dumps({"kind": "List", "items": [{"kind": "Pod", "spec": {"containers": [{"image": "app:1"}, {"image": "app:none"}]}}]})


async def run(proxy: Rig, *arguments: str, text: str = "") -> tuple[int, str, str]:
    command = [sys.executable, "-m", "regproxy", *arguments, "--admin", f"http://{LOOPBACK}:{proxy.admin_port}"]
    process = await asyncio.create_subprocess_exec(*command, stdin=PIPE, stdout=PIPE, stderr=PIPE)
    out, err = await process.communicate(text.encode())
    return process.returncode or 0, out.decode(), err.decode()


@pytest.fixture
def image(upstream: FakeRegistry) -> str:
    return str(upstream.add_image("library/app", "1", [b"layer"]).digest)


@pytest.mark.usefixtures("image")
async def test_n18_01_images_that_are_named_are_in_the_store_when_it_ends(proxy: Rig) -> None:
    status, out, _ = await run(proxy, "warm", "app:1", "--platform", "all")
    assert (status, out) == (0, "1 of 1 images are in the store\n")
    status, out, _ = await run(proxy, "warm", "--jobs")
    assert (status, out.split()[:2], out.split()[-5:]) == (0, ["1", "done"], ["1", "of", "1", "images", "operator"])


@pytest.mark.usefixtures("image")
async def test_n18_01_images_of_pods_are_found_and_each_that_fails_is_told(proxy: Rig, tmp_path: Path) -> None:
    status, out, err = await run(proxy, "warm", "-", text=PODS)
    assert (status, out) == (1, "1 of 2 images are in the store\n")
    assert err.startswith("failed docker.io/library/app:none: ")
    file = tmp_path / "pods.json"
    file.write_text(PODS)
    status, out, _ = await run(proxy, "warm", "-f", str(file), "--json")
    job = json.loads(out)
    assert (status, job["state"], [each["state"] for each in job["images"]]) == (1, "failed", ["done", "failed"])


@pytest.mark.parametrize(
    ("arguments", "text", "told"),
    [
        ([], "", "no images"),
        (["-"], "", "no images"),
        (["-"], "nginx one", "standard input: this is neither a list"),
        (["-f", "/nowhere/images"], "", "/nowhere/images: No such file or directory"),
        (["app:1", "--platform", "amd64"], "", "is not a platform"),
        (["unknown.example/app"], "", "unknown.example"),
    ],
)
async def test_n18_01_what_cannot_be_begun_is_status_2_and_one_line(proxy: Rig, arguments: list[str], text: str, told: str) -> None:
    status, out, err = await run(proxy, "warm", *arguments, text=text)
    assert (status, out, len(err.splitlines())) == (2, "", 1)
    assert told in err


@pytest.mark.usefixtures("image")
async def test_n18_01_without_waiting_it_ends_at_once_and_may_be_cancelled(proxy: Rig, upstream: FakeRegistry) -> None:
    gate = Hold()
    upstream.misbehave("/manifests/", gate)
    status, out, _ = await run(proxy, "warm", "app:1", "--no-wait")
    assert (status, out.startswith("warm-up 1 of 1 images begun")) == (0, True)
    assert (await run(proxy, "warm", "--cancel", "1"))[0] == 0
    assert (await proxy.admin("warm/1"))[1]["state"] == "cancelled"
    gate.event.set()


async def test_n18_01_a_refresh_tells_what_a_tag_means_now(proxy: Rig, image: str) -> None:
    assert await run(proxy, "refresh", "app:1") == (0, f"docker.io/library/app:1 is {image} (miss)\n", "")
