"""What upstream gives to one repository and refuses to another: nobody gets what is not theirs, and nobody's refusal hurts the others."""

import asyncio
import os
import random
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

from regproxy.oci.digest import Digest
from tests.fakes.deeds import Cut, Deed, Headers, Hold, Lie, Stall, Status
from tests.fakes.entry import on
from tests.fakes.library import OCI_MANIFEST
from tests.fakes.program import Program
from tests.fakes.registry import FakeRegistry
from tests.fakes.wire import Wire
from tests.rig import LOOPBACK, QUICK, Rig, rig

OURS, THEIRS = "team/secret", "evil/app"
KIB = 1024
REFUSALS = [pytest.param(404, id="404"), pytest.param(403, id="403"), pytest.param(401, id="401")]


def _blob(name: str, digest: object, upstream: str = "docker.io") -> str:
    return f"/v2/{name}/blobs/{digest}?ns={upstream}"


def _manifest(name: str, target: object, upstream: str = "docker.io") -> str:
    return f"/v2/{name}/manifests/{target}?ns={upstream}"


@pytest.fixture
async def private(upstream: FakeRegistry) -> FakeRegistry:
    """A registry in which a stranger has a repository of his own."""
    upstream.add_image(THEIRS, "1", [b"a layer of theirs"])
    return upstream


class Stranger:
    """Asks for what is not his, over connections that stay open."""

    def __init__(self, port: int, session: aiohttp.ClientSession, secrets: Sequence[bytes]) -> None:
        self._base = f"http://{LOOPBACK}:{port}"
        self._session = session
        self._secrets = secrets
        self.answers: list[int] = []
        self.stolen: list[str] = []

    async def ask(self, path: str, method: str = "GET", after: float = 0.0, **headers: str) -> None:
        await asyncio.sleep(after)
        body = bytearray()
        async with self._session.request(method, self._base + path, headers=headers) as response:
            try:
                async for chunk in response.content.iter_any():
                    body += chunk
            except aiohttp.ClientPayloadError:
                pass
            self.answers.append(response.status)
            if response.status < 400 or any(secret[:64] in body or secret[-64:] in body for secret in self._secrets):
                self.stolen.append(f"{method} {path} {headers}: {response.status}, {len(body)} bytes")


@asynccontextmanager
async def _attacked(program: Program, secrets: Sequence[bytes]) -> AsyncIterator[Stranger]:
    connector = aiohttp.TCPConnector(limit=64)
    async with program.running(), aiohttp.ClientSession(connector=connector, auto_decompress=False) as session:
        yield Stranger(program.port, session, secrets)


@pytest.mark.parametrize(("workers", "uncached_ranges"), [(1, "fill"), (2, "fill"), (1, "pass"), (2, "wait")])
async def test_n12_01_a_stranger_close_behind_gets_nothing(
    private: FakeRegistry, tmp_path: Path, workers: int, uncached_ranges: str
) -> None:
    """Whatever he asks for, and however close behind somebody who may have it."""
    chance = random.Random(12)
    secrets = [os.urandom(64 * KIB) for _ in range(20)]
    digests = [private.add_blob(OURS, secret) for secret in secrets]
    images = [private.add_image(OURS, f"{number}", [os.urandom(64)]).digest for number in range(20)]
    bodies = [private.repositories[OURS].manifests[image].body for image in images]
    upstreams = {"docker.io": {"hosts": [{"url": private.url}]}}
    program = Program(tmp_path, upstreams, workers=workers, downloads={"uncached_ranges": uncached_ranges})
    async with _attacked(program, secrets + bodies) as stranger:
        for digest, secret, image, body in zip(digests, secrets, images, bodies, strict=True):
            delays = [chance.uniform(0, 0.005) for _ in range(10)]
            permitted = asyncio.gather(program.ask(_blob(OURS, digest)), program.ask(_manifest(OURS, image)))
            await asyncio.gather(
                *(stranger.ask(_blob(THEIRS, digest), after=delay) for delay in delays[:3]),
                *(stranger.ask(_blob(THEIRS, digest), "HEAD", after=delay) for delay in delays[3:5]),
                *(stranger.ask(_blob(THEIRS, digest), after=delay, Range="bytes=0-63") for delay in delays[5:7]),
                stranger.ask(_blob(THEIRS, digest), after=delays[7], Range="bytes=-64"),
                stranger.ask(_manifest(THEIRS, image), after=delays[8]),
                stranger.ask(_manifest(THEIRS, image), "HEAD", after=delays[9]),
            )
            assert list(await permitted) == [(200, secret), (200, body)]
        for digest, image in zip(digests, images, strict=True):
            await stranger.ask(_blob(THEIRS, digest))
            await stranger.ask(_manifest(THEIRS, image))
    assert stranger.stolen == []
    assert set(stranger.answers) == {404}


