"""What caches say of parts; how long blobs are is tested by whole pulls (tests/faults/test_odd_answers.py)."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import yaml

from regproxy.config import load
from regproxy.fleet.memory import NullFleet
from regproxy.oci.digest import Digest
from regproxy.oci.reference import Repository
from regproxy.policy.fleet.signed_hash import SignedHash, Statement
from regproxy.ports import NotFound, UpstreamError
from regproxy.upstream.registry import UpstreamRegistry
from tests.fakes.deeds import Status
from tests.fakes.registry import FakeRegistry

APP, DIGEST = Repository("docker.io", "library/app"), Digest.of(b"a blob")
SIGNED, KEY = SignedHash(b"h" * 32, b"s" * 64), b"k" * 32
STATED = {"size": 6, "hash": SIGNED.encode().hex(), "key": KEY.hex()}


@asynccontextmanager
async def registry(tmp_path: Path, *hosts: dict[str, str]) -> AsyncIterator[UpstreamRegistry]:
    path = tmp_path / "regproxy.yaml"
    path.write_text(yaml.safe_dump({"upstreams": {"docker.io": {"hosts": list(hosts)}}}))
    settings = load(path, {})
    found = UpstreamRegistry(settings.upstreams[0], settings.timeouts, NullFleet())
    try:
        yield found
    finally:
        await found.close()


def says(upstream: FakeRegistry, body: bytes, status: int = 200) -> None:
    upstream.misbehave("/_regproxy/hashes/", Status(status, {"Content-Type": "application/json"}, body))


async def test_n17_13_a_cache_is_asked_for_a_part_and_another_host_never(upstream: FakeRegistry, tmp_path: Path) -> None:
    says(upstream, json.dumps(STATED).encode())
    async with registry(tmp_path, {"url": upstream.url, "kind": "cache"}) as cached:
        assert cached.has_caches
        assert await cached.statement(APP, DIGEST, 2, 6) == Statement(6, SIGNED, KEY)
    (asked,) = upstream.ledger
    assert (asked.path, asked.headers["range"]) == (f"/v2/library/app/_regproxy/hashes/{DIGEST}?ns=docker.io", "bytes=2-5")
    async with registry(tmp_path, {"url": upstream.url}) as plain:
        assert not plain.has_caches
        with pytest.raises(NotFound):
            await plain.statement(APP, DIGEST, 2, 6)
    assert len(upstream.ledger) == 1


async def test_n17_13_where_one_cache_does_not_answer_another_one_does(upstream: FakeRegistry, tmp_path: Path) -> None:
    says(upstream, json.dumps({"pending": True}).encode())
    gone = {"url": "http://127.0.0.1:1", "kind": "cache"}
    async with registry(tmp_path, gone, {"url": upstream.url, "kind": "cache"}) as found:
        assert await found.statement(APP, DIGEST, 0, 6) is None


@pytest.mark.parametrize(
    "said",
    [
        b"no JSON",
        b"[]",
        b"{}",
        b'{"pending": 1}',
        b'{"kept": false}',
        *(json.dumps(STATED | change).encode() for change in ({"size": -1}, {"size": "6"}, {"key": "00"}, {"key": 5})),
        *(json.dumps(STATED | {"hash": value}).encode() for value in ("", "zz", "00" * 96, "11" * 95, None, ["11" * 96])),
        b" " * 5000 + b"{}",
    ],
)
async def test_n17_13_what_is_no_statement_is_none(upstream: FakeRegistry, tmp_path: Path, said: bytes) -> None:
    says(upstream, said)
    async with registry(tmp_path, {"url": upstream.url, "kind": "cache"}) as found:
        with pytest.raises(UpstreamError):
            await found.statement(APP, DIGEST, 0, 6)


@pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 416, 429, 500, 503])
async def test_n17_13_a_cache_that_states_nothing_is_no_failure_of_its_host(upstream: FakeRegistry, tmp_path: Path, status: int) -> None:
    says(upstream, b"", status)
    async with registry(tmp_path, {"url": upstream.url, "kind": "cache"}) as found:
        with pytest.raises(UpstreamError):
            await found.statement(APP, DIGEST, 0, 6)
        (host,) = found.hosts()
        assert (host.failures, host.last_error) == (0, "")
