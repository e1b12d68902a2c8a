"""Public keys: which count, and what they sign."""

import pytest
from cryptography.hazmat.primitives.asymmetric import dsa, ec, rsa
from cryptography.hazmat.primitives.asymmetric.ed448 import Ed448PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from regproxy.trust.keys import MAX_KEY_FILE_BYTES, InvalidKey, parse_keys, signer_of

from .signing import Signer, of_every_kind

SIGNERS = of_every_kind()


def test_n18_20_a_file_may_hold_several_keys() -> None:
    one, other = Signer(), Signer()
    found = parse_keys(b"# ours\n" + one.pem + b"\n" + other.pem)
    assert [key.fingerprint for key in found] == [one.keys[0].fingerprint, other.keys[0].fingerprint]
    assert str(found[0]) == f"key {found[0].fingerprint[:16]}"
    assert signer_of(b"m", other.sign(b"m"), found) == found[1]


def _pem(private: dsa.DSAPrivateKey | rsa.RSAPrivateKey | Ed448PrivateKey | ec.EllipticCurvePrivateKey) -> bytes:
    return private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def test_n18_20_an_old_rsa_form_is_read() -> None:
    private = SIGNERS["rsa"].private
    assert isinstance(private, rsa.RSAPrivateKey)
    assert parse_keys(private.public_key().public_bytes(Encoding.PEM, PublicFormat.PKCS1)) == SIGNERS["rsa"].keys


@pytest.mark.parametrize(
    ("file", "reason"),
    [
        (b"", "no public key in PEM"),
        (b"ssh-ed25519 AAAA", "no public key in PEM"),
        (b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----", "cannot be read"),
        (b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----", "no public key"),
        (Signer().private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()), "a private key"),
        (_pem(rsa.generate_private_key(65537, 1024)), "RSA of 2048"),  # noqa: S505  too short on purpose
        (_pem(ec.generate_private_key(ec.SECP521R1())), "P-256 or P-384"),
        (_pem(Ed448PrivateKey.generate()), "Ed25519"),
        (Signer().pem * 17, "more than 16 keys"),
        (b"x" * (MAX_KEY_FILE_BYTES + 1), "more than 65536 bytes"),
    ],
)
def test_n18_20_a_file_that_is_no_key_is_refused_with_the_reason(file: bytes, reason: str) -> None:
    with pytest.raises(InvalidKey, match=reason):
        parse_keys(file)
