"""Where our credentials and we ourselves may be sent, by row: SINK is an attacker's listener, 0 connections are owed to it."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Literal

import pytest

from tests.canary import told
from tests.fakes.deeds import Redirect, Status
from tests.fakes.entry import Entry, on
from tests.fakes.registry import FakeRegistry
from tests.fakes.relay import Relay
from tests.fakes.sockets import Sink
from tests.rig import LOOPBACK, Rig, rig

NAME = "library/app"
TAG = f"/v2/{NAME}/manifests/1?ns=docker.io"
PASSWORD = "canary-password-7f3a"
EMPTY = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"


@asynccontextmanager
async def _guarded(tmp_path: Path, upstream: FakeRegistry, **host: object) -> AsyncIterator[Rig]:
    """Run a regproxy that has a password for *upstream*."""
    entry = {"url": upstream.url, "credentials": {"username": "user", "password": PASSWORD}, **host}
    async with rig(tmp_path / "store", {"docker.io": {"hosts": [entry]}}) as proxy:
        yield proxy


REALMS = [
    pytest.param("http://{sink}/token", id="other port"),
    pytest.param("http://localhost:{port}/token", id="other host"),
    pytest.param("file:///etc/passwd", id="file"),
    pytest.param("ftp://{sink}/", id="ftp"),
    pytest.param("http://169.254.169.254/latest", id="metadata service"),
    pytest.param("http://[::1]:{port}/", id="IPv6 loopback"),
    pytest.param("http://0.0.0.0:{port}/", id="unspecified"),
    pytest.param("http://2130706433:{port}/", id="a number"),
    pytest.param("http://user@{sink}/", id="userinfo"),
    pytest.param("http://127.0.0.1.evil.example/", id="suffix"),
    pytest.param("http://127.0.0.1.:{port}/", id="trailing dot"),
    pytest.param("http://[", id="unparsable"),
    pytest.param("", id="empty"),
    pytest.param("//{sink}/token", id="relative to the scheme"),
]


@pytest.mark.parametrize("realm", REALMS)
async def test_s01_a_foreign_realm_gets_no_connection_and_no_secret(tmp_path: Path, realm: str, caplog: pytest.LogCaptureFixture) -> None:
    async with FakeRegistry("password", password=PASSWORD) as upstream, Sink(EMPTY) as sink:
        upstream.add_image(NAME, "1", [b"layer"])
        named = realm.format(sink=sink.host, port=sink.port)
        upstream.challenge = lambda name: [f'Bearer realm="{named}",service="s",scope="repository:{name}:pull"']
        async with _guarded(tmp_path, upstream) as proxy:
            with caplog.at_level(logging.DEBUG):
                answer = await proxy.ask(TAG)
        assert answer.status == 502
        assert sink.connections == 0
        assert PASSWORD not in caplog.text + answer.body.decode()


async def test_s01_a_realm_on_the_list_is_asked_with_its_query_kept(tmp_path: Path) -> None:
    async with FakeRegistry("password", password=PASSWORD) as upstream, FakeRegistry("password", password=PASSWORD) as service:
        upstream.add_image(NAME, "1", [b"layer"])
        upstream.tokens = service.tokens
        upstream.realm = f"{service.url}/token?account=acme"
        async with _guarded(tmp_path, upstream, realms=[service.host]) as proxy:
            assert (await proxy.ask(TAG)).status == 200
        (asked,) = [entry for entry in service.ledger if entry.kind == "token"]
        assert asked.query["account"] == ["acme", "user"]
        assert asked.query["scope"] == [f"repository:{NAME}:pull"]


async def test_s02_a_token_service_that_redirects_is_not_followed(tmp_path: Path) -> None:
    async with FakeRegistry("password", password=PASSWORD) as upstream, Sink(EMPTY) as sink:
        upstream.add_image(NAME, "1", [b"layer"])
        upstream.misbehave("/token", Redirect(f"{sink.url}/token"))
        async with _guarded(tmp_path, upstream) as proxy:
            assert (await proxy.ask(TAG)).status == 502
        assert sink.connections == 0


@pytest.mark.parametrize("auth", ["password", "basic"])
async def test_s03_no_authorization_leaves_its_origin(tmp_path: Path, auth: Literal["password", "basic"]) -> None:
    async with FakeRegistry(auth, password=PASSWORD) as upstream, FakeRegistry() as elsewhere:
        digest = upstream.add_blob(NAME, b"blob")
        elsewhere.add_file("/signed?a=b", b"blob")
        upstream.misbehave(on("GET", "/blobs/"), Redirect(f"{elsewhere.url}/signed?a=b"))
        async with _guarded(tmp_path, upstream) as proxy:
            assert (await proxy.ask(f"/v2/{NAME}/blobs/{digest}?ns=docker.io")).body == b"blob"
        (seen,) = elsewhere.ledger
        assert "authorization" not in seen.headers


async def test_s03_no_authorization_comes_back_with_a_redirect(tmp_path: Path) -> None:
    """A to B to A: whoever wrote B's Location is not the registry."""
    async with FakeRegistry("basic", password=PASSWORD) as upstream, FakeRegistry() as elsewhere:
        digest = upstream.add_blob(NAME, b"blob")
        upstream.misbehave(on("GET", "/blobs/"), Redirect(f"{elsewhere.url}/hop"))
        elsewhere.misbehave("/hop", Redirect(f"{upstream.url}/back"))
        async with _guarded(tmp_path, upstream) as proxy:
            await proxy.ask(f"/v2/{NAME}/blobs/{digest}?ns=docker.io")
        (back,) = [entry for entry in upstream.ledger if entry.path == "/back"]
        assert "authorization" not in back.headers


