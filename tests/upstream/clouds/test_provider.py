"""Providers of the kubelet's protocol that are scripts."""

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from regproxy.policy.clouds.sources import Provider
from regproxy.policy.credential import Credential, Secret
from regproxy.ports import Unavailable
from regproxy.upstream.clouds.provider import ProviderSource
from tests.upstream.auth.subject import Clock

SECRET = "canary-provider-77"
VERSION = "credentialprovider.kubelet.k8s.io/v1"
PROGRAM = """#!{python} -I
import json, os, sys
request = json.load(sys.stdin)
image = request["image"]
with open({calls!r}, "a") as file:
    file.write(json.dumps([request, sys.argv[1:], sorted(os.environ)]) + "\\n")
number = len(open({calls!r}).readlines())
response = {{"apiVersion": request["apiVersion"], "kind": "CredentialProviderResponse"}}
response |= {{"auth": {{image.split("/")[0]: {{"username": f"user-{{number}}", "password": {secret!r}}}}}}}
print("warning: {secret}", file=sys.stderr)
{body}
print(json.dumps(response))
"""


def written(tmp_path: Path, body: str) -> str:
    """Install a provider that leaves a line in `calls` each time it is run; *body* may change its `response`."""
    path = tmp_path / "provider"
    path.write_text(PROGRAM.format(python=sys.executable, calls=str(tmp_path / "calls"), secret=SECRET, body=body))
    path.chmod(0o755)
    return str(path)


def calls(tmp_path: Path) -> list[list[object]]:
    path = tmp_path / "calls"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


@asynccontextmanager
async def prepared(
    tmp_path: Path, body: str, clock: Clock | None = None, timeout: float = 60.0, **more: object
) -> AsyncIterator[ProviderSource]:
    provider = Provider(written(tmp_path, body), ("a.io", "registry.a.io"), **more)  # type: ignore[arg-type]
    source = ProviderSource(provider, clock or Clock(), timeout)
    try:
        yield source
    finally:
        await source.close()


async def landed(source: ProviderSource) -> None:
    """Wait until what is done behind the requests is done."""
    await asyncio.gather(*source._flights._tasks, return_exceptions=True)
    await asyncio.sleep(0)


def kept(key_type: str, duration: str | None = "6h0m0s") -> str:
    return f"response |= {{'cacheKeyType': {key_type!r}, 'cacheDuration': {duration!r}}}"


async def test_n19_01_a_provider_gets_what_is_configured_and_nothing_else(tmp_path: Path) -> None:
    env = (("AWS_PROFILE", Secret("prod")),)
    async with prepared(tmp_path, kept("Image"), args=("get", "--fast"), env=env) as source:
        assert await source.find("team/app") == Credential("user-1", Secret(SECRET))
    [[request, arguments, environment]] = calls(tmp_path)
    assert request == {"apiVersion": VERSION, "kind": "CredentialProviderRequest", "image": "a.io/team/app"}
    assert arguments == ["get", "--fast"]
    assert set(environment) - {"LC_CTYPE"} == {"AWS_PROFILE", *({"PATH", "HOME"} & set(os.environ))}  # type: ignore[call-overload]


@pytest.mark.parametrize(("key_type", "times"), [("Image", 5), ("Registry", 1), ("Global", 1)])
async def test_n19_01_a_response_is_kept_for_an_image_a_registry_or_all(tmp_path: Path, key_type: str, times: int) -> None:
    """Also where all are asked for at once: those who may share a response wait for one child."""
    async with prepared(tmp_path, kept(key_type)) as source:
        names = [f"team/{number}" for number in range(5)] * 4
        found = await asyncio.gather(*map(source.find, names))
    assert None not in found
    assert len(calls(tmp_path)) == times


async def test_n19_01_a_response_is_kept_as_long_as_it_says_and_renewed_before(tmp_path: Path) -> None:
    clock = Clock()
    async with prepared(tmp_path, kept("Registry", "1h"), clock) as source:
        first = await source.find("x")
        clock.now += 2000
        assert await source.find("x") == first
        clock.now += 1000  # nearly over: the program is run behind the request
        assert await source.find("x") == first
        await landed(source)
        assert await source.find("x") == Credential("user-2", Secret(SECRET))
        clock.now += 3601  # over: waited for
        assert await source.find("x") == Credential("user-3", Secret(SECRET))


