"""What a client is answered: ranges, HEAD, conditions and codings, by row."""

import asyncio
import os
from email import message_from_bytes
from pathlib import Path

import pytest

from tests.fakes.deeds import Hold, Stall
from tests.fakes.entry import on
from tests.fakes.registry import FakeRegistry
from tests.rig import Answer, Rig, get, raw

NAME = "library/app"
SIZE = 100_000
BLOB = os.urandom(SIZE)

RANGES = [
    pytest.param("bytes=0-99", [(0, 100)], id="a-b"),
    pytest.param("bytes=500-", [(500, SIZE)], id="a-"),
    pytest.param("bytes=-500", [(SIZE - 500, SIZE)], id="-n"),
    pytest.param("bytes=0-0", [(0, 1)], id="0-0"),
    pytest.param("bytes=0-", [(0, SIZE)], id="containerd's first chunk"),
    pytest.param(f"bytes=99000-{SIZE * 2}", [(99000, SIZE)], id="past the end"),
    pytest.param(f"bytes={SIZE - 1}-", [(SIZE - 1, SIZE)], id="last byte"),
    pytest.param(f"bytes={SIZE}-", None, id="beyond"),
    pytest.param("bytes=-0", None, id="-0"),
    pytest.param("bytes=5-1", [], id="backwards"),
    pytest.param("bytes=a-b", [], id="garbage"),
    pytest.param("items=0-5", [], id="another unit"),
    pytest.param("bytes=0-9,50-59,-5", [(0, 10), (50, 60), (SIZE - 5, SIZE)], id="several"),
    pytest.param(f"bytes=0-9,{SIZE}-", [(0, 10)], id="several, one beyond"),
]


def _path(digest: object) -> str:
    return f"/v2/{NAME}/blobs/{digest}?ns=docker.io"


def _check(answer: Answer, expected: list[tuple[int, int]] | None) -> None:
    """Compare an answer with the ranges it should have; None is 416, an empty list the whole."""
    if expected is None:
        assert (answer.status, answer.headers["Content-Range"]) == (416, f"bytes */{SIZE}")
    elif not expected:
        assert (answer.status, answer.body) == (200, BLOB)
    elif len(expected) == 1:
        ((start, stop),) = expected
        assert (answer.status, answer.headers["Content-Range"]) == (206, f"bytes {start}-{stop - 1}/{SIZE}")
        assert answer.body == BLOB[start:stop]
    else:
        assert (answer.status, _parts(answer)) == (206, [(f"bytes {a}-{b - 1}/{SIZE}", BLOB[a:b]) for a, b in expected])
    assert answer.headers["Content-Length"] == str(len(answer.body))


def _parts(answer: Answer) -> list[tuple[str, bytes]]:
    boundary = answer.headers["Content-Type"].partition("boundary=")[2].encode()
    first, *parts, last = answer.body.split(b"\r\n--" + boundary)
    assert (first, last) == (b"", b"--\r\n")
    heads = [part.lstrip(b"\r\n").split(b"\r\n\r\n", 1) for part in parts]
    return [(message_from_bytes(head)["Content-Range"], body) for head, body in heads]