async def test_s03_a_challenge_of_a_redirect_target_gets_no_credential(tmp_path: Path) -> None:
    async with FakeRegistry("password", password=PASSWORD) as upstream, FakeRegistry("password", password=PASSWORD) as elsewhere:
        digest = upstream.add_blob(NAME, b"blob")
        upstream.misbehave(on("GET", "/blobs/"), Redirect(f"{elsewhere.url}/v2/{NAME}/blobs/{digest}"))
        elsewhere.add_blob(NAME, b"blob")
        async with _guarded(tmp_path, upstream) as proxy:
            assert (await proxy.ask(f"/v2/{NAME}/blobs/{digest}?ns=docker.io")).status == 403
        assert elsewhere.ledger
        assert all("authorization" not in entry.headers for entry in elsewhere.ledger)


async def test_s03_redirects_end(upstream: FakeRegistry, proxy: Rig) -> None:
    digest = upstream.add_blob(NAME, b"blob")
    upstream.misbehave("", Redirect(lambda entry: f"{entry.path}x"))
    assert (await proxy.ask(f"/v2/{NAME}/blobs/{digest}?ns=docker.io")).status == 502
    assert len(upstream.ledger) == 11


async def test_s04_urls_in_a_manifest_are_nothing_to_us(upstream: FakeRegistry, proxy: Rig) -> None:
    async with Sink(EMPTY) as sink:
        layer = {"mediaType": "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip", "digest": f"sha256:{'a' * 64}", "size": 3}
        media_type = "application/vnd.docker.distribution.manifest.v2+json"
        document = {"schemaVersion": 2, "mediaType": media_type, "config": layer, "layers": [{**layer, "urls": [f"{sink.url}/layer"]}]}
        body = json.dumps(document, indent=3).encode()
        upstream.add_manifest(NAME, body, media_type, tag="1")
        assert (await proxy.ask(TAG)).body == body
        answer = await proxy.ask(f"/v2/{NAME}/blobs/sha256:{'a' * 64}?ns=docker.io")
        assert (answer.status, json.loads(answer.body)["errors"][0]["code"]) == (404, "BLOB_UNKNOWN")
        assert sink.connections == 0


