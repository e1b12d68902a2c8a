"""Bundles of sigstore: a signature of a manifest's bytes, or of an in-toto statement that names its digest, and what verifies it.

Sources: protos/sigstore_bundle.proto of sigstore/protobuf-specs, specs/BUNDLE_SPEC.md of sigstore/cosign, protocol.md of
secure-systems-lab/dsse, spec/v1/statement.md of in-toto/attestation.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from regproxy.oci.digest import Digest
from regproxy.trust.keys import signer_of
from regproxy.trust.signed_json import InvalidSignature, read_base64, read_object

if TYPE_CHECKING:
    from regproxy.trust.public_key import PublicKey

BUNDLE_TYPE = "application/vnd.dev.sigstore.bundle.v0.3+json"
BUNDLE_TYPES = frozenset({BUNDLE_TYPE, *(f"application/vnd.dev.sigstore.bundle+json;version=0.{minor}" for minor in (1, 2, 3))})
MAX_BUNDLE_BYTES = 1024 * 1024  # a signature's has 2 to 10 KiB; attestations may have more, and are no signatures
_MAX_SUBJECTS = 1024  # as in sigstore-go
_STATEMENT = "application/vnd.in-toto+json"
_STATEMENT_TYPES = frozenset({"https://in-toto.io/Statement/v1", "https://in-toto.io/Statement/v0.1"})
_SIGNS = "https://sigstore.dev/cosign/sign/v1"  # any other predicate says something about the image: it may be that it is bad


@dataclass(frozen=True, slots=True)
class MessageSignature:
    """A signature of the manifest's own bytes."""

    signature: bytes


@dataclass(frozen=True, slots=True)
class Envelope:
    """A signature of a payload and its type (DSSE)."""

    payload: bytes
    payload_type: str
    signature: bytes

    def signed(self) -> bytes:
        """Return the bytes that were signed: PAE of dsse/protocol.md."""
        name = self.payload_type.encode()
        return b"DSSEv1 %d %b %d %b" % (len(name), name, len(self.payload), self.payload)


@dataclass(frozen=True, slots=True)
class Bundle:
    """What was signed, and whether a certificate, and no key of ours, is said to verify it."""

    content: "MessageSignature | Envelope"
    is_keyless: bool
    raw: bytes


_Keys: TypeAlias = "Sequence[PublicKey]"


def parse_bundle(body: bytes) -> Bundle:
    """Read a bundle; raise `InvalidSignature`."""
    if len(body) > MAX_BUNDLE_BYTES:
        raise InvalidSignature(f"a bundle of more than {MAX_BUNDLE_BYTES} bytes")
    document = read_object(body, "a bundle")
    if str(document.get("mediaType")) not in BUNDLE_TYPES:
        raise InvalidSignature("a bundle of an unknown version")
    message, envelope = document.get("messageSignature"), document.get("dsseEnvelope")
    if (message is None) == (envelope is None):
        raise InvalidSignature("a bundle without one signature")
    material = document.get("verificationMaterial")
    is_keyless = isinstance(material, dict) and not {"certificate", "x509CertificateChain"}.isdisjoint(material)
    return Bundle(_message(message) if message is not None else _envelope(envelope), is_keyless, body)


def verify_bundle(bundle: Bundle, digest: Digest, body: bytes, keys: _Keys) -> "PublicKey":
    """Return the key by which *bundle* is right for the manifest of *digest* and *body*; raise `InvalidSignature`."""
    if isinstance(bundle.content, MessageSignature):
        # The digest beside it is unauthenticated: what was signed are the bytes.
        signer = signer_of(body, bundle.content.signature, keys) if Digest.of(body, digest.algorithm) == digest else None
        if signer is None:
            raise InvalidSignature("a signature by another key, or of other content")
        return signer
    signer = signer_of(bundle.content.signed(), bundle.content.signature, keys)
    if signer is None:
        raise InvalidSignature("a keyless signature" if bundle.is_keyless else "a signature by another key")
    check_statement(bundle.content, digest)
    return signer


def check_statement(envelope: Envelope, digest: Digest) -> None:
    """Raise `InvalidSignature` unless the signed statement is a signature of *digest*."""
    if envelope.payload_type != _STATEMENT:
        raise InvalidSignature("a signed payload that is no in-toto statement")
    statement = read_object(envelope.payload, "the signed statement")
    if str(statement.get("_type")) not in _STATEMENT_TYPES:
        raise InvalidSignature("a signed statement of an unknown version")
    if statement.get("predicateType") != _SIGNS:
        raise InvalidSignature("an attestation, which is no signature")
    subjects = statement.get("subject")
    if not isinstance(subjects, list) or not 0 < len(subjects) <= _MAX_SUBJECTS:
        raise InvalidSignature("a signed statement about nothing, or about too much")
    if not any(_names(subject, digest) for subject in subjects):
        raise InvalidSignature("a signature of another digest")


def _names(subject: object, digest: Digest) -> bool:
    match subject:
        case {"digest": {**digests}}:
            return digests.get(digest.algorithm) == digest.hex
        case _:
            return False


def _message(message: object) -> MessageSignature:
    if not isinstance(message, dict):
        raise InvalidSignature("a bundle without one signature")
    return MessageSignature(read_base64(message.get("signature"), "a signature"))


def _envelope(envelope: Any) -> Envelope:  # noqa: ANN401  JSON is anything
    match envelope:
        case {"payload": payload, "payloadType": str(payload_type), "signatures": [{"sig": signature}]}:
            return Envelope(read_base64(payload, "a payload"), payload_type, read_base64(signature, "a signature"))
        case _:
            raise InvalidSignature("an envelope that has not one signature")  # MUST, sigstore_bundle.proto
