"""A verified manifest: its bytes hash to its digest, and its media type follows from them alone.

The body alone decides its media type: `mediaType`, else the type that its shape implies. The digest covers the body and not the
Content-Type, so no Content-Type is a claim: a host that sends the right bytes under another type must not decide what everybody gets.

A body is JSON with one meaning. CVE-2021-41190: a document with both `manifests` and `layers` is an index to one client and an image
to another, so such a body is refused. Clients written in Go do not mind the case of a field's name and let the last of two of a name
win, so fields that are named twice or spelt another way are refused too. So is schema1: its digest is not the hash of its bytes, and no
current client takes it.
"""

import re
from dataclasses import dataclass
from typing import Any, Self

from regproxy.oci.descriptor import Descriptor
from regproxy.oci.digest import Digest, DigestMismatch, InvalidDigest
from regproxy.oci.document import TooManyValues, parse_json

OCI_INDEX = "application/vnd.oci.image.index.v1+json"
OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
# Without an explicit list old registries answer schema1, and others rewrite a list to one platform.
ACCEPT = ", ".join((OCI_INDEX, OCI_MANIFEST, DOCKER_LIST, DOCKER_MANIFEST, "*/*;q=0.1"))

LIMIT = 4 * 1024 * 1024  # distribution-spec: registries should take 4 MiB; more is an attack

_SCHEMA1 = "application/vnd.docker.distribution.manifest.v1+"
_MEDIA_TYPE = re.compile(r"[a-z0-9][a-z0-9!#$&^_.+-]{0,126}/[a-z0-9][a-z0-9!#$&^_.+-]{0,126}", re.IGNORECASE)
_INDEXES = frozenset({OCI_INDEX, DOCKER_LIST})
_IMAGES = frozenset({OCI_MANIFEST, DOCKER_MANIFEST})
_FIELDS = ("schemaVersion", "mediaType", "manifests", "config", "layers", "fsLayers", "blobs", "subject")
_SPELLING = {field.casefold(): field for field in _FIELDS}
_SIZES = range(2**63)  # int64 to Go, and to SQLite


class InvalidManifest(ValueError):
    """The body is not a manifest, or can be read in two ways."""


@dataclass(frozen=True)
class Manifest:
    """A descriptor and the very bytes it describes."""

    descriptor: Descriptor
    body: bytes

    @classmethod
    def verify(cls, body: bytes, expected: Digest | None = None) -> Self:
        """Make a manifest of what a registry sent or a store kept; raise `InvalidManifest` or `DigestMismatch`.

        *expected* is the digest it was asked by; without one, sha256 names it.
        """
        digest = Digest.of(body, expected.algorithm if expected else "sha256")
        if expected is not None and digest != expected:
            raise DigestMismatch(f"expected {expected}, got {digest}")
        if len(body) > LIMIT:
            raise InvalidManifest(f"a manifest of {len(body)} bytes is over the limit of {LIMIT}")
        media_type = _media_type(_document(body))
        return cls(Descriptor(media_type, digest, len(body)), body)

    @property
    def document(self) -> dict[str, Any]:
        """The JSON, parsed anew: it takes many times as much memory as the body. Hostile until each field was looked at."""
        return _document(self.body)

    def children(self) -> list[Descriptor]:
        """List what the manifest points to: manifests of an index, config and layers of an image; malformed ones left out."""
        fields = ("manifests", "layers", "blobs")
        document = self.document
        listed = [item for field in fields if isinstance(items := document.get(field), list) for item in items]
        found = [document.get("config"), *listed]
        return [descriptor for item in found if (descriptor := parse_descriptor(item))]

    @property
    def subject(self) -> Descriptor | None:
        """The manifest this one refers to, for artifacts such as signatures."""
        return parse_descriptor(self.document.get("subject"))


def parse_descriptor(item: object) -> Descriptor | None:
    """Read a descriptor from a JSON document, or return None if it is not one."""
    match item:
        case {"mediaType": str(media_type), "digest": str(text), "size": int(size)} if type(size) is int and size in _SIZES:
            try:
                return Descriptor(media_type, Digest.parse(text), size)
            except InvalidDigest:
                return None
        case _:
            return None


def _document(body: bytes) -> dict[str, Any]:
    try:
        document = parse_json(body, _object)
    except TooManyValues as error:
        raise InvalidManifest(f"the body has {error}") from error
    except ValueError as error:
        raise InvalidManifest("the body is not JSON with one meaning") from error
    if not isinstance(document, dict):
        raise InvalidManifest("the body is not a JSON object")
    for name in document:
        if _SPELLING.get(name.casefold(), name) != name:
            raise InvalidManifest(f"{name[:80]!r} is a field to some clients and none to others")
    return document


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) < len(pairs):
        raise InvalidManifest("a field is there twice")
    return fields


def _media_type(document: dict[str, Any]) -> str:
    """Settle what the manifest is, or raise `InvalidManifest` where it could be two things."""
    if "manifests" in document and not {"layers", "config", "fsLayers"}.isdisjoint(document):
        raise InvalidManifest("the body is an image and an index at once (CVE-2021-41190)")
    written = document.get("mediaType")
    if written is not None and not isinstance(written, str):
        raise InvalidManifest("mediaType is not a string")
    if document.get("schemaVersion") == 1 or (written or "").startswith(_SCHEMA1):
        raise InvalidManifest("schema1 manifests are not supported: their digest is not the hash of their bytes")
    media_type = written or _implied(document)
    _check_shape(media_type, document)
    return media_type


def _implied(document: dict[str, Any]) -> str:
    """Name a body that has no mediaType by its shape; only OCI allows that (image-spec, manifest.md)."""
    if "manifests" in document:
        return OCI_INDEX
    if "config" in document:
        return OCI_MANIFEST
    raise InvalidManifest("the body does not say what it is: it has no mediaType, no manifests and no config")


def _check_shape(media_type: str, document: dict[str, Any]) -> None:
    name = media_type.lower()  # media types are compared without regard to case (RFC 9110, 8.3.1)
    if not _MEDIA_TYPE.fullmatch(media_type) or name.startswith("text/"):
        raise InvalidManifest(f"{media_type[:80]!r} is not a manifest's media type")
    if name in _INDEXES and "manifests" not in document:
        raise InvalidManifest("an index without manifests")
    if name in _IMAGES and "manifests" in document:
        raise InvalidManifest("an image manifest with manifests")