TARGETS = [
    pytest.param("http://169.254.169.254/latest/meta-data", id="metadata service"),
    pytest.param("http://[::ffff:169.254.169.254]/", id="IPv4 in IPv6"),
    pytest.param("http://[fe80::1]/", id="link-local"),
    pytest.param("http://0.0.0.0:{port}/", id="unspecified"),
    pytest.param("http://10.0.0.1/", id="a private network, from loopback"),
    pytest.param("http://224.0.0.1/", id="multicast"),
    pytest.param("file:///etc/passwd", id="file"),
    pytest.param("gopher://{sink}/", id="gopher"),
    pytest.param("http://user:pw@{sink}/", id="userinfo"),
]


@pytest.mark.parametrize("target", TARGETS)
async def test_s05_a_redirect_into_our_own_networks_gets_no_connection(upstream: FakeRegistry, proxy: Rig, target: str) -> None:
    """What a host with a public address may do is in tests/upstream/test_guard.py: this upstream lives on loopback."""
    async with Sink(EMPTY) as sink:
        digest = upstream.add_blob(NAME, b"blob")
        upstream.misbehave("/blobs/", Redirect(target.format(sink=sink.host, port=sink.port)))
        answer = await proxy.ask(f"/v2/{NAME}/blobs/{digest}?ns=docker.io")
        assert answer.status == 502
        assert sink.connections == 0


@pytest.mark.parametrize("path", ["blobs/{digest}", "manifests/1", "tags/list", "referrers/{digest}"])
@pytest.mark.parametrize(
    "target", ["http://canary-user:canary-pass@{sink}/canary-path?X-Amz-Signature=canary", "gopher://canary@x/canary?canary"]
)
async def test_n12_09_where_a_redirect_leads_is_told_without_its_secrets(
    upstream: FakeRegistry, proxy: Rig, target: str, path: str
) -> None:
    """`Rig.ask` looks for canaries in the answer, and tests.canaries in the log."""
    async with Sink(EMPTY) as sink:
        digest = upstream.add_blob(NAME, b"blob")
        upstream.misbehave("", Redirect(target.format(sink=sink.host)))
        answer = await proxy.ask(f"/v2/{NAME}/{path.format(digest=digest)}?ns=docker.io")
        assert (answer.status, b"redirected us to" in answer.body, sink.connections) == (502, True, 0)


@pytest.mark.parametrize("realm", ["http://canary:canary@elsewhere.example/token?a=canary", "http://canary@["])
async def test_n12_09_a_realm_is_told_without_its_secrets(upstream: FakeRegistry, proxy: Rig, realm: str) -> None:
    upstream.auth = "anonymous"
    upstream.challenge = lambda _: [f'Bearer realm="{realm}",service="s"']
    assert (await proxy.ask(TAG)).status == 502
    status, explained = await proxy.admin(f"explain?image=docker.io/{NAME}:1")
    assert (status, told(json.dumps(explained))) == (200, None)
    assert told(json.dumps(await proxy.hosts())) is None


async def test_n12_09_a_location_with_a_space_is_followed_and_its_signature_left_alone(upstream: FakeRegistry, proxy: Rig) -> None:
    async with FakeRegistry() as elsewhere:
        digest = upstream.add_blob(NAME, b"blob")
        elsewhere.add_file("/a%20b?name=c%20d&X-Amz-Signature=e%2Ff+g==", b"blob")
        upstream.misbehave("/blobs/", Redirect(f"{elsewhere.url}/a b?name=c d&X-Amz-Signature=e%2Ff+g=="))
        assert (await proxy.ask(f"/v2/{NAME}/blobs/{digest}?ns=docker.io")).body == b"blob"


@pytest.mark.parametrize("host", ["2130706433", "127.1", "0177.0.0.1", "[::127.0.0.1]", "[64:ff9b::7f00:1]", "[2002:7f00:1::]"])
async def test_n12_09_no_spelling_of_an_address_gets_around_the_guard(upstream: FakeRegistry, tmp_path: Path, host: str) -> None:
    """The upstream may be reached at loopback because `private_networks` says so; it does not live there."""
    async with Relay(LOOPBACK, upstream.port) as relay, Sink(EMPTY) as sink:
        digest = upstream.add_blob(NAME, b"blob")
        upstream.misbehave("/blobs/", Redirect(f"http://{host}:{sink.port}/"))
        entry = {"url": "http://registry.invalid", "proxy": f"http://{LOOPBACK}:{relay.port}"}
        async with rig(tmp_path / "store", {"docker.io": {"hosts": [entry]}}) as proxy:
            assert (await proxy.ask(f"/v2/{NAME}/blobs/{digest}?ns=docker.io")).status == 502
        assert (sink.connections, relay.sent_up > 0) == (0, True)


