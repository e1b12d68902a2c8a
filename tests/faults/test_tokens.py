"""Token services and their faults, by row."""

import asyncio
import json
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.fakes.deeds import Hold, Status
from tests.fakes.entry import Entry
from tests.fakes.program import Program
from tests.fakes.registry import FakeRegistry
from tests.rig import PATIENT, Rig, rig

NAME = "library/app"
TAG = f"/v2/{NAME}/manifests/1?ns=docker.io"


@pytest.fixture
async def upstream() -> AsyncIterator[FakeRegistry]:
    async with FakeRegistry("password") as registry:
        yield registry


def _host(registry: FakeRegistry) -> dict[str, object]:
    return {"url": registry.url, "credentials": {"username": registry.username, "password": registry.password}}


@asynccontextmanager
async def _running(tmp_path: Path, *registries: FakeRegistry, **settings: object) -> AsyncIterator[Rig]:
    """Run a regproxy that asks about a tag at every pull."""
    names = ["docker.io", "quay.io", "ghcr.io"]
    upstreams = {
        name: {"hosts": [_host(each)], "tags": [{"fresh_for": "0s", "missing_for": "0s"}]}
        for name, each in zip(names, registries, strict=False)
    }
    async with rig(tmp_path / "store", upstreams, **settings) as proxy:
        yield proxy


async def test_u21_five_hundred_rejections_are_one_token_request(upstream: FakeRegistry, tmp_path: Path) -> None:
    blobs = [upstream.add_blob(NAME, b"blob %d" % number) for number in range(500)]
    upstream.add_image(NAME, "1", [b"layer"])
    async with _running(tmp_path, upstream, timeouts=PATIENT) as proxy:
        assert (await proxy.ask(TAG)).status == 200
        upstream.expire_tokens()
        asking = (proxy.ask(f"/v2/{NAME}/blobs/{digest}?ns=docker.io") for digest in blobs)
        assert {answer.status for answer in await asyncio.gather(*asking)} == {200}
    assert len(upstream.issued) == 2


async def test_after_the_first_challenge_no_request_goes_without_a_token(upstream: FakeRegistry, tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        upstream.add_image(f"library/{name}", "1", [b"layer"])
    async with _running(tmp_path, upstream) as proxy:
        for name in ("a", "b", "c", "a", "b", "c"):
            assert (await proxy.ask(f"/v2/library/{name}/manifests/1?ns=docker.io")).status == 200
    assert sum(entry.status == 401 for entry in upstream.ledger) == 1
    assert upstream.count("GET", "token") == 3


class TestTokenServiceIsOut:
    """Row U22: what is cached is served, what is not fails in words, within the 5 s that the service has."""

    @pytest.fixture
    async def proxy(self, upstream: FakeRegistry, tmp_path: Path) -> AsyncIterator[Rig]:
        """Run a regproxy that has one image and no token."""
        upstream.add_image(NAME, "1", [b"layer"])
        async with _running(tmp_path, upstream) as proxy:
            assert (await proxy.ask(TAG)).status == 200
            upstream.expire_tokens()
            yield proxy

    @pytest.mark.parametrize("status", [500, 503])
    async def test_u22_broken(self, upstream: FakeRegistry, proxy: Rig, status: int) -> None:
        upstream.misbehave("/token", Status(status))
        assert (await proxy.ask(TAG)).status == 200
        answer = await proxy.ask(f"/v2/{NAME}/manifests/2?ns=docker.io")
        assert (answer.status, f"token service 127.0.0.1 answered {status}" in answer.body.decode()) == (502, True)

    async def test_u22_silent(self, upstream: FakeRegistry, proxy: Rig) -> None:
        upstream.misbehave("/token", Hold())
        assert (await proxy.ask(TAG)).status == 200
        answer = await proxy.ask(f"/v2/{NAME}/manifests/2?ns=docker.io")
        assert (answer.status, f"{upstream.host} did not".encode() in answer.body) == (504, True)

    async def test_u22_slow(self, upstream: FakeRegistry, tmp_path: Path) -> None:
        """What is there is served meanwhile, and what is not is pulled after it."""
        upstream.add_image(NAME, "1", [b"layer"])
        async with _running(tmp_path, upstream, timeouts={**PATIENT, "revalidate": "100ms"}) as proxy:
            assert (await proxy.ask(TAG)).status == 200
            upstream.expire_tokens()
            blob = upstream.add_blob(NAME, b"another layer")
            slow = Hold()
            upstream.misbehave("/token", slow)
            pulling = asyncio.create_task(proxy.ask(f"/v2/{NAME}/blobs/{blob}?ns=docker.io"))
            await upstream.seen("/token", 2)
            assert {(await proxy.ask(TAG)).status for _ in range(3)} == {200}
            assert not pulling.done()
            slow.event.set()
            assert (await pulling).status == 200

    async def test_u22_refusing(self, upstream: FakeRegistry, proxy: Rig) -> None:
        upstream.misbehave("/token", Status(403))
        answer = await proxy.ask(f"/v2/{NAME}/manifests/2?ns=docker.io")
        assert (answer.status, b"refused our credentials" in answer.body) == (403, True)

    @pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b"{}", b'{"token": 5}', b'{"token": "a b"}', b'{"token": "a\\nb"}'])
    async def test_u22_lying(self, upstream: FakeRegistry, proxy: Rig, body: bytes) -> None:
        upstream.token_reply = body
        assert (await proxy.ask(f"/v2/{NAME}/manifests/2?ns=docker.io")).status == 502

    async def test_u22_throttling_is_no_429_of_ours(self, upstream: FakeRegistry, proxy: Rig) -> None:
        upstream.misbehave("/token", Status(429, {"Retry-After": "77"}))
        answer = await proxy.ask(f"/v2/{NAME}/manifests/2?ns=docker.io")
        assert (answer.status, answer.headers["Retry-After"]) == (503, "77")


