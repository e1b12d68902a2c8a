"""Blobs and images as bytes: layers, configs, manifests and indexes, built the same way every time."""

import gzip
import hashlib
import io
import json
import subprocess
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

OCI = "application/vnd.oci.image"
DOCKER = "application/vnd.docker"

OCI_MANIFEST = f"{OCI}.manifest.v1+json"
OCI_INDEX = f"{OCI}.index.v1+json"
OCI_CONFIG = f"{OCI}.config.v1+json"
OCI_LAYER = f"{OCI}.layer.v1.tar"
DOCKER_MANIFEST = f"{DOCKER}.distribution.manifest.v2+json"
DOCKER_CONFIG = f"{DOCKER}.container.image.v1+json"
DOCKER_LAYER = f"{DOCKER}.image.rootfs.diff.tar.gzip"
EMPTY = "application/vnd.oci.empty.v1+json"


@dataclass(frozen=True, slots=True)
class Blob:
    """Bytes with a media type; its digest is its name."""

    media_type: str
    body: bytes

    @property
    def digest(self) -> str:
        return sha256(self.body)

    @property
    def descriptor(self) -> dict[str, object]:
        return {"mediaType": self.media_type, "digest": self.digest, "size": len(self.body)}


@dataclass(frozen=True, slots=True)
class Layer:
    """A layer as it travels, and the digest of its tar, which the image's config names."""

    blob: Blob
    diff_id: str


def sha256(body: bytes) -> str:
    return "sha256:" + hashlib.sha256(body).hexdigest()


def document(media_type: str, content: Mapping[str, object]) -> Blob:
    return Blob(media_type, json.dumps(content, indent=2).encode())


def tar(files: Mapping[str, bytes]) -> bytes:
    """Pack executable files of root, dated 1970, so that the same files always have the same digest."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for name, body in files.items():
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(body), 0o755
            archive.addfile(member, io.BytesIO(body))
    return packed.getvalue()


def plain_layer(files: Mapping[str, bytes]) -> Layer:
    packed = tar(files)
    return Layer(Blob(OCI_LAYER, packed), sha256(packed))


def gzip_layer(media_type: str, files: Mapping[str, bytes]) -> Layer:
    packed = tar(files)
    return Layer(Blob(media_type, gzip.compress(packed, mtime=0)), sha256(packed))


def zstd_layer(zstd: Path, files: Mapping[str, bytes]) -> Layer:
    packed = tar(files)
    compressed = subprocess.run([zstd, "--quiet", "--stdout"], input=packed, stdout=subprocess.PIPE, check=True)
    return Layer(Blob(f"{OCI_LAYER}+zstd", compressed.stdout), sha256(packed))


def config(media_type: str, command: Sequence[str], layers: Sequence[Layer], architecture: str = "amd64") -> Blob:
    return document(
        media_type,
        {
            "architecture": architecture,
            "os": "linux",
            "config": {"Cmd": list(command), "Env": ["PATH=/bin"]},
            "rootfs": {"type": "layers", "diff_ids": [layer.diff_id for layer in layers]},
            "history": [{"created": "1970-01-01T00:00:00Z", "created_by": "regproxy tests"} for _ in layers],
        },
    )


def manifest(media_type: str, config: Blob, layers: Sequence[Blob], **more: object) -> Blob:
    return document(
        media_type,
        {
            "schemaVersion": 2,
            "mediaType": media_type,
            "config": config.descriptor,
            "layers": [layer.descriptor for layer in layers],
            **more,
        },
    )


def index(children: Sequence[Mapping[str, object]]) -> Blob:
    return document(OCI_INDEX, {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": list(children)})