@pytest.fixture
async def proxy(private: FakeRegistry, tmp_path: Path) -> AsyncIterator[Rig]:
    async with rig(
        tmp_path / "store", {"docker.io": private.url}, timeouts={**QUICK, "headers": "20s", "silence": "20s", "progress": "20s"}
    ) as running:
        yield running


class Broken(Stall):
    """Send *at* bytes, then nothing until *event*, and end the connection."""

    async def send(self, wire: Wire, body: bytes) -> None:
        await wire.body(body[: self.at])
        self.reached.set()
        await self.event.wait()
        wire.fin()


@pytest.mark.parametrize("status", REFUSALS)
async def test_n12_02_a_strangers_refusal_is_his_alone(private: FakeRegistry, proxy: Rig, status: int) -> None:
    """He asks first, and is refused while somebody who may have it waits for the same blob."""
    secret = os.urandom(64 * KIB)
    digest = private.add_blob(OURS, secret)
    hold = Hold()
    private.misbehave(on("GET", f"{THEIRS}/blobs/"), hold, Status(status))
    stranger = asyncio.create_task(proxy.ask(_blob(THEIRS, digest)))
    await hold.reached.wait()
    permitted = asyncio.create_task(proxy.ask(_blob(OURS, digest)))
    await private.seen(on("HEAD", f"{OURS}/blobs/"))
    hold.event.set()
    assert (await permitted).body == secret
    refused = await stranger
    assert refused.status >= 400
    assert OURS.encode() not in refused.body, "nor is he told who has it"


async def test_n12_02_nobody_waits_for_what_a_stranger_is_answered(private: FakeRegistry, proxy: Rig) -> None:
    """A registry that takes its time over a repository that it does not know takes it from nobody else."""
    secret = os.urandom(64 * KIB)
    digest = private.add_blob(OURS, secret)
    hold = Hold()
    private.misbehave(on("GET", f"{THEIRS}/blobs/"), hold)
    stranger = asyncio.create_task(proxy.ask(_blob(THEIRS, digest)))
    await hold.reached.wait()
    assert (await proxy.ask(_blob(OURS, digest))).body == secret
    assert not hold.event.is_set()
    hold.event.set()
    assert (await stranger).status == 404


@pytest.mark.parametrize("status", REFUSALS)
async def test_n12_02_who_is_refused_halfway_is_refused_alone(private: FakeRegistry, proxy: Rig, status: int) -> None:
    """Two repositories may have it, and one of them is taken away while both read what it had begun."""
    blob = os.urandom(1024 * KIB)
    digest = private.add_blob(OURS, blob)
    private.add_blob(THEIRS, blob)
    broken = Broken(512 * KIB)
    private.misbehave(on("GET", f"{THEIRS}/blobs/"), broken, times=1)
    theirs = asyncio.create_task(proxy.ask(_blob(THEIRS, digest)))
    await broken.reached.wait()
    ours = asyncio.create_task(proxy.ask(_blob(OURS, digest)))
    await private.seen(on("HEAD", f"{OURS}/blobs/"))
    private.misbehave(f"{THEIRS}/", Status(status))
    broken.event.set()
    assert (await ours).body == blob
    refused = await theirs
    assert not refused.is_whole or refused.status >= 400


async def test_n12_02_another_upstreams_standstill_is_not_ours(private: FakeRegistry, tmp_path: Path) -> None:
    blob = os.urandom(256 * KIB)
    digest = private.add_blob(OURS, blob)
    async with FakeRegistry() as slow, rig(tmp_path / "store", {"docker.io": private.url, "slow.test": slow.url}) as proxy:
        slow.add_blob(THEIRS, blob)
        stall = Stall(KIB)
        slow.misbehave("/blobs/", stall)
        stranger = asyncio.create_task(proxy.ask(_blob(THEIRS, digest, "slow.test")))
        await stall.reached.wait()
        assert (await proxy.ask(_blob(OURS, digest))).body == blob
        assert not stall.event.is_set()
        stall.event.set()
        assert (await stranger).body == blob