ANSWERS = [
    pytest.param({}, id="no life"),
    pytest.param({"expires_in": 0}, id="no time"),
    pytest.param({"expires_in": -1}, id="negative"),
    pytest.param({"expires_in": 1_000_000_000}, id="thirty years"),
    pytest.param({"expires_in": "soon"}, id="words"),
    pytest.param({"expires_in": 300, "issued_at": "2099-01-01T00:00:00Z"}, id="issued in the future"),
]


@pytest.mark.parametrize("key", ["token", "access_token"])
@pytest.mark.parametrize("said", ANSWERS)
async def test_u23_whatever_is_said_of_its_life_a_token_is_used_more_than_once(
    upstream: FakeRegistry, tmp_path: Path, said: dict[str, object], key: str
) -> None:
    upstream.add_image(NAME, "1", [b"layer"])
    upstream.token_reply = lambda token: {key: token, **said}
    async with _running(tmp_path, upstream) as proxy:
        for _ in range(10):
            assert (await proxy.ask(TAG)).status == 200
    assert len(upstream.issued) == 1


async def test_u24_a_token_rejected_though_fresh_is_renewed_once_and_no_more(upstream: FakeRegistry, tmp_path: Path) -> None:
    upstream.add_image(NAME, "1", [b"layer"])
    upstream.rejects_tokens = True
    async with _running(tmp_path, upstream) as proxy:
        for _ in range(10):
            answer = await proxy.ask(TAG)
            assert (answer.status, "WWW-Authenticate" in answer.headers) == (403, False)
    assert len(upstream.issued) == 2


async def test_u24_a_wrong_password_is_sent_once(upstream: FakeRegistry, tmp_path: Path) -> None:
    """Docker Hub locks the user out for ten minutes after a few."""
    upstream.add_image(NAME, "1", [b"layer"])
    async with _running(tmp_path, upstream) as proxy:
        upstream.password = "canary-changed"
        answers = await asyncio.gather(*(proxy.ask(TAG) for _ in range(100)))
        assert {answer.status for answer in answers} == {403}
    assert _passwords(upstream) == [1, 0], "once for the repository, and once where the password alone is in question"


async def test_u24_a_wrong_password_is_sent_once_whatever_is_pulled_and_a_new_one_at_once(upstream: FakeRegistry, tmp_path: Path) -> None:
    names = [f"library/{number}" for number in range(50)]
    for name in names:
        upstream.add_image(name, "1", [b"layer"])
    config = tmp_path / "config.json"
    config.write_text(json.dumps({"auths": {"reg.example": {"username": upstream.username, "password": "canary-wrong"}}}))
    host = {"url": upstream.url, "credentials": {"docker_config": str(config)}}
    async with rig(tmp_path / "store", {"reg.example": {"hosts": [host]}}) as proxy:
        paths = [f"/v2/{name}/manifests/1?ns=reg.example" for name in names]
        assert {answer.status for answer in await asyncio.gather(*map(proxy.ask, paths))} == {403}
        assert _passwords(upstream) == [1, 0]
        config.write_text(json.dumps({"auths": {"reg.example": {"username": upstream.username, "password": upstream.password}}}))
        assert {answer.status for answer in await asyncio.gather(*map(proxy.ask, paths))} == {200}


