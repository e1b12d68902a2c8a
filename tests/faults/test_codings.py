"""What Content-Encoding says, and what it means for a body that is not encoded."""

from pathlib import Path

import pytest

from regproxy.oci.digest import Digest
from tests.fakes.deeds import Headers, Status
from tests.fakes.registry import FakeRegistry
from tests.rig import Rig, rig

NAME = "library/app"
NO_CODINGS = ["aws-chunked", "", "utf-8", "none", "identity, identity", "identity,aws-chunked"]
PATHS = [f"/v2/{NAME}/manifests/1", f"/v2/{NAME}/blobs/{Digest.of(b'layer')}", f"/v2/{NAME}/tags/list"]


@pytest.mark.parametrize("said", NO_CODINGS)
@pytest.mark.parametrize("path", PATHS, ids=["manifest", "blob", "tags"])
async def test_n13_16_what_is_no_coding_is_tolerated(upstream: FakeRegistry, proxy: Rig, said: str, path: str) -> None:
    upstream.add_image(NAME, "1", [b"layer"])
    upstream.misbehave("/v2/", Headers({"Content-Encoding": said}))
    for method in ("HEAD", "GET"):
        answer = await proxy.ask(path, method)
        assert (answer.status, "Content-Encoding" in answer.headers) == (200, False)


@pytest.mark.parametrize("path", PATHS, ids=["manifest", "blob", "tags"])
async def test_n13_16_a_coding_puts_no_registry_to_rest(upstream: FakeRegistry, proxy: Rig, path: str) -> None:
    upstream.add_image(NAME, "1", [b"layer"])
    upstream.misbehave("/v2/", Headers({"Content-Encoding": "gzip"}))
    assert (await proxy.ask(path)).status == 502
    assert [(host["backoff_seconds"], host["corrupt_responses"]) for host in await proxy.hosts()] == [(0, 0)]


async def test_n13_16_another_host_is_asked_for_what_came_encoded(upstream: FakeRegistry, tmp_path: Path) -> None:
    async with FakeRegistry() as mirror:
        digests = [mirror.add_blob(NAME, body) and upstream.add_blob(NAME, body) for body in (b"one", b"two")]
        mirror.misbehave("/blobs/", Headers({"Content-Encoding": "zstd"}))
        hosts = [{"url": mirror.url, "trust": ["pull"]}, {"url": upstream.url}]
        async with rig(tmp_path / "store", {"docker.io": {"hosts": hosts}}) as proxy:
            for digest in digests:
                assert (await proxy.ask(f"/v2/{NAME}/blobs/{digest}")).status == 200
        assert mirror.count("GET", "blobs") == 1, "others come first for a while"


@pytest.mark.parametrize("status", [404, 403])
async def test_n13_16_a_refusal_may_be_encoded(upstream: FakeRegistry, proxy: Rig, status: int) -> None:
    upstream.misbehave("/v2/", Status(status, {"Content-Encoding": "gzip"}, b"\x1f\x8b"))
    assert (await proxy.ask(PATHS[0])).status == status
