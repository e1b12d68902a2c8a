"""Tars of images, right ones and hostile ones."""

import io
import json
import tarfile
from pathlib import Path

from regproxy.oci.descriptor import Descriptor
from regproxy.oci.digest import Digest
from regproxy.oci.layout import blob_path, image_of, written
from regproxy.oci.manifest import OCI_INDEX, OCI_MANIFEST

OCI_CONFIG = "application/vnd.oci.image.config.v1+json"

REF_NAME = "org.opencontainers.image.ref.name"


def write_tar(path: Path, files: dict[str, bytes]) -> None:
    with tarfile.open(path, "w") as tar:
        for name, body in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(body)
            tar.addfile(member, io.BytesIO(body))


def layout(images: int = 1, **files: bytes) -> dict[str, bytes]:
    """Write the files of an OCI image layout."""
    config = b"{}"
    body = json.dumps(image_of(Descriptor(OCI_CONFIG, Digest.of(config), len(config)), [])).encode()
    descriptor = written(Descriptor(OCI_MANIFEST, Digest.of(body), len(body)))
    index = {"manifests": [{**descriptor, "annotations": {REF_NAME: f"app:{number}"}} for number in range(images)]}
    blobs = {blob_path(Digest.of(blob)): blob for blob in (config, body)}
    return {"oci-layout": b"{}", "index.json": json.dumps(index).encode(), **blobs, **files}


def member(
    name: str, body: bytes = b"", kind: bytes = tarfile.REGTYPE, link: str = "", more: dict[str, str] | None = None
) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.size, member.type, member.linkname, member.pax_headers = len(body), kind, link, more or {}
    return member


def of_members(*members: tuple[tarfile.TarInfo, bytes], form: int = tarfile.PAX_FORMAT) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=form) as tar:
        for member, body in members:
            tar.addfile(member, io.BytesIO(body))
    return file.getvalue()


def of_files(files: dict[str, bytes]) -> bytes:
    return of_members(*((member(name, body), body) for name, body in files.items()))


def nested(depth: int, ways: int = 2) -> dict[str, bytes]:
    """Point to an image from an index in an index in an index, and from each of them in so many *ways*."""
    files = layout()
    below = json.loads(files["index.json"])["manifests"][0]
    for _ in range(depth):
        body = json.dumps({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [below] * ways}).encode()
        below = written(Descriptor(OCI_INDEX, Digest.of(body), len(body)))
        files[blob_path(Digest.of(body))] = body
    return {**files, "index.json": json.dumps({"manifests": [{**below, "annotations": {REF_NAME: "app:1"}}]}).encode()}


FOLDER = of_members((member("./", kind=tarfile.DIRTYPE), b""))[:512]
