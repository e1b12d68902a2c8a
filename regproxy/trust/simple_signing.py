"""The older signatures of cosign: a manifest under the tag `sha256-<hex>.sig`, each layer a payload with its signature as an annotation.

Source: specs/SIGNATURE_SPEC.md of sigstore/cosign; the payload is that of containers/image, signature/docs/atomic-signature.md.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from regproxy.oci.descriptor import Descriptor
from regproxy.oci.digest import Digest
from regproxy.oci.manifest import Manifest, parse_descriptor
from regproxy.oci.reference import Tag
from regproxy.trust.keys import signer_of
from regproxy.trust.signed_json import InvalidSignature, read_base64, read_digest, read_object

if TYPE_CHECKING:
    from regproxy.trust.public_key import PublicKey

PAYLOAD_TYPE = "application/vnd.dev.cosign.simplesigning.v1+json"
MAX_PAYLOAD_BYTES = 64 * 1024  # a payload has 250
_MAX_SIGNATURES = 64  # of one manifest; they are tried in order
_ANNOTATION = "dev.cosignproject.cosign/signature"
_CLAIM = "cosign container image signature"


@dataclass(frozen=True, slots=True)
class SimpleSignature:
    """Where a payload lies, and the signature of it."""

    payload: Descriptor
    signature: bytes


def signature_tag(digest: Digest) -> Tag | None:
    """Return the tag under which signatures of *digest* lie; None for sha512, whose hex no tag has room for."""
    return Tag(f"sha256-{digest.hex}.sig") if digest.algorithm == "sha256" else None


def signatures_of(manifest: Manifest) -> tuple[SimpleSignature, ...]:
    """List the signatures of a manifest, as far as they can be read: others may have put theirs beside the right one."""
    layers = manifest.document.get("layers")
    found = (_read(layer) for layer in (layers[:_MAX_SIGNATURES] if isinstance(layers, list) else ()))
    return tuple(each for each in found if each is not None)


def verify_payload(payload: bytes, signature: bytes, digest: Digest, keys: "Sequence[PublicKey]") -> "PublicKey":
    """Return the key by which *signature* is right for *payload*, which names *digest*; raise `InvalidSignature`."""
    signer = signer_of(payload, signature, keys)
    if signer is None:
        raise InvalidSignature("a signature by another key")
    critical = read_object(payload, "the signed payload").get("critical")
    match critical:
        case {"type": str(claim), "image": {"docker-manifest-digest": text}} if claim == _CLAIM:
            signed = read_digest(text, "the signed payload")
        case _:
            raise InvalidSignature("a signed payload that is no claim about an image")
    if signed != digest:
        raise InvalidSignature(f"a signature of another digest, {signed}")
    return signer


def _read(layer: object) -> SimpleSignature | None:
    payload = parse_descriptor(layer)
    match layer:
        case {"mediaType": str(media_type), "annotations": {**annotations}} if media_type == PAYLOAD_TYPE and payload is not None:
            try:
                return SimpleSignature(payload, read_base64(annotations.get(_ANNOTATION), "a signature"))
            except InvalidSignature:
                return None
        case _:
            return None