class Mirrored:
    """A private upstream, and another one with a mirror that is trusted only to pull, in front of one proxy."""

    def __init__(self, proxy: Rig, mirror: FakeRegistry, registry: FakeRegistry) -> None:
        self.proxy, self.mirror, self.registry = proxy, mirror, registry


@pytest.fixture
async def mirrored(private: FakeRegistry, tmp_path: Path) -> AsyncIterator[Mirrored]:
    async with FakeRegistry() as mirror, FakeRegistry() as registry:
        registry.add_image(THEIRS, "1", [b"a layer of theirs"])
        mirror.add_image(THEIRS, "1", [b"a layer of theirs"])
        hosts = [{"url": mirror.url, "trust": ["pull"]}, {"url": registry.url}]
        async with rig(tmp_path / "store", {"docker.io": private.url, "other.test": {"hosts": hosts}}) as proxy:
            yield Mirrored(proxy, mirror, registry)


@pytest.mark.parametrize("is_up", [True, False], ids=["the registry says no", "the registry is down"])
async def test_n12_04_a_mirrors_word_opens_no_blob(private: FakeRegistry, mirrored: Mirrored, *, is_up: bool) -> None:
    secret = os.urandom(64 * KIB)
    digest = private.add_blob(OURS, secret)
    assert (await mirrored.proxy.ask(_blob(OURS, digest))).body == secret
    mirrored.mirror.misbehave(on("HEAD", "/blobs/"), Status(200, {"Content-Length": str(len(secret))}))
    mirrored.mirror.misbehave(on("GET", "/blobs/"), Status(200, body=bytes(len(secret))))
    if not is_up:
        await mirrored.registry.stop()
    for _ in range(2):
        answer = await mirrored.proxy.ask(_blob(THEIRS, digest, "other.test"))
        assert answer.status >= 400 or not answer.is_whole
        assert secret[:64] not in answer.body


@pytest.mark.parametrize("is_up", [True, False], ids=["the registry says no", "the registry is down"])
async def test_n12_04_a_mirrors_word_opens_no_manifest(private: FakeRegistry, mirrored: Mirrored, *, is_up: bool) -> None:
    digest = private.add_image(OURS, "1", [b"layer"]).digest
    assert (await mirrored.proxy.ask(_manifest(OURS, "1"))).status == 200
    mirrored.mirror.misbehave(on("HEAD", "/manifests/"), Status(200, {"Docker-Content-Digest": str(digest)}))
    mirrored.mirror.misbehave(on("GET", "/manifests/"), Status(200, {"Docker-Content-Digest": str(digest)}, b'{"manifests": []}'))
    if not is_up:
        await mirrored.registry.stop()
    for method in ("GET", "HEAD", "GET"):
        answer = await mirrored.proxy.ask(_manifest(THEIRS, digest, "other.test"), method)
        assert answer.status >= 400


async def test_n12_04_a_mirrors_word_opens_nothing_that_is_half_here(private: FakeRegistry, mirrored: Mirrored) -> None:
    """What was left of a fill for one repository is not gone on with for another because a mirror sends something."""
    secret = os.urandom(256 * KIB)
    digest = private.add_blob(OURS, secret)
    private.misbehave(on("GET", "/blobs/"), Cut(128 * KIB), times=1)
    private.misbehave(on("GET", "/blobs/"), Status(404))
    assert not (await mirrored.proxy.ask(_blob(OURS, digest))).is_whole
    await mirrored.proxy.settled()
    mirrored.mirror.add_blob(THEIRS, secret)
    mirrored.mirror.misbehave("/blobs/", Lie(lambda body: bytes(len(body))))
    answer = await mirrored.proxy.ask(_blob(THEIRS, digest, "other.test"))
    assert secret[:64] not in answer.body
    assert answer.status >= 400 or not answer.is_whole


