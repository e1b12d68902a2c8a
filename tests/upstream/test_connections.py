"""Connections: what is reused, and whom TLS lets us trust."""

import ipaddress
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.fakes.deeds import Redirect
from tests.fakes.entry import on
from tests.fakes.registry import FakeRegistry
from tests.fakes.sockets import Relay
from tests.rig import LOOPBACK, rig

NAME = "library/app"


@pytest.fixture
def self_signed(tmp_path: Path) -> ssl.SSLContext:
    """A certificate for our address that nobody has vouched for."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, LOOPBACK)])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(LOOPBACK))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path / "host.pem"
    plain = serialization.NoEncryption()
    path.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)
        + certificate.public_bytes(serialization.Encoding.PEM)
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    return context


async def test_s08_a_certificate_nobody_vouches_for_is_refused(tmp_path: Path, self_signed: ssl.SSLContext) -> None:
    async with FakeRegistry(tls=self_signed) as upstream, rig(tmp_path / "store", {"docker.io": upstream.url}) as proxy:
        upstream.add_image(NAME, "1", [b"layer"])
        answer = await proxy.ask(f"/v2/{NAME}/manifests/1")
        assert answer.status == 502
        assert b"certificate" in answer.body
        assert upstream.ledger == []


async def test_a_connection_outlives_challenges_and_redirects(tmp_path: Path) -> None:
    """A TLS handshake per blob would cost more than the blob."""
    async with FakeRegistry("anonymous") as upstream, Relay(LOOPBACK, upstream.port) as relay:
        upstream.realm = f"{upstream.url}/token"
        digests = [upstream.add_blob(NAME, f"blob {number}".encode()) for number in range(10)]
        for digest in digests:
            upstream.add_file(f"/signed/{digest}", upstream.repositories[NAME].blobs[digest])
        upstream.misbehave(on("GET", "/blobs/"), Redirect(lambda entry: f"/signed/{entry.reference}"))
        host = {"url": relay.url, "realms": [upstream.host]}
        async with rig(tmp_path / "store", {"docker.io": {"hosts": [host]}}) as proxy:
            for digest in digests:
                assert (await proxy.ask(f"/v2/{NAME}/blobs/{digest}")).status == 200
        assert relay.connections == 1


async def test_s08_a_token_service_is_trusted_no_more_than_its_certificate(self_signed: ssl.SSLContext, tmp_path: Path) -> None:
    """A list of realms vouches for a name, and not for whoever answers under it."""
    async with FakeRegistry("password") as upstream, FakeRegistry("password", tls=self_signed) as service:
        upstream.add_image(NAME, "1", [b"layer"])
        upstream.realm = f"{service.url}/token"
        credentials = {"username": upstream.username, "password": upstream.password}
        host = {"url": upstream.url, "credentials": credentials, "realms": [service.host]}
        async with rig(tmp_path / "store", {"docker.io": {"hosts": [host]}}) as proxy:
            answer = await proxy.ask(f"/v2/{NAME}/manifests/1?ns=docker.io")
        assert (answer.status, upstream.password in answer.body.decode()) == (502, False)
        assert service.ledger == []