@pytest.mark.parametrize(
    "url", ["http://169.254.169.254", "http://100.100.100.200", "http://[fd00:ec2::254]", "http://[64:ff9b::a9fe:a9fe]"]
)
async def test_n12_09_a_metadata_service_is_no_registry(tmp_path: Path, url: str) -> None:
    async with rig(tmp_path / "store", {"docker.io": {"hosts": [{"url": url}], "private_networks": ["0.0.0.0/0", "::/0"]}}) as proxy:
        answer = await proxy.ask(TAG)
        assert (answer.status, b"may not have" in answer.body) == (502, True)


NAMESPACES = ["evil.example", "127.0.0.1:{port}", "docker.io@evil", "docker.io%00x", "", "a" * 8000, "..", "docker.io/evil"]


@pytest.mark.parametrize("namespace", NAMESPACES, ids=lambda text: text[:20] or "empty")
async def test_s06_ns_is_a_key_in_a_closed_world(upstream: FakeRegistry, proxy: Rig, namespace: str) -> None:
    async with Sink(EMPTY) as sink:
        answer = await proxy.ask(f"/v2/{NAME}/manifests/1?ns={namespace.format(port=sink.port)}")
        assert (answer.status, json.loads(answer.body)["errors"][0]["code"]) == (404, "NAME_UNKNOWN")
        assert sink.connections == 0
        assert upstream.ledger == []


async def test_s06_ns_given_twice_is_refused(upstream: FakeRegistry, proxy: Rig) -> None:
    assert (await proxy.ask(f"{TAG}&ns=quay.io")).status == 400
    assert upstream.ledger == []


@pytest.mark.parametrize("namespace", ["DOCKER.IO", "docker.io:443"])
async def test_s06_ns_is_taken_whatever_its_case_and_default_port(upstream: FakeRegistry, proxy: Rig, namespace: str) -> None:
    upstream.add_image(NAME, "1", [b"layer"])
    answer = await proxy.ask(f"/v2/{NAME}/manifests/1?ns={namespace}")
    assert (answer.status, answer.headers["OCI-Namespace"]) == (200, namespace)


async def test_s26_no_secret_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Canaries: the password, the tokens, a signature; looked for in logs at DEBUG, metrics, answers and on the disk."""
    signature = "canary-signature-55aa"

    def redirect(entry: Entry) -> str:
        return f"{entry.path.replace('/v2/', '/signed/')}?X-Amz-Signature={signature}"

    async with FakeRegistry("password", password=PASSWORD) as upstream:
        upstream.add_image(NAME, "1", [b"layer"])
        digest = upstream.add_blob(NAME, b"layer")
        broken = upstream.add_blob(NAME, b"broken")
        upstream.misbehave(on("GET", f"/blobs/{digest}"), Redirect(redirect))
        upstream.misbehave(on("GET", str(broken)), Status(500, {"X": PASSWORD}, PASSWORD.encode()))
        upstream.misbehave("/signed/", Status(403))
        with caplog.at_level(logging.DEBUG):
            async with _guarded(tmp_path, upstream) as proxy:
                paths = [TAG, f"/v2/{NAME}/blobs/{digest}", f"/v2/{NAME}/blobs/{broken}", f"/v2/{NAME}/manifests/none"]
                answers = [await proxy.ask(path) for path in paths]
                told = [answer.body.decode() + str(answer.headers) for answer in answers] + [await proxy.metrics(), caplog.text]
        told += await asyncio.to_thread(_contents, tmp_path / "store")
        canaries = [PASSWORD, signature, *upstream.issued]
        assert upstream.issued
        assert [canary for canary in canaries if any(canary in text for text in told)] == []


def _contents(root: Path) -> list[str]:
    return [path.read_bytes().decode("latin-1") for path in root.rglob("*") if path.is_file()]