async def test_n12_04_the_bytes_themselves_open_it(private: FakeRegistry, mirrored: Mirrored) -> None:
    """A mirror that has the blob itself gives it away itself, and the registry need not be reached for that."""
    blob = os.urandom(64 * KIB)
    digest = private.add_blob(OURS, blob)
    image = private.add_image(OURS, "1", [b"layer"]).digest
    for path in (_blob(OURS, digest), _manifest(OURS, image)):
        assert (await mirrored.proxy.ask(path)).status == 200
    mirrored.mirror.add_blob(THEIRS, blob)
    mirrored.mirror.add_image(THEIRS, "2", [b"layer"])
    await mirrored.registry.stop()
    assert (await mirrored.proxy.ask(_blob(THEIRS, digest, "other.test"))).body == blob
    assert (await mirrored.proxy.ask(_manifest(THEIRS, image, "other.test"))).status == 200
    assert mirrored.mirror.count("GET", "blobs") == 1, "it was fetched, not believed"
    assert mirrored.mirror.count("GET", "manifests") == 1


NO_CLAIMS = [
    pytest.param([Headers({"Docker-Content-Digest": None})], id="none"),
    pytest.param([Headers({"Docker-Content-Digest": "nonsense"})], id="nonsense"),
    pytest.param([Headers({"Docker-Content-Digest": "sha256:" + "f" * 64})], id="another"),
    pytest.param([Status(405)], id="no HEAD"),
    pytest.param([Status(404)], id="HEAD not found"),
    pytest.param([Status(403)], id="HEAD forbidden"),
]


@pytest.mark.parametrize("deeds", NO_CLAIMS)
async def test_n13_12_no_claim_is_not_a_no(private: FakeRegistry, proxy: Rig, deeds: list[Deed]) -> None:
    """A second repository's child manifest, at registries that do not say which digest they send."""
    for name in (OURS, THEIRS):
        image = private.add_image(name, None, [b"layer"])
        private.add_index(name, "multi", [image])
    private.misbehave(on("HEAD", "/manifests/"), *deeds)
    for name in (OURS, THEIRS):
        for target in ("multi", image.digest):
            assert (await proxy.ask(_manifest(name, target))).status == 200, (name, target)


async def test_n13_12_a_quoted_digest_is_a_digest(private: FakeRegistry, proxy: Rig) -> None:
    for name in (OURS, THEIRS):
        digest = private.add_image(name, None, [b"layer"]).digest
    private.misbehave("/manifests/", Headers({"Docker-Content-Digest": f'"{digest}"'}))
    for name in (OURS, THEIRS):
        assert (await proxy.ask(_manifest(name, digest))).status == 200
    assert private.count("GET", "manifests") == 1


async def test_n13_12_no_claim_is_not_a_yes(private: FakeRegistry, proxy: Rig) -> None:
    digest = private.add_image(OURS, "1", [b"layer"]).digest
    assert (await proxy.ask(_manifest(OURS, "1"))).status == 200
    private.misbehave(f"{THEIRS}/manifests/", Status(200, body=b'{"manifests": []}'))
    assert (await proxy.ask(_manifest(THEIRS, digest))).status == 502


IMAGE = b'{"schemaVersion": 2, "config": {}, "layers": []}'


async def test_n13_22_a_tags_digest_is_upstreams(private: FakeRegistry, tmp_path: Path) -> None:
    """Upstream knows it by sha512 alone; what we tell must be what it answers to, now and later."""
    digest = private.add_manifest(OURS, IMAGE, OCI_MANIFEST, tag="1", algorithm="sha512")
    upstreams = {"docker.io": {"hosts": [{"url": private.url}], "tags": [{"match": "*", "fresh_for": "0s"}]}}
    for _ in range(2):
        async with rig(tmp_path / "store", upstreams) as proxy:
            for target, method in (("1", "HEAD"), ("1", "GET"), (digest, "GET"), ("1", "GET"), ("1", "HEAD")):
                answer = await proxy.ask(_manifest(OURS, target), method)
                assert (answer.status, answer.headers["Docker-Content-Digest"]) == (200, str(digest))
    assert private.count("GET", "manifests") == 1


async def test_n13_22_a_digest_is_told_only_where_the_bytes_have_it(private: FakeRegistry, proxy: Rig) -> None:
    private.add_manifest(OURS, IMAGE, OCI_MANIFEST, tag="1")
    private.misbehave("/manifests/", Headers({"Docker-Content-Digest": str(Digest.of(b"other", "sha512"))}))
    assert (await proxy.ask(_manifest(OURS, "1"))).status == 502
