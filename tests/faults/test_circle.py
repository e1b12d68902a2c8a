"""Caches that ask each other: a mistake in a configuration must not become a storm, nor an answer."""

import json
import os
from pathlib import Path

from tests.fakes.deeds import Redirect
from tests.fakes.entry import on
from tests.fakes.program import Program
from tests.fakes.registry import FakeRegistry
from tests.rig import LOOPBACK

NAME = "library/app"


def _program(root: Path, *urls: str) -> Program:
    root.mkdir()
    return Program(root, {"docker.io": {"hosts": [{"url": url} for url in urls]}}, workers=1)


def _url(program: Program) -> str:
    return f"http://{LOOPBACK}:{program.port}"


async def test_a_cache_that_asks_itself_says_so(tmp_path: Path) -> None:
    program = _program(tmp_path / "one", "http://nobody.invalid")
    program.settings["upstreams"] = {"docker.io": {"hosts": [{"url": _url(program)}]}}
    async with program.running():
        status, body = await program.ask(f"/v2/{NAME}/manifests/1")
        asked = await program.metric('regproxy_requests_total{endpoint="manifests"')
    assert (status, json.loads(body)["errors"][0]["code"]) == (502, "UNKNOWN")
    assert b"caches must not be each other's only host" in body
    assert asked == 2, "the client's question and ours"


async def test_caches_that_ask_each_other_ask_whoever_else_there_is(tmp_path: Path) -> None:
    async with FakeRegistry() as upstream:
        blob = os.urandom(1_000_000)
        upstream.add_image(NAME, "1", [blob])
        digest = upstream.add_blob(NAME, blob)
        one = _program(tmp_path / "one", "http://nobody.invalid", upstream.url)
        other = _program(tmp_path / "other", _url(one), upstream.url)
        one.settings["upstreams"] = {"docker.io": {"hosts": [{"url": _url(other)}, {"url": upstream.url}]}}
        async with one.running(), other.running():
            assert (await one.ask(f"/v2/{NAME}/manifests/1"))[0] == 200
            assert await one.ask(f"/v2/{NAME}/blobs/{digest}") == (200, blob)
            assert await other.ask(f"/v2/{NAME}/blobs/{digest}") == (200, blob)
        assert upstream.count("GET", "blobs") == 1


async def test_the_registry_hears_which_caches_asked_and_whom_it_redirects_to_does_not(tmp_path: Path) -> None:
    async with FakeRegistry() as upstream, FakeRegistry() as elsewhere:
        digest = upstream.add_blob(NAME, b"layer")
        elsewhere.add_blob(NAME, b"layer")
        upstream.misbehave(on("GET", "/blobs/"), Redirect(f"{elsewhere.url}/v2/{NAME}/blobs/{digest}"))
        far = _program(tmp_path / "far", upstream.url)
        near = _program(tmp_path / "near", _url(far))
        async with near.running(), far.running():
            assert await near.ask(f"/v2/{NAME}/blobs/{digest}") == (200, b"layer")
        assert {entry.headers["via"].count("regproxy-") for entry in upstream.ledger} == {2}
        assert [entry.headers.get("via") for entry in elsewhere.ledger] == [None]