def _passwords(upstream: FakeRegistry) -> list[int]:
    """List the questions to the token service that had a password, by how many scopes they had."""
    asked = [entry for entry in upstream.ledger if entry.kind == "token" and "authorization" in entry.headers]
    return [len(entry.query.get("scope", [])) for entry in asked]


async def test_n12_16_a_forbidden_repository_takes_no_other_away(upstream: FakeRegistry, tmp_path: Path) -> None:
    for name in ("library/a", "library/b", "forbidden/x", "forbidden/y"):
        upstream.add_image(name, "1", [b"layer"])
    upstream.misbehave(lambda entry: entry.kind == "token" and "forbidden" in entry.path, Status(401))
    async with _running(tmp_path, upstream) as proxy:
        statuses = [
            (await proxy.ask(f"/v2/{name}/manifests/1?ns=docker.io")).status
            for name in ("forbidden/x", "library/a", "forbidden/y", "library/b", "forbidden/x", "library/a")
        ]
        assert statuses == [403, 200, 403, 200, 403, 200]
        assert await _ready(proxy) == "ready\n"


async def _ready(proxy: Rig) -> str:
    async with proxy.session.get(f"http://127.0.0.1:{proxy.admin_port}/readyz") as response:
        assert response.status == 200
        return await response.text()


class TestCredentialIsRefused:
    """A password that has expired takes nothing away that is cached or public."""

    @pytest.fixture(params=["password", "basic"])
    async def upstream(self, request: pytest.FixtureRequest) -> AsyncIterator[FakeRegistry]:
        async with FakeRegistry(request.param) as registry:
            registry.public = {"public/app", "public/other"}
            for name in ("public/app", "public/other", "private/app", "private/other"):
                registry.add_image(name, "1", [name.encode()])
            yield registry

    @pytest.fixture
    async def proxy(self, upstream: FakeRegistry, tmp_path: Path) -> AsyncIterator[Rig]:
        """Run a regproxy that has pulled two images before the password, and every token, is over."""
        async with _running(tmp_path, upstream) as proxy:
            for name in ("public/app", "private/app"):
                assert (await proxy.ask(f"/v2/{name}/manifests/1?ns=docker.io")).status == 200
            upstream.password = "canary-changed"
            upstream.expire_tokens()
            yield proxy

    async def test_n13_13_what_is_cached_goes_on(self, upstream: FakeRegistry, proxy: Rig) -> None:
        for name in ("private/app", "public/app"):
            answer = await proxy.ask(f"/v2/{name}/manifests/1?ns=docker.io")
            assert answer.status == 200
        assert upstream.repositories["private/app"]

    async def test_n13_13_lists_go_on(self, upstream: FakeRegistry, tmp_path: Path) -> None:
        digest = next(iter(upstream.repositories["private/app"].manifests))
        paths = [f"/v2/private/app/{path}?ns=docker.io" for path in ("tags/list", f"referrers/{digest}")]
        async with _running(tmp_path, upstream) as proxy:
            before = [(await proxy.ask(path)).body for path in paths]
            upstream.password = "canary-changed"
            upstream.expire_tokens()
            answers = [await proxy.ask(path) for path in paths]
        assert [(answer.status, answer.body) for answer in answers] == [(200, body) for body in before]

    @pytest.mark.parametrize("status", [401, 403, 404])
    async def test_n13_13_no_to_nobody_is_not_no_to_us(self, upstream: FakeRegistry, proxy: Rig, status: int) -> None:
        """A registry may deny to strangers that a repository exists: a cached tag of it is not gone."""
        ours = [*upstream.issued, "Basic"]

        def is_nobodys(entry: Entry) -> bool:
            authorization = entry.headers.get("authorization", "")
            return entry.repository.startswith("private/") and not any(each in authorization for each in ours)

        if status != 401:
            upstream.misbehave(is_nobodys, Status(status), even_unauthorized=True)
        for _ in range(3):
            answer = await proxy.ask("/v2/private/app/manifests/1?ns=docker.io")
            assert (answer.status, "stale" in answer.headers["Cache-Status"]) == (200, True)
            answer = await proxy.ask("/v2/private/other/manifests/1?ns=docker.io")
            assert (answer.status, b"refused our credentials" in answer.body) == (403, True)

    async def test_n13_13_what_is_public_is_pulled_by_nobody(self, upstream: FakeRegistry, proxy: Rig) -> None:
        for _ in range(3):
            assert (await proxy.ask("/v2/public/other/manifests/1?ns=docker.io")).status == 200
        blob = next(iter(upstream.repositories["public/other"].blobs))
        assert (await proxy.ask(f"/v2/public/other/blobs/{blob}?ns=docker.io")).status == 200

    async def test_n13_13_it_is_told_in_readyz_and_in_metrics(self, upstream: FakeRegistry, proxy: Rig) -> None:
        assert await _ready(proxy) == "ready\n"
        for _ in range(3):
            await proxy.ask("/v2/public/other/manifests/1?ns=docker.io")
        first, second = (await _ready(proxy)).splitlines()
        assert (first, second.startswith(f"credentials of docker.io refused by {upstream.url}: ")) == ("ready", True)
        gauge = f'regproxy_upstream_credentials_refused{{host="{upstream.host}",upstream="docker.io"}} 1.0'
        assert gauge in await proxy.metrics()


