"""Lists that are slow, or that a registry does not have, are nobody else's trouble; what upstream says of its pulls is passed on."""

import pytest

from regproxy.oci.descriptor import Descriptor
from regproxy.oci.digest import Digest
from tests.fakes.deeds import Drop, Headers, Hold, Status
from tests.fakes.registry import FakeRegistry
from tests.rig import Rig

NAME = "library/app"
TAGS = f"/v2/{NAME}/tags/list"


def _manifest(tag: str) -> str:
    return f"/v2/{NAME}/manifests/{tag}"


@pytest.mark.parametrize("deed", [Hold(), Status(500), Status(504), Drop()], ids=["silent", "500", "504", "drops"])
async def test_n13_17_a_list_that_fails_makes_no_tag_stale(upstream: FakeRegistry, proxy: Rig, deed: Hold | Status | Drop) -> None:
    upstream.add_image(NAME, "1", [b"layer"])
    await proxy.ask(_manifest("1"))
    upstream.misbehave("/tags/", deed)
    assert (await proxy.ask(TAGS)).status in {502, 504}
    assert [(host["backoff_seconds"], host["failures"]) for host in await proxy.hosts()] == [(0, 0)]
    assert "Warning" not in (await proxy.ask(_manifest("1"))).headers


@pytest.mark.parametrize("status", [400, 404, 405, 406, 500, 501])
async def test_n13_17_without_the_api_referrers_are_read_by_their_tag(upstream: FakeRegistry, proxy: Rig, status: int) -> None:
    subject = upstream.add_image(NAME, "1", [b"layer"])
    signature = upstream.add_image(NAME, None, [b"signature"])
    upstream.add_index(NAME, f"sha256-{subject.digest.hex}", [Descriptor(signature.media_type, signature.digest, signature.size)])
    upstream.misbehave("/referrers/", Status(status))
    answer = await proxy.ask(f"/v2/{NAME}/referrers/{subject.digest}")
    assert answer.status == 200
    assert str(signature.digest).encode() in answer.body
    assert [host["backoff_seconds"] for host in await proxy.hosts()] == [0]


async def test_n13_17_a_refusal_of_referrers_is_no_lack_of_them(upstream: FakeRegistry, proxy: Rig) -> None:
    upstream.add_image(NAME, "1", [b"layer"])
    upstream.misbehave("/referrers/", Status(403))
    assert (await proxy.ask(f"/v2/{NAME}/referrers/{Digest.of(b'x')}")).status == 403


async def test_n13_23_what_is_left_of_upstreams_pulls_is_passed_on(upstream: FakeRegistry, proxy: Rig) -> None:
    upstream.add_image(NAME, "1", [b"layer"])
    limits = {"ratelimit-limit": "100;w=21600", "ratelimit-remaining": "97;w=21600", "docker-ratelimit-source": "192.0.2.1"}
    upstream.misbehave("/manifests/", Headers(limits))
    for _ in range(2):
        answer = await proxy.ask(_manifest("1"))
        assert (answer.headers["RateLimit-Limit"], answer.headers["RateLimit-Remaining"]) == ("100;w=21600", "97;w=21600")
        assert "Docker-RateLimit-Source" not in answer.headers, "who we are to upstream is nobody's business"


async def test_n13_23_where_there_is_no_limit_nothing_is_said_of_one(upstream: FakeRegistry, proxy: Rig) -> None:
    upstream.add_image(NAME, "1", [b"layer"])
    assert "RateLimit-Limit" not in (await proxy.ask(_manifest("1"))).headers
