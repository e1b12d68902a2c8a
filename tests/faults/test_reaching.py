"""Row U13, certificates, and what lies on the way to a host: each host has its own."""

import signal
import ssl
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest
from aiohttp import encode_basic_auth
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from regproxy.config import load
from tests.fakes.authority import Authority
from tests.fakes.fleet import KEY
from tests.fakes.program import Program
from tests.fakes.registry import FakeRegistry
from tests.rig import LOOPBACK, rig

NAME = "library/app"


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a certificate that vouches for itself, its key in the same file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "a registry")])
    now = datetime.now(UTC)
    made = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number(), now - timedelta(1), now + timedelta(1))
    made = made.add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address(LOOPBACK))]), critical=False)
    made = made.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    path = tmp_path_factory.mktemp("tls") / "both.pem"
    private = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    path.write_bytes(made.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM) + private)
    return path


async def _status(tmp_path: Path, upstream: FakeRegistry, tls: Mapping[str, object]) -> int:
    digest = upstream.add_blob(NAME, b"blob")
    async with rig(tmp_path / "store", {"docker.io": {"hosts": [{"url": upstream.url, "tls": tls}]}}) as proxy:
        return (await proxy.ask(f"/v2/{NAME}/blobs/{digest}?ns=docker.io")).status


def _server(certificate: Path, *, wants_a_client: bool = False) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate)
    if wants_a_client:
        context.load_verify_locations(certificate)
        context.verify_mode = ssl.CERT_REQUIRED
    return context


async def test_u13_a_host_whose_certificate_nobody_vouches_for_is_not_asked(tmp_path: Path, certificate: Path) -> None:
    async with FakeRegistry(tls=_server(certificate)) as upstream:
        assert await _status(tmp_path, upstream, {}) == 502
        assert upstream.ledger == []


@pytest.mark.parametrize("is_known", [True, False])
async def test_a_program_verifies_hosts_by_the_authorities_of_the_system(tmp_path: Path, certificate: Path, *, is_known: bool) -> None:
    (tmp_path / "none").touch()
    known = {"SSL_CERT_FILE": str(certificate if is_known else tmp_path / "none"), "SSL_CERT_DIR": str(tmp_path / "none")}
    async with FakeRegistry(tls=_server(certificate)) as upstream:
        digest = upstream.add_blob(NAME, b"blob")
        program = Program(tmp_path, {"docker.io": {"hosts": [{"url": upstream.url}]}}, env=known)
        async with program.running():
            status, _ = await program.ask(f"/v2/{NAME}/blobs/{digest}?ns=docker.io")
        assert (status, bool(upstream.ledger)) == ((200, True) if is_known else (502, False))


@pytest.mark.parametrize("workers", [1, 2])
async def test_a_reload_reads_the_authorities_of_the_system_again(tmp_path: Path, certificate: Path, workers: int) -> None:
    """Who is one of them now is believed, and who is none any more is not."""
    bundle = tmp_path / "bundle.pem"
    known = {"SSL_CERT_FILE": str(bundle), "SSL_CERT_DIR": str(tmp_path / "none")}
    async with FakeRegistry(tls=_server(certificate)) as upstream:
        program = Program(tmp_path, {"docker.io": {"hosts": [{"url": upstream.url}]}}, env=known, workers=workers)
        bundle.write_bytes(Authority(tmp_path).ca.read_bytes())
        statuses = []
        async with program.running():
            for times, read in enumerate((certificate, Authority(tmp_path).ca), 1):
                digest = upstream.add_blob(NAME, b"blob %d" % times)
                statuses.append((await program.ask(f"/v2/{NAME}/blobs/{digest}?ns=docker.io"))[0])
                (tmp_path / "next.pem").write_bytes(read.read_bytes())
                (tmp_path / "next.pem").rename(bundle)
                program.tell(signal.SIGHUP)
                await program.until(lambda times=times: program.log().count("configuration reloaded") == times)  # type: ignore[misc]
            digest = upstream.add_blob(NAME, b"blob")
            statuses.append((await program.ask(f"/v2/{NAME}/blobs/{digest}?ns=docker.io"))[0])
        assert statuses == [502, 200, 502]


async def test_a_host_may_have_an_authority_of_its_own(tmp_path: Path, certificate: Path) -> None:
    async with FakeRegistry(tls=_server(certificate)) as upstream:
        assert await _status(tmp_path, upstream, {"ca": str(certificate)}) == 200


async def test_a_host_is_insecure_only_where_that_is_said(tmp_path: Path, certificate: Path) -> None:
    async with FakeRegistry(tls=_server(certificate)) as upstream:
        assert await _status(tmp_path, upstream, {"insecure": "true"}) == 200


async def test_a_host_that_wants_to_know_us_is_shown_our_certificate(tmp_path: Path, certificate: Path) -> None:
    async with FakeRegistry(tls=_server(certificate, wants_a_client=True)) as upstream:
        own = {"certificate": str(certificate), "key": str(certificate)}
        assert await _status(tmp_path, upstream, {"ca": str(certificate)}) == 502
        assert await _status(tmp_path, upstream, {"ca": str(certificate), **own}) == 200


async def test_an_upstream_is_reached_by_its_proxy(tmp_path: Path) -> None:
    """Its name is not looked up here: what it means is for the proxy to say."""
    async with FakeRegistry() as between:
        settings = {"hosts": [{"url": "http://registry.invalid"}], "proxy": between.url}
        async with rig(tmp_path / "store", {"docker.io": settings}) as proxy:
            await proxy.ask(f"/v2/{NAME}/manifests/1?ns=docker.io")
    assert between.ledger[0].path.startswith(f"http://registry.invalid/v2/{NAME}/manifests/1")


async def test_n13_17_a_proxy_is_told_who_we_are_and_nobody_else_is(tmp_path: Path) -> None:
    async with FakeRegistry() as between:
        proxied = between.url.replace("http://", "http://user:canary-proxy@")
        async with rig(tmp_path / "store", {"docker.io": {"hosts": [{"url": "http://registry.invalid"}], "proxy": proxied}}) as proxy:
            await proxy.ask(f"/v2/{NAME}/manifests/1?ns=docker.io")
    assert between.ledger[0].headers["proxy-authorization"] == encode_basic_auth("user", "canary-proxy")
    assert "authorization" not in between.ledger[0].headers


@pytest.mark.parametrize("name", ["china.yaml", "cluster.yaml", "docker.yaml", "node.yaml", "regproxy.yaml"])
def test_the_examples_are_valid(name: str) -> None:
    upstreams = {
        upstream.name
        for upstream in load(Path("config") / name, {"TCR_USER": "u", "TCR_PASSWORD": "p", "REGPROXY_FLEET_KEY": KEY}).upstreams
    }
    assert {"docker.io", "registry.k8s.io", "gcr.io", "quay.io", "ghcr.io"} <= upstreams