@pytest.mark.parametrize(("header", "expected"), RANGES)
async def test_c05_ranges_are_the_same_cold_cached_and_in_flight(
    upstream: FakeRegistry, proxy: Rig, header: str, expected: list[tuple[int, int]] | None
) -> None:
    digest = upstream.add_blob(NAME, BLOB)
    stall = Stall(SIZE // 2)
    upstream.misbehave(on("GET", "/blobs/"), stall)
    cold = asyncio.create_task(proxy.ask(_path(digest), Range=header))
    await stall.reached.wait()
    in_flight = asyncio.create_task(proxy.ask(_path(digest), Range=header))
    stall.event.set()
    _check(await cold, expected)
    _check(await in_flight, expected)
    await proxy.settled()
    _check(await proxy.ask(_path(digest), Range=header), expected)
    assert upstream.count("GET", "blobs") == 1


async def test_c05_containerds_parallel_chunks_are_one_upstream_request(upstream: FakeRegistry, proxy: Rig) -> None:
    """Each asks open-ended, reads its chunk and closes the connection."""
    digest = upstream.add_blob(NAME, BLOB)
    chunk = SIZE // 8
    requests = [get(_path(digest), Range=f"bytes={start}-") for start in range(0, SIZE, chunk)]
    answers = await asyncio.gather(*(raw(proxy.port, request, read=chunk) for request in requests))
    assert all(b" 206 " in answer.received for answer in answers)
    await proxy.settled()
    assert upstream.count("GET", "blobs") == 1


@pytest.mark.parametrize(("condition", "status"), [('"{digest}"', 206), ('"another"', 200), ("Wed, 21 Oct 2015 07:28:00 GMT", 200)])
async def test_c05_if_range_with_another_etag_gets_the_whole(upstream: FakeRegistry, proxy: Rig, condition: str, status: int) -> None:
    digest = upstream.add_blob(NAME, BLOB)
    answer = await proxy.ask(_path(digest), Range="bytes=0-9", If_Range=condition.format(digest=digest))
    assert answer.status == status


async def test_c06_head_tells_the_same_cold_in_flight_and_cached(upstream: FakeRegistry, proxy: Rig) -> None:
    digest = upstream.add_blob(NAME, BLOB)
    gate = Hold()
    upstream.misbehave(on("GET", "/blobs/"), gate)
    cold = await proxy.ask(_path(digest), "HEAD")
    filling = asyncio.create_task(proxy.ask(_path(digest)))
    await gate.reached.wait()
    in_flight = await proxy.ask(_path(digest), "HEAD")
    gate.event.set()
    await filling
    await proxy.settled()
    cached = await proxy.ask(_path(digest), "HEAD")
    for answer in (cold, in_flight, cached):
        assert (answer.status, answer.body) == (200, b"")
        assert answer.headers["Content-Length"] == str(SIZE)
        assert answer.headers["Docker-Content-Digest"] == str(digest)
    assert upstream.count("GET", "blobs") == 1


async def test_c06_head_of_a_missing_thing_has_no_body_either(upstream: FakeRegistry, proxy: Rig) -> None:
    upstream.add_blob(NAME, BLOB)
    for path in (_path("sha256:" + "0" * 64), f"/v2/{NAME}/manifests/none"):
        answer = await proxy.ask(path, "HEAD")
        assert (answer.status, answer.body) == (404, b"")


async def test_c06_a_get_after_a_head_on_one_connection_is_clean(upstream: FakeRegistry, proxy: Rig) -> None:
    digest = upstream.add_blob(NAME, b"blob")
    head = get(_path(digest)).replace(b"GET", b"HEAD").replace(b"Connection: close\r\n", b"")
    answer = await raw(proxy.port, head + get(_path(digest)))
    assert answer.received.count(b"HTTP/1.1 200 OK") == 2
    assert answer.received.endswith(b"\r\n\r\nblob")


@pytest.mark.parametrize(
    ("condition", "status"),
    [('"{digest}"', 304), ('W/"{digest}"', 304), ("{digest}", 304), ("*", 304), ('"a", "{digest}"', 304), ('"other"', 200)],
)
@pytest.mark.parametrize("kind", ["manifests", "blobs"])
async def test_c07_what_the_client_has_is_not_sent_again(
    upstream: FakeRegistry, proxy: Rig, condition: str, status: int, kind: str
) -> None:
    upstream.add_image(NAME, "1", [BLOB])
    digest = upstream.repositories[NAME].tags["1"] if kind == "manifests" else upstream.add_blob(NAME, BLOB)
    answer = await proxy.ask(f"/v2/{NAME}/{kind}/{digest}?ns=docker.io", If_None_Match=condition.format(digest=digest))
    assert (answer.status, answer.body == b"") == (status, status == 304)
    assert answer.headers["ETag"] == f'"{digest}"'


async def test_c10_accept_encoding_of_a_client_changes_nothing(upstream: FakeRegistry, proxy: Rig, tmp_path: Path) -> None:
    """A client like containerd sends it with every fetch; a planted sibling must not be taken for a compressed form."""
    digest = upstream.add_blob(NAME, BLOB)
    await proxy.ask(_path(digest))
    await proxy.settled()
    (stored,) = (tmp_path / "store" / "blobs").rglob(digest.hex)
    stored.with_name(f"{digest.hex}.gz").write_bytes(b"planted")
    answer = await proxy.ask(_path(digest), Accept_Encoding="zstd;q=1.0, gzip;q=0.8, deflate;q=0.5")
    assert (answer.body, answer.headers.get("Content-Encoding")) == (BLOB, None)