async def test_n13_13_all_workers_pull_what_is_public_and_tell_that_we_are_refused(upstream: FakeRegistry, tmp_path: Path) -> None:
    names = [f"public/{number}" for number in range(8)]
    for name in (*names, "private/x"):
        upstream.add_image(name, "1", [b"layer"])
    upstream.public = set(names)
    host = _host(upstream)
    upstream.password = "canary-changed"
    program = Program(tmp_path, {"docker.io": {"hosts": [host]}})
    async with program.running():
        answers = await asyncio.gather(*(program.ask(f"/v2/{name}/manifests/1") for name in names * 3))
        assert {status for status, _ in answers} == {200}
        assert (await program.ask("/v2/private/x/manifests/1"))[0] == 403
        await program.until(lambda: _is_told(program))
        told = [line for line in program.lines() if line["message"].startswith("credentials refused")]
    assert len(told) <= 2, "once by each worker"
    assert len(_passwords(upstream)) <= 4


async def _is_told(program: Program) -> bool:
    status, text = await program.admin("/readyz")
    return status == 200 and text.startswith("ready\ncredentials of docker.io refused by http://")


async def test_s21_no_token_is_seen_where_it_was_not_asked_for(tmp_path: Path) -> None:
    async with FakeRegistry("password", password="canary-one") as one, FakeRegistry("password", password="canary-two") as two:
        names = [f"library/{letter}" for letter in "abcde"]
        paths = []
        for registry, namespace in ((one, "docker.io"), (two, "quay.io")):
            for name in names:
                found = [registry.add_blob(name, f"{namespace} {name} {number}".encode()) for number in range(40)]
                paths += [f"/v2/{name}/blobs/{digest}?ns={namespace}" for digest in found]
        random.Random(4).shuffle(paths)
        async with _running(tmp_path, one, two, timeouts=PATIENT) as proxy:
            for together in (paths[:200], paths[200:]):
                answers = await asyncio.gather(*(proxy.ask(path) for path in together))
                assert {answer.status for answer in answers} == {200}
        for registry in (one, two):
            sent = [entry for entry in registry.ledger if entry.kind == "blobs" and entry.status == 200]
            scopes = [registry.tokens[entry.headers["authorization"].removeprefix("Bearer ")] for entry in sent]
            assert [{f"repository:{entry.repository}:pull"} for entry in sent] == scopes
            assert registry.count("GET", "token") == len(names)


async def test_s09_a_docker_config_gives_a_password_to_its_own_registry_alone(upstream: FakeRegistry, tmp_path: Path) -> None:
    """Pulled with it from one registry, while a second one with a similar name is asked without."""
    upstream.add_image(NAME, "1", [b"layer"])
    entry = {"username": upstream.username, "password": upstream.password}
    config = tmp_path / "config.json"
    config.write_text(json.dumps({"auths": {"reg.example": entry}}))
    async with FakeRegistry("basic", password=upstream.password) as other:
        shared = {"credentials": {"docker_config": str(config)}}
        upstreams = {name: {"hosts": [{"url": each.url}], **shared} for name, each in (("reg.example", upstream), ("areg.example", other))}
        async with rig(tmp_path / "store", upstreams) as proxy:
            assert (await proxy.ask(f"/v2/{NAME}/manifests/1?ns=reg.example")).status == 200
            assert (await proxy.ask(f"/v2/{NAME}/manifests/1?ns=areg.example")).status == 403
        assert all("authorization" not in request.headers for request in other.ledger)
