"""The image by which `regproxy doctor` proves a pull. It is made from its name: every worker and replica has it, and no registry."""

import io
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

from regproxy.oci.descriptor import Descriptor
from regproxy.oci.digest import Digest
from regproxy.oci.endpoint import BlobPull, Endpoint, ManifestPull
from regproxy.oci.layout import image_of
from regproxy.oci.manifest import OCI_MANIFEST
from regproxy.oci.reference import Tag

FOLDER = "regproxy-doctor"  # no account of Docker Hub has a hyphen in its name
TAG = "1"

_NAME = re.compile(FOLDER + r"/(?P<architecture>[a-z0-9]{1,16})-[0-9a-f]{32}")
_CONFIG = "application/vnd.oci.image.config.v1+json"
_LAYER = "application/vnd.oci.image.layer.v1.tar"  # not compressed: other versions of zlib would make other bytes of it
_REMEMBERED = 64  # of some 12 KiB each


@dataclass(frozen=True, slots=True)
class Found:
    """Bytes of the image, and their names."""

    digest: Digest
    media_type: str
    body: bytes


@dataclass(frozen=True, slots=True)
class DoctorImage:
    """A manifest, a config and a layer of one file, whose content is the image's name."""

    manifest: Found
    blobs: Mapping[Digest, Found]

    def find(self, endpoint: Endpoint) -> Found | None:
        """Return what *endpoint* asks of it; None if it is not there."""
        match endpoint:
            case ManifestPull(target=target) if target in {Tag(TAG), self.manifest.digest}:
                return self.manifest
            case BlobPull(digest=digest):
                return self.blobs.get(digest)
            case _:
                return None


def name_image(architecture: str, nonce: str) -> str:
    """Return the repository of an image for *architecture*, as OCI names it; *nonce* is 32 digits of lower-case hex."""
    return f"{FOLDER}/{architecture}-{nonce}"


def make_image(repository: str) -> DoctorImage | None:
    """Make the image of a repository; None where its name is none of ours."""
    match = _NAME.fullmatch(repository)
    return _made(repository, match["architecture"]) if match is not None else None


@lru_cache(_REMEMBERED)
def _made(repository: str, architecture: str) -> DoctorImage:
    layer = _found(_LAYER, _tar(repository))
    settings = {
        "architecture": architecture,
        "os": "linux",
        "config": {},
        "rootfs": {"type": "layers", "diff_ids": [str(layer.digest)]},
    }
    config = _found(_CONFIG, json.dumps(settings).encode())
    manifest = _found(OCI_MANIFEST, json.dumps(image_of(_descriptor(config), [_descriptor(layer)])).encode())
    return DoctorImage(manifest, {each.digest: each for each in (config, layer)})


def _tar(repository: str) -> bytes:
    import tarfile  # noqa: PLC0415  who serves is asked for this image hardly ever

    packed = io.BytesIO()
    content = repository.encode()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.USTAR_FORMAT) as written:
        member = tarfile.TarInfo(FOLDER)
        member.size = len(content)
        written.addfile(member, io.BytesIO(content))
    return packed.getvalue()


def _found(media_type: str, body: bytes) -> Found:
    return Found(Digest.of(body), media_type, body)


def _descriptor(found: Found) -> Descriptor:
    return Descriptor(found.media_type, found.digest, len(found.body))
