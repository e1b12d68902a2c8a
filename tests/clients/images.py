"""The images that the clients pull: small, real, and each odd in its own way."""

import os
import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from .content import (
    DOCKER_CONFIG,
    DOCKER_LAYER,
    DOCKER_MANIFEST,
    EMPTY,
    OCI_CONFIG,
    OCI_LAYER,
    OCI_MANIFEST,
    Blob,
    Layer,
    config,
    gzip_layer,
    index,
    manifest,
    plain_layer,
    zstd_layer,
)

LAYERS = 60
LARGE = 32 * 1024 * 1024
ARTIFACT_TYPE = "application/vnd.regproxy.test.v1"


@dataclass(frozen=True, slots=True)
class Image:
    """What a repository holds under one reference, and the line that running it prints."""

    repository: str
    reference: str  # a tag or a digest
    blobs: tuple[Blob, ...]
    manifests: tuple[Blob, ...]  # children first; the last one is what the reference means
    says: str = ""

    @property
    def top(self) -> Blob:
        return self.manifests[-1]

    def at(self, registry: str) -> str:
        return f"{registry}/{self.name}"

    @property
    def name(self) -> str:
        return f"{self.repository}{'@' if ':' in self.reference else ':'}{self.reference}"

    def by_digest(self) -> "Image":
        """Name the same thing as Kubernetes pins it."""
        return replace(self, reference=self.top.digest)


class Images:
    """All images of the tests, made of Debian's static busybox."""

    def __init__(self, busybox: Path, zstd: Path) -> None:
        self._busybox = busybox.read_bytes()
        self.hello = self._schema2("demo/hello", "hello from demo")
        self.library = self._schema2("library/hello", "hello from library")
        self.private = self._schema2("private/hello", "hello from private")
        self.layers = self._many_layers("demo/layers")
        self.multi = self._two_platforms("demo/multi")
        self.zstd = self._zstd("demo/zstd", zstd)
        self.large = self.filled("demo/large", LARGE)
        self.artifact = _artifact(self.hello)

    @property
    def all(self) -> tuple[Image, ...]:
        runnable = (self.hello, self.library, self.private, self.layers, self.multi, self.zstd, self.large)
        return (*runnable, self.artifact)

    def _files(self, repository: str) -> dict[str, bytes]:
        """List what runs, and a file that makes the layer one of this repository alone."""
        return {"bin/busybox": self._busybox, "repository": repository.encode()}

    def _schema2(self, repository: str, says: str) -> Image:
        layer = gzip_layer(DOCKER_LAYER, self._files(repository))
        settings = config(DOCKER_CONFIG, _echo(says), [layer])
        top = manifest(DOCKER_MANIFEST, settings, [layer.blob])
        return Image(repository, "1", (layer.blob, settings), (top,), says)

    def _many_layers(self, repository: str) -> Image:
        files = [{f"layers/{number:02}": f"{number} ".encode()} for number in range(1, LAYERS)]
        layers = [gzip_layer(f"{OCI_LAYER}+gzip", each) for each in (self._files(repository), *files)]
        says = " ".join(str(number) for number in range(1, LAYERS))
        command = ["/bin/busybox", "sh", "-c", "/bin/busybox cat /layers/*"]
        return _oci(repository, str(LAYERS), layers, config(OCI_CONFIG, command, layers), says)

    def _two_platforms(self, repository: str) -> Image:
        says = "hello from multi"
        layer = gzip_layer(f"{OCI_LAYER}+gzip", self._files(repository))
        configs = {name: config(OCI_CONFIG, _echo(says), [layer], name) for name in ("amd64", "arm64")}
        children = {name: manifest(OCI_MANIFEST, settings, [layer.blob]) for name, settings in configs.items()}
        top = index([child.descriptor | {"platform": {"os": "linux", "architecture": name}} for name, child in children.items()])
        return Image(repository, "1", (layer.blob, *configs.values()), (*children.values(), top), says)

    def _zstd(self, repository: str, zstd: Path) -> Image:
        says = "hello from zstd"
        layer = zstd_layer(zstd, self._files(repository))
        return _oci(repository, "1", [layer], config(OCI_CONFIG, _echo(says), [layer]), says)

    def filled(self, repository: str, size: int) -> Image:
        """Build an image with a layer of *size* bytes that nothing makes smaller, a plain tar."""
        says = f"hello from {repository.rpartition('/')[2]}"
        layers = [
            gzip_layer(f"{OCI_LAYER}+gzip", self._files(repository)),
            plain_layer({"filler": random.Random(repository).randbytes(size)}),
        ]
        return _oci(repository, "1", layers, config(OCI_CONFIG, _echo(says), layers), says)


def new_image(repository: str, size: int) -> Image:
    """Build an image of bytes that nobody has seen before; there is nothing in it to run."""
    layers = [plain_layer({"filler": os.urandom(size)})]
    return _oci(repository, "1", layers, config(OCI_CONFIG, [], layers), "")


def _echo(line: str) -> list[str]:
    return ["/bin/busybox", "echo", line]


def _oci(repository: str, tag: str, layers: Sequence[Layer], settings: Blob, says: str) -> Image:
    blobs = [layer.blob for layer in layers]
    top = manifest(OCI_MANIFEST, settings, blobs)
    return Image(repository, tag, (*blobs, settings), (top,), says)


def _artifact(subject: Image) -> Image:
    """Build an artifact about *subject*, listed under the tag that stands for a missing referrers API.

    distribution-spec, Referrers Tag Schema.
    """
    empty = Blob(EMPTY, b"{}")
    note = Blob("text/plain", b"signed, sealed, delivered")
    top = manifest(OCI_MANIFEST, empty, [note], subject=subject.top.descriptor, artifactType=ARTIFACT_TYPE)
    listing = index([top.descriptor | {"artifactType": ARTIFACT_TYPE}])
    tag = subject.top.digest.replace(":", "-")
    return Image(subject.repository, tag, (empty, note), (top, listing))
