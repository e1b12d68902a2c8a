"""What a refusal may not tell: whether somebody else, who may have it, has had it through this cache."""

import json
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from regproxy.oci.digest import Digest
from tests.fakes.deeds import Status
from tests.fakes.registry import FakeRegistry
from tests.rig import Answer, Rig, rig

OURS, THEIRS = "team/ours", "team/theirs"
_OF_EACH = {"x-request-id", "date"}  # differ in any two answers


@pytest.fixture
async def proxy(upstream: FakeRegistry, tmp_path: Path) -> AsyncIterator[Rig]:
    async with rig(tmp_path / "store", {"docker.io": upstream.url}) as running:
        yield running


def told(answer: Answer, digest: Digest) -> tuple[int, dict[str, str], str]:
    """Give what a client can learn, the digest it asked for left out."""
    headers = {name: value for name, value in answer.headers.items() if name.lower() not in _OF_EACH}
    return (
        answer.status,
        {name: value.replace(str(digest), "...") for name, value in headers.items()},
        answer.body.decode().replace(str(digest), "..."),
    )


HEADERS: list[dict[str, str]] = [
    {},
    {"Range": "bytes=0-9"},
    {"Range": "bytes=-9"},
    {"Range": "bytes=0-0,5-6"},
    {"If_None_Match": "*"},
    {"If_None_Match": '"{}"'},
]


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("kind", ["blobs", "manifests"])
@pytest.mark.parametrize("status", [401, 403, 404])
async def test_a_refusal_does_not_tell_what_is_cached(upstream: FakeRegistry, proxy: Rig, status: int, kind: str, method: str) -> None:
    upstream.misbehave(THEIRS, Status(status, {"Content-Type": "application/json"}, json.dumps({"errors": []}).encode()))
    for number, headers in enumerate(HEADERS):
        bodies = [os.urandom(3000) for _ in range(2)]
        images = [upstream.add_image(OURS, f"{number}-{place}", [body]).digest for place, body in enumerate(bodies)]
        cached, unknown = images if kind == "manifests" else (Digest.of(body) for body in bodies)
        assert (await proxy.ask(f"/v2/{OURS}/{kind}/{cached}")).status == 200
        await proxy.settled()
        answers = []
        for digest in (cached, unknown):
            sent = {name: value.format(digest) for name, value in headers.items()}
            answers.append(told(await proxy.ask(f"/v2/{THEIRS}/{kind}/{digest}", method, **sent), digest))
            await proxy.settled()
        assert answers[0] == answers[1], headers
        assert answers[0][0] in {403, 404}
