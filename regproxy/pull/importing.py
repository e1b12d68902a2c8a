"""Images from a tar into the store. Nothing is believed on the way in: every blob is hashed as it is kept, every manifest is verified."""

import asyncio
import hashlib
import json
import tarfile
from collections.abc import Iterator
from typing import IO, Any

from regproxy.oci import layout
from regproxy.oci.descriptor import Descriptor
from regproxy.oci.digest import Digest
from regproxy.oci.manifest import DOCKER_LIST, DOCKER_MANIFEST, LIMIT, OCI_INDEX, OCI_MANIFEST, Manifest
from regproxy.oci.reference import Repository
from regproxy.policy.freshness import TagRecord
from regproxy.ports import BlobStore, Index, Kind
from regproxy.pull.fills import BLOB_TYPE
from regproxy.pull.progress import Progress

_CHUNK = 4 * 1024 * 1024
_MANIFESTS = frozenset({OCI_INDEX, OCI_MANIFEST, DOCKER_LIST, DOCKER_MANIFEST})
_CONFIG = "application/vnd.oci.image.config.v1+json"
_LAYER = "application/vnd.oci.image.layer.v1.tar"


class Unreadable(ValueError):
    """The tar holds no images that we know how to read."""


class Importer:
    """Takes images out of one tar."""

    def __init__(self, store: BlobStore, index: Index, tar: tarfile.TarFile, now: float, progress: Progress) -> None:
        """Take where to keep them, the tar, the time in epoch seconds, and where to say how far we are."""
        self._store = store
        self._index = index
        self._tar = tar
        self._now = now
        self._progress = progress
        self._elsewhere: dict[Digest, str] = {}  # where docker save put what the layout would have under blobs/

    async def run(self, name: str | None = None) -> list[str]:
        """Keep all images, the only one under *name* if it is given; list their names. Raise `ValueError` or `StoreError`."""
        self._progress.total = sum(member.size for member in await asyncio.to_thread(self._tar.getmembers))
        images = await asyncio.to_thread(lambda: list(self._images()))
        if name is not None and len(images) != 1:
            raise Unreadable(f"there are {len(images)} images in it: one name does not do")
        references: list[str] = []
        for found, manifest in images:
            if (called := name or found) is None:
                raise Unreadable("an image in it has no name: give it one")
            reference = layout.full_reference(called)
            await self._keep_image(reference.repository, manifest)
            await self._index.put_tag(reference, TagRecord(manifest.descriptor, self._now))
            references.append(str(reference))
        return references

    def _images(self) -> Iterator[tuple[str | None, Manifest]]:
        if (document := self._json("index.json")) is not None:
            for name, descriptor in layout.listed(document):
                yield name, Manifest.verify(self._body(descriptor.digest), descriptor.digest)
        elif (document := self._json("manifest.json")) is not None:
            for image in document:
                if not isinstance(image, dict) or not {"Config", "Layers"} <= image.keys():
                    raise Unreadable("its manifest.json is not one of docker save")
                manifest = self._docker_image(image)
                yield from ((name, manifest) for name in image.get("RepoTags") or [None])
        else:
            raise Unreadable("it is neither an OCI image layout nor made by docker save")

    def _docker_image(self, image: dict[str, Any]) -> Manifest:
        config, *layers = (self._found(path) for path in (image["Config"], *image["Layers"]))
        typed = [Descriptor(_LAYER, layer.digest, layer.size) for layer in layers]
        body = json.dumps(layout.image_of(Descriptor(_CONFIG, config.digest, config.size), typed)).encode()
        return Manifest.verify(body)

    async def _keep_image(self, repository: Repository, manifest: Manifest) -> None:
        children = manifest.children()
        for child in children:
            if child.media_type in _MANIFESTS:
                if self._has(child.digest):
                    await self._keep_image(repository, Manifest.verify(self._body(child.digest), child.digest))
            else:
                await self._keep_blob(repository, child)
        await self._store.write(manifest.descriptor.digest, manifest.body)
        await self._index.put(Kind.MANIFEST, repository, manifest.descriptor, [child.digest for child in children])

    async def _keep_blob(self, repository: Repository, blob: Descriptor) -> None:
        ingest = await self._store.ingest(blob.digest, blob.size)
        try:
            with self._member(blob.digest) as file:
                while chunk := await asyncio.to_thread(file.read, _CHUNK):
                    await ingest.write([chunk])
                    self._progress.advance(len(chunk))
            await ingest.commit()
        finally:
            await ingest.discard()
            ingest.close()
        await self._index.put(Kind.BLOB, repository, Descriptor(BLOB_TYPE, blob.digest, blob.size))

    def _found(self, path: str) -> Descriptor:
        """Describe a file that has no digest for a name."""
        found = hashlib.sha256()
        with self._file(path) as file:
            while chunk := file.read(_CHUNK):
                found.update(chunk)
            digest = Digest("sha256", found.hexdigest())
            self._elsewhere[digest] = path
            return Descriptor(BLOB_TYPE, digest, file.tell())

    def _json(self, name: str) -> Any:  # noqa: ANN401  JSON
        if name not in self._tar.getnames():
            return None
        with self._file(name) as file:
            return json.load(file)

    def _has(self, digest: Digest) -> bool:
        return layout.blob_path(digest) in self._tar.getnames()

    def _body(self, digest: Digest) -> bytes:
        with self._member(digest) as file:
            return file.read(LIMIT + 1)

    def _member(self, digest: Digest) -> IO[bytes]:
        return self._file(self._elsewhere.get(digest) or layout.blob_path(digest))

    def _file(self, path: str) -> IO[bytes]:
        try:
            file = self._tar.extractfile(path)
        except KeyError:
            file = None
        if file is None:
            raise Unreadable(f"{path[:200]} is missing in it")
        return file
