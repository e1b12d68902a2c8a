"""Images out of the store, as a tar of the OCI image layout: how a cluster without a network is filled. Nothing wrong goes out."""

import json
from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import dataclass, field

from regproxy import files
from regproxy.oci import layout
from regproxy.oci.descriptor import Descriptor
from regproxy.oci.digest import Digest
from regproxy.oci.manifest import DOCKER_LIST, OCI_INDEX, Manifest
from regproxy.oci.tar import BLOCK
from regproxy.ports import BlobStore, Gone, Image, Ledger

_CHUNK = 1024 * 1024
_MAX_MANIFESTS = 500  # of one image; each index in an index is a call in a call
_END = bytes(2 * BLOCK)


class NotWhole(Exception):
    """An image cannot be exported: not all of it was ever pulled, or some of it was damaged."""


@dataclass(slots=True)
class Export:
    """A tar that is planned to the byte, and not read yet."""

    store: BlobStore
    parts: dict[Digest, int] = field(default_factory=dict)
    named: list[tuple[str, Descriptor]] = field(default_factory=list)

    @property
    def size(self) -> int:
        parts = sum(len(_header(layout.blob_path(digest), size)) + _padded(size) for digest, size in self.parts.items())
        return parts + sum(len(document) for document in self._documents()) + len(_END)

    async def chunks(self) -> AsyncIterator[bytes]:
        """Read every part twice, once to make sure of it; raise `NotWhole` or `StoreError`."""
        for digest, size in self.parts.items():
            yield _header(layout.blob_path(digest), size)
            async for chunk in self._verified(digest, size):
                yield chunk
            yield bytes(_padded(size) - size)
        for document in self._documents():
            yield document
        yield _END

    def _documents(self) -> Iterable[bytes]:
        for name, body in (layout.MARKER, ("index.json", json.dumps(layout.index(self.named)).encode())):
            yield _header(name, len(body)) + body.ljust(_padded(len(body)), b"\0")

    async def _verified(self, digest: Digest, size: int) -> AsyncIterator[bytes]:
        try:
            content = await self.store.open(digest, size) if await self.store.verify(digest) == size else None
        except Gone:
            content = None
        if content is None:
            raise NotWhole(f"{digest} was damaged, and has been put aside: pull it again")
        try:
            for start in range(0, size, _CHUNK):
                extent = await content.extent(start, min(start + _CHUNK, size))
                yield await files.read_at(extent.file.fileno(), extent.length, extent.offset)
        finally:
            content.release()


async def planned(store: BlobStore, ledger: Ledger, images: Iterable[Image]) -> Export:
    """Find out what belongs into a tar of *images*; raise `NotWhole` or `StoreError`."""
    export = Export(store)
    for image in images:
        parts = {part.digest: part for part in await ledger.parts(image.digest)}
        root = await _check_whole(store, image, image.digest, {digest: part.size for digest, part in parts.items()}, set())
        export.named += [(name, root) for name in image.names]
        export.parts.update((digest, part.size) for digest, part in parts.items())
    return export


async def _check_whole(store: BlobStore, image: Image, digest: Digest, here: Mapping[Digest, int], seen: set[Digest]) -> Descriptor:
    """Describe a manifest, or raise `NotWhole` unless what it needs is *here*; of an index, the platforms that were pulled do.

    What was *seen* is looked at once: indexes may point to each other's parts in more ways than there is time for.
    """
    seen.add(digest)
    if len(seen) > _MAX_MANIFESTS:
        raise NotWhole(f"{', '.join(image.names)} has more than {_MAX_MANIFESTS} manifests")
    body = await store.read(digest, here[digest])
    manifest = None if body is None else Manifest.verify(body, digest)
    children = [] if manifest is None else manifest.children()
    is_index = manifest is not None and manifest.descriptor.media_type in {OCI_INDEX, DOCKER_LIST}
    for child in children:
        if is_index and child.digest in here and child.digest not in seen:
            await _check_whole(store, image, child.digest, here, seen)
    if manifest is None or not (is_index or {child.digest for child in children} <= here.keys()):
        raise NotWhole(f"{', '.join(image.names)} is not whole here: some of {digest} is missing: pull it again")
    return manifest.descriptor


def _header(name: str, size: int) -> bytes:
    import tarfile  # noqa: PLC0415  who serves exports hardly ever

    member = tarfile.TarInfo(name)
    member.size = size
    member.mode = 0o644
    return member.tobuf()


def _padded(size: int) -> int:
    return -(-size // BLOCK) * BLOCK
