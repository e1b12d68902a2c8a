"""Rows U14, U30, U32: hosts that cannot be reached, and answers that are odd without being wrong."""

import os
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from regproxy.oci.digest import Digest
from tests.fakes.deeds import Deed, Headers, Status
from tests.fakes.entry import on
from tests.fakes.registry import FakeRegistry
from tests.fakes.sockets import Raw, RawServer
from tests.rig import LOOPBACK, QUICK, Rig, rig

NAME = "library/app"
BLOB = os.urandom(3000)
DIGEST = Digest.of(BLOB)
BLOB_PATH = f"/v2/{NAME}/blobs/{DIGEST}?ns=docker.io"
MANIFEST_PATH = f"/v2/{NAME}/manifests/{{}}?ns=docker.io"
# Nothing but what is tested here would end the wait before the client's own timeout does.
ONLY_CONNECT = {**QUICK, "headers": "5m", "silence": "5m", "progress": "5m"}


def _in_front(url: str, upstream: FakeRegistry) -> dict[str, object]:
    return {"docker.io": {"hosts": [{"url": url, "trust": ["pull"]}, {"url": upstream.url}]}}


@pytest.fixture
def black_hole() -> Iterator[str]:
    """Listen without accepting, the queue full: the kernel drops every SYN, as a firewall does."""
    with socket.socket() as listening:
        listening.bind((LOOPBACK, 0))
        listening.listen(0)
        waiting = [socket.socket() for _ in range(4)]
        for each in waiting:
            each.setblocking(False)
            each.connect_ex(listening.getsockname())
        yield f"http://{LOOPBACK}:{listening.getsockname()[1]}"
        for each in waiting:
            each.close()


async def test_u14_a_host_whose_packets_vanish_is_passed_over(black_hole: str, upstream: FakeRegistry, tmp_path: Path) -> None:
    """A manifest by digest is asked of the mirror first, and of nobody else until that is given up."""
    manifest = upstream.add_image(NAME, "1", [BLOB])
    async with rig(tmp_path / "store", _in_front(black_hole, upstream), timeouts=ONLY_CONNECT) as proxy:
        assert (await proxy.ask(MANIFEST_PATH.format(manifest.digest))).status == 200
        assert (await proxy.ask(BLOB_PATH)).body == BLOB
        _, mirror = await proxy.hosts()
        assert mirror["backoff_seconds"] > 0


async def test_u14_alone_it_is_a_gateway_timeout(black_hole: str, tmp_path: Path) -> None:
    async with rig(tmp_path / "store", {"docker.io": black_hole}, timeouts=ONLY_CONNECT) as proxy:
        assert (await proxy.ask(BLOB_PATH)).status == 504


async def test_u13_a_name_that_nobody_has_is_passed_over(upstream: FakeRegistry, tmp_path: Path) -> None:
    upstream.add_blob(NAME, BLOB)
    async with rig(tmp_path / "store", _in_front("http://mirror.invalid", upstream)) as proxy:
        assert (await proxy.ask(BLOB_PATH)).body == BLOB


async def test_u30_a_blob_that_may_not_be_asked_about_by_head_is_asked_for_by_get(upstream: FakeRegistry, proxy: Rig) -> None:
    """public.ecr.aws answers so, with a token too."""
    upstream.add_blob(NAME, BLOB)
    upstream.misbehave(on("HEAD"), Status(401))
    described = await proxy.ask(BLOB_PATH, "HEAD")
    assert (described.status, described.headers["Content-Length"]) == (200, str(len(BLOB)))


HEADS = [
    pytest.param([Status(405)], id="not allowed"),
    pytest.param([Status(501)], id="not implemented"),
    pytest.param([Headers({"Content-Length": None})], id="without a length"),
    pytest.param([Headers({"Content-Length": None, "Docker-Content-Digest": None})], id="without anything"),
]


@pytest.mark.parametrize("deeds", HEADS)
async def test_u30_a_registry_that_is_odd_about_head_is_asked_by_get(upstream: FakeRegistry, proxy: Rig, deeds: list[Deed]) -> None:
    upstream.add_image(NAME, "1", [BLOB])
    upstream.misbehave(on("HEAD"), *deeds)
    described = await proxy.ask(BLOB_PATH, "HEAD")
    assert (described.status, described.headers["Content-Length"]) == (200, str(len(BLOB)))
    first = await proxy.ask(MANIFEST_PATH.format("1"))
    upstream.add_image(NAME, "1", [BLOB, b"more"])
    moved = await proxy.ask(MANIFEST_PATH.format("1"))
    assert (moved.status, "Warning" in moved.headers) == (200, False)
    assert moved.headers["Docker-Content-Digest"] != first.headers["Docker-Content-Digest"], "a moved tag is noticed all the same"


def _answers(head: bytes) -> Callable[[bytes], Raw]:
    """Answer HEAD with a body nobody may send, or any request with an odd head, on a connection that is kept."""
    length = b"Content-Length: %d\r\n\r\n" % len(BLOB)

    def answer(request: bytes) -> Raw:
        return Raw(head + length + BLOB, "keep" if request.startswith(b"HEAD") else "fin")

    return answer


OK = b"HTTP/1.1 200 OK\r\n"
HEADERS_ODD = [
    pytest.param(OK, id="u30 a body to HEAD"),
    pytest.param(OK + b"X-Long: " + b"x" * 9 * 1024 + b"\r\n", id="u32 9 KiB of header"),
    pytest.param(b"HTTP/1.1 103 Early Hints\r\nLink: </style>\r\n\r\n" + OK, id="u32 103 first"),
    pytest.param(b"HTTP/1.1 100 Continue\r\n\r\n" + OK, id="u32 100 first"),
]
HEADERS_WRONG = [
    pytest.param(OK + b"".join(b"X-%d: x\r\n" % number for number in range(200)), id="u32 200 headers"),
    pytest.param(b"HTTP/1.1 two hundred\r\n", id="u32 a bad status line"),
    pytest.param(b"ICY 200 OK\r\n", id="u32 another protocol"),
    pytest.param(OK + b"no header at all\r\n", id="u32 a line that is no header"),
    pytest.param(OK + b"Content-Length: 5\r\n", id="u32 two lengths"),
    pytest.param(OK + b"Transfer-Encoding: chunked\r\n", id="u32 a length and chunks"),
]


@pytest.fixture
async def odd(request: pytest.FixtureRequest) -> AsyncIterator[RawServer]:
    async with RawServer(_answers(request.param)) as server:
        yield server


@pytest.mark.parametrize("odd", HEADERS_ODD, indirect=True)
async def test_an_odd_answer_is_an_answer(odd: RawServer, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with rig(tmp_path / "store", {"docker.io": odd.url}) as proxy:
        described = await proxy.ask(BLOB_PATH, "HEAD")
        assert (described.status, described.headers["Content-Length"]) == (200, str(len(BLOB)))
        assert (await proxy.ask(BLOB_PATH)).body == BLOB
    assert [record for record in caplog.records if record.levelname == "ERROR"] == []


@pytest.mark.parametrize("odd", HEADERS_WRONG, indirect=True)
async def test_a_senseless_answer_is_an_outage(
    odd: RawServer, upstream: FakeRegistry, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    upstream.add_blob(NAME, BLOB)
    async with rig(tmp_path / "alone", {"docker.io": odd.url}) as proxy:
        assert (await proxy.ask(BLOB_PATH)).status == 502
    async with rig(tmp_path / "store", _in_front(odd.url, upstream)) as proxy:
        assert (await proxy.ask(BLOB_PATH)).body == BLOB
    assert [record for record in caplog.records if record.levelname == "ERROR"] == []
