"""A signer as cosign is one: keys, signatures under a tag, bundles."""

import base64
import json
from dataclasses import dataclass, field
from typing import TypeAlias

from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.hashes import SHA256, SHA384, HashAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from regproxy.oci.digest import Digest
from regproxy.oci.manifest import OCI_MANIFEST
from regproxy.trust.bundle import BUNDLE_TYPE
from regproxy.trust.keys import parse_keys
from regproxy.trust.public_key import PublicKey
from regproxy.trust.simple_signing import PAYLOAD_TYPE

Private: TypeAlias = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | Ed25519PrivateKey
EMPTY_CONFIG = b"{}"
IMAGE_CONFIG = "application/vnd.oci.image.config.v1+json"


@dataclass(frozen=True)
class Signer:
    """Somebody with a key."""

    private: Private = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))
    hashed: HashAlgorithm = field(default_factory=SHA256)

    @property
    def pem(self) -> bytes:
        return self.private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)

    @property
    def keys(self) -> tuple[PublicKey, ...]:
        return parse_keys(self.pem)

    def sign(self, message: bytes) -> bytes:
        match self.private:
            case Ed25519PrivateKey():
                return self.private.sign(message)
            case rsa.RSAPrivateKey():
                return self.private.sign(message, padding.PKCS1v15(), self.hashed)
            case _:
                return self.private.sign(message, ec.ECDSA(self.hashed))

    def bundle(self, digest: Digest, predicate: str = "https://sigstore.dev/cosign/sign/v1") -> bytes:
        """Sign *digest* as cosign 3 does: an in-toto statement in an envelope."""
        return self.envelope(statement(digest, predicate))

    def envelope(self, payload: bytes, payload_type: str = "application/vnd.in-toto+json") -> bytes:
        signed = b"DSSEv1 %d %b %d %b" % (len(payload_type), payload_type.encode(), len(payload), payload)
        envelope = {"payload": text(payload), "payloadType": payload_type, "signatures": [{"sig": text(self.sign(signed))}]}
        return bundle({"dsseEnvelope": envelope})

    def message(self, body: bytes) -> bytes:
        """Sign the bytes of a manifest themselves."""
        hashed = {"algorithm": "SHA2_256", "digest": text(bytes.fromhex(Digest.of(body).hex))}
        return bundle({"messageSignature": {"messageDigest": hashed, "signature": text(self.sign(body))}})

    def layer(self, signed: bytes) -> dict[str, object]:
        """Describe a payload that was signed as cosign 2 does."""
        return {
            "mediaType": PAYLOAD_TYPE,
            "digest": str(Digest.of(signed)),
            "size": len(signed),
            "annotations": {"dev.cosignproject.cosign/signature": text(self.sign(signed))},
        }


def of_every_kind() -> dict[str, Signer]:
    """Make a signer for each kind of key that counts."""
    return {
        "p256": Signer(),
        "p384": Signer(ec.generate_private_key(ec.SECP384R1()), SHA384()),
        "p384 with sha256": Signer(ec.generate_private_key(ec.SECP384R1())),
        "rsa": Signer(rsa.generate_private_key(65537, 2048)),
        "ed25519": Signer(Ed25519PrivateKey.generate()),
    }


def text(data: bytes) -> str:
    return base64.b64encode(data).decode()


def payload(digest: Digest, claim: str = "cosign container image signature") -> bytes:
    """Claim that an image has *digest*."""
    identity = {"docker-reference": "registry.example/app"}
    return json.dumps(
        {"critical": {"identity": identity, "image": {"docker-manifest-digest": str(digest)}, "type": claim}, "optional": None}
    ).encode()


def statement(digest: Digest, predicate: str = "https://sigstore.dev/cosign/sign/v1") -> bytes:
    subject = [{"digest": {digest.algorithm: digest.hex}}]
    return json.dumps(
        {"_type": "https://in-toto.io/Statement/v1", "subject": subject, "predicateType": predicate, "predicate": {}}
    ).encode()


def bundle(content: dict[str, object]) -> bytes:
    material = {"publicKey": {"hint": "x"}, "tlogEntries": []}
    return json.dumps({"mediaType": BUNDLE_TYPE, "verificationMaterial": material, **content}).encode()


def signature_manifest(*layers: dict[str, object], config: str = IMAGE_CONFIG) -> bytes:
    """Write the manifest under a tag `sha256-<hex>.sig`."""
    described = {"mediaType": config, "digest": str(Digest.of(EMPTY_CONFIG)), "size": len(EMPTY_CONFIG)}
    return json.dumps({"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": described, "layers": layers}).encode()


def referrer(subject: Digest, size: int, body: bytes, artifact_type: str = BUNDLE_TYPE, config: str = "") -> bytes:
    """Write the manifest of something that refers to *subject*: by default a bundle, as cosign 3 pushes it."""
    empty = "application/vnd.oci.empty.v1+json"
    return json.dumps(
        {
            "schemaVersion": 2,
            "mediaType": OCI_MANIFEST,
            "artifactType": artifact_type,
            "config": {"mediaType": config or empty, "digest": str(Digest.of(EMPTY_CONFIG)), "size": len(EMPTY_CONFIG)},
            "layers": [{"mediaType": artifact_type, "digest": str(Digest.of(body)), "size": len(body)}],
            "subject": {"mediaType": OCI_MANIFEST, "digest": str(subject), "size": size},
        }
    ).encode()
