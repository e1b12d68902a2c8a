"""Rows U11, U12: the part of a blob that everybody waits for goes to somebody else when it is late."""

import os
from pathlib import Path

import pytest

from tests.fakes.deeds import Deed, Paced, Stall
from tests.fakes.entry import Entry
from tests.fakes.registry import FakeRegistry
from tests.rig import QUICK, rig

NAME = "library/app"
SMALL = os.urandom(1_000_000)
LARGE = os.urandom(24_000_000)
# Nothing but what is tested here would end these waits before the client's own timeout does.
LENIENT = {**QUICK, "silence": "5m", "slow_for": "5m", "progress": "5m"}
SLOW = 4_000_000  # bytes per second of a connection that has to be joined by others


def _path(digest: object) -> str:
    return f"/v2/{NAME}/blobs/{digest}?ns=docker.io"


async def _asked(root: Path, body: bytes, *hosts: FakeRegistry) -> None:
    digests = [host.add_blob(NAME, body) for host in hosts]
    entries = [{"url": host.url, "trust": ["pull"]} for host in hosts[:-1]]
    async with rig(root, {"docker.io": {"hosts": [*entries, {"url": hosts[-1].url}]}}, timeouts=LENIENT) as proxy:
        assert (await proxy.ask(_path(digests[0]))).body == body


def _is_first(entry: Entry) -> bool:
    return entry.headers.get("range", "").startswith("bytes=0-")


@pytest.mark.parametrize("deed", [Paced(2000), Stall(300_000)], ids=["u12 trickle", "u11 silence"])
async def test_the_front_is_fetched_elsewhere_when_others_are_much_faster(upstream: FakeRegistry, tmp_path: Path, deed: Deed) -> None:
    async with FakeRegistry() as mirror:
        mirror.misbehave(_is_first, deed)
        upstream.misbehave("/blobs/", Paced(SLOW))
        mirror.misbehave("/blobs/", Paced(SLOW))
        await _asked(tmp_path / "store", LARGE, mirror, upstream)
        sent = mirror.sent_blob_bytes() + upstream.sent_blob_bytes()
    assert sent < 1.1 * len(LARGE), "what had come is not fetched again"


async def test_a_late_front_is_asked_anew_of_the_only_host(upstream: FakeRegistry, tmp_path: Path) -> None:
    """One connection has bad luck where others have not: a new one may do better."""
    upstream.misbehave("/blobs/", Paced(SLOW))
    upstream.misbehave(lambda entry: entry.headers.get("range", "").startswith("bytes=8"), Stall(1000), times=1)
    await _asked(tmp_path / "store", LARGE, upstream)


@pytest.mark.parametrize("body", [SMALL, SMALL[:1000]], ids=["a layer", "a config"])
async def test_u12_a_trickle_is_borne_for_seconds_only_where_somebody_else_has_it(
    upstream: FakeRegistry, tmp_path: Path, body: bytes
) -> None:
    async with FakeRegistry() as mirror:
        mirror.misbehave("/blobs/", Paced(1))
        await _asked(tmp_path / "store", body, mirror, upstream)
    assert upstream.count("GET", "blobs") == 1


async def test_a_mirror_that_turns_out_slow_is_not_asked_for_the_other_parts(upstream: FakeRegistry, tmp_path: Path) -> None:
    async with FakeRegistry() as mirror:
        mirror.misbehave("/blobs/", Paced(20_000))
        await _asked(tmp_path / "store", LARGE, mirror, upstream)
        assert mirror.sent_blob_bytes() < len(LARGE) / 10
