"""What a fake registry holds."""

import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

from regproxy.oci.descriptor import Descriptor
from regproxy.oci.digest import Digest

OCI_INDEX = "application/vnd.oci.image.index.v1+json"
OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_CONFIG = "application/vnd.oci.image.config.v1+json"
OCI_LAYER = "application/vnd.oci.image.layer.v1.tar"


@dataclass(frozen=True, slots=True)
class Held:
    """A manifest's bytes and the media type they are served with."""

    media_type: str
    body: bytes


@dataclass(slots=True)
class StoredRepository:
    """One repository."""

    blobs: dict[Digest, bytes] = field(default_factory=dict)
    manifests: dict[Digest, Held] = field(default_factory=dict)
    tags: dict[str, Digest] = field(default_factory=dict)


class Library:
    """Repositories by name, made by the first thing put into them."""

    def __init__(self) -> None:
        self.repositories: defaultdict[str, StoredRepository] = defaultdict(StoredRepository)
        self.files: dict[str, bytes] = {}

    def add_blob(self, repository: str, body: bytes, algorithm: str = "sha256") -> Digest:
        digest = Digest.of(body, algorithm)
        self.repositories[repository].blobs[digest] = body
        return digest

    def add_manifest(self, repository: str, body: bytes, media_type: str, tag: str | None = None, algorithm: str = "sha256") -> Digest:
        """Hold any bytes as a manifest, well-formed or not."""
        digest = Digest.of(body, algorithm)
        self.repositories[repository].manifests[digest] = Held(media_type, body)
        if tag is not None:
            self.set_tag(repository, tag, digest)
        return digest

    def add_image(self, repository: str, tag: str | None, layers: Sequence[bytes], subject: Descriptor | None = None) -> Descriptor:
        """Add an image of any bytes as layers, its config named after them; return the manifest's descriptor."""
        held = [Descriptor(OCI_LAYER, self.add_blob(repository, layer), len(layer)) for layer in layers]
        chain = [str(layer.digest) for layer in held]
        config = _json({"architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": chain}})
        document: dict[str, object] = {
            "schemaVersion": 2,
            "mediaType": OCI_MANIFEST,
            "config": _described(Descriptor(OCI_CONFIG, self.add_blob(repository, config), len(config))),
            "layers": [_described(layer) for layer in held],
        }
        if subject is not None:
            document["subject"] = _described(subject)
        return self._add_document(repository, tag, OCI_MANIFEST, document)

    def add_index(self, repository: str, tag: str | None, manifests: Sequence[Descriptor]) -> Descriptor:
        listed = [_described(manifest) for manifest in manifests]
        return self._add_document(repository, tag, OCI_INDEX, {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": listed})

    def add_file(self, path: str, body: bytes) -> None:
        """Serve *body*, without a token, at exactly this raw path and query, as a storage service behind a redirect does."""
        self.files[path] = body

    def set_tag(self, repository: str, tag: str, digest: Digest) -> None:
        self.repositories[repository].tags[tag] = digest

    def remove_tag(self, repository: str, tag: str) -> None:
        del self.repositories[repository].tags[tag]

    def remove_blob(self, repository: str, digest: Digest) -> None:
        del self.repositories[repository].blobs[digest]

    def remove_manifest(self, repository: str, digest: Digest) -> None:
        del self.repositories[repository].manifests[digest]

    def referrers(self, repository: str, subject: str) -> list[dict[str, object]]:
        """List the manifests whose subject is *subject*, as the descriptors the referrers API shows."""
        held = self.repositories[repository].manifests.items()
        return [found for digest, manifest in held if (found := _referrer(digest, manifest, subject))]

    def _add_document(self, repository: str, tag: str | None, media_type: str, document: object) -> Descriptor:
        body = _json(document)
        return Descriptor(media_type, self.add_manifest(repository, body, media_type, tag), len(body))


def _referrer(digest: Digest, held: Held, subject: str) -> dict[str, object] | None:
    try:
        document = json.loads(held.body)
        if document["subject"]["digest"] != subject:
            return None
    except (ValueError, KeyError, TypeError):
        return None
    described = _described(Descriptor(held.media_type, digest, len(held.body)))
    artifact_type = document.get("artifactType") or document.get("config", {}).get("mediaType")
    extra = {"artifactType": artifact_type, "annotations": document.get("annotations")}
    return described | {name: value for name, value in extra.items() if value}


def _described(descriptor: Descriptor) -> dict[str, object]:
    return {"mediaType": descriptor.media_type, "digest": str(descriptor.digest), "size": descriptor.size}


def _json(document: object) -> bytes:
    return json.dumps(document).encode()