@pytest.mark.parametrize(("said", "default", "seconds"), [("0s", 3600.0, 10), (None, 0.0, 10), (None, 100.0, 100), ("-1h", 0.0, 10)])
async def test_n19_01_what_may_not_be_kept_serves_one_pull(tmp_path: Path, said: str | None, default: float, seconds: int) -> None:
    clock = Clock()
    async with prepared(tmp_path, kept("Registry", said), clock, default_cache_duration=default) as source:
        first = await source.find("x")
        clock.now += seconds * 0.7
        assert await source.find("x") == first
        clock.now += seconds * 0.3
        assert await source.find("x") == Credential("user-2", Secret(SECRET))


BODIES = [
    pytest.param("sys.exit(1)", "exited with status 1", id="exit"),
    pytest.param("response = 'canary'", "did not print a CredentialProviderResponse|JSON object", id="text"),
    pytest.param("response['cacheKeyType'] = 'Canary'", "cacheKeyType", id="key type"),
    pytest.param("while True: print('x' * 65536)", "printed too much", id="endless"),
]


@pytest.mark.parametrize(("body", "told"), BODIES)
async def test_n19_01_a_provider_that_fails_is_told_of_without_its_words_and_not_run_again_at_once(
    tmp_path: Path, body: str, told: str, caplog: pytest.LogCaptureFixture
) -> None:
    clock = Clock()
    async with prepared(tmp_path, body, clock) as source:
        for _ in range(3):
            with pytest.raises(Unavailable, match=told):
                await source.find("x")
        assert source.failure
        assert len(calls(tmp_path)) == 1
        clock.now += 11
        assert source.failure == ""
        written(tmp_path, kept("Registry"))
        assert await source.find("x") == Credential("user-2", Secret(SECRET))
    assert "credential provider failed" in caplog.text
    assert "canary" not in caplog.text.lower()


async def test_n19_01_a_provider_that_hangs_is_ended_and_holds_nobody_up_for_long(tmp_path: Path) -> None:
    async with prepared(tmp_path, "import time; time.sleep(3600)", timeout=1.0) as source:
        found = await asyncio.gather(*(source.find("x") for _ in range(20)), return_exceptions=True)
    assert all(isinstance(each, Unavailable) for each in found)
    assert len(calls(tmp_path)) <= 1


async def test_n19_01_a_provider_that_fails_before_its_end_leaves_what_it_said(tmp_path: Path) -> None:
    clock = Clock()
    async with prepared(tmp_path, kept("Registry", "1h"), clock) as source:
        first = await source.find("x")
        (tmp_path / "provider").write_text("#!/bin/sh\nexit 1\n")
        clock.now += 3000
        assert await source.find("x") == first
        await landed(source)
        assert source.failure
        assert await source.find("x") == first
        clock.now += 601
        with pytest.raises(Unavailable, match="status 1"):
            await source.find("x")


async def test_n19_01_a_provider_that_is_not_there_is_named_and_what_to_do(tmp_path: Path) -> None:
    source = ProviderSource(Provider(str(tmp_path / "nowhere"), ("a.io",)), Clock())
    with pytest.raises(Unavailable, match=r"nowhere failed for a.io/x: there is no such program.*credentials.provider.command"):
        await source.find("x")
    await source.close()


async def test_n19_01_a_provider_is_not_asked_about_what_it_is_not_for(tmp_path: Path) -> None:
    async with prepared(tmp_path, kept("Registry"), match_images=("a.io/team",)) as source:
        assert await source.find("other/app") is None
        assert calls(tmp_path) == []
        assert await source.find("team/app") is not None


async def test_n19_01_what_a_registry_refuses_is_asked_for_anew_once(tmp_path: Path) -> None:
    clock = Clock()
    async with prepared(tmp_path, kept("Registry"), clock) as source:
        first = await source.find("x")
        assert first is not None
        assert await source.replacement(first, "x") is None, "it is new: another would be refused too"
        clock.now += 100
        found = await asyncio.gather(*(source.replacement(first, "x") for _ in range(20)))
        assert set(found) == {Credential("user-2", Secret(SECRET))}


async def test_n19_01_what_a_registry_refuses_is_not_asked_for_of_a_provider_that_failed_a_moment_ago(tmp_path: Path) -> None:
    clock = Clock()
    async with prepared(tmp_path, kept("Registry"), clock) as source:
        first = await source.find("x")
        assert first is not None
        clock.now += 100
        written(tmp_path, "sys.exit(1)")
        with pytest.raises(Unavailable):
            await source.replacement(first, "x")
        assert [await source.replacement(first, "x") for _ in range(5)] == [None] * 5
        assert len(calls(tmp_path)) == 2
        clock.now += 11
        written(tmp_path, kept("Registry"))
        assert await source.replacement(first, "x") == Credential("user-3", Secret(SECRET))
