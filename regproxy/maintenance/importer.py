"""Imports images from a tar into the store: every blob is hashed as it is stored, every manifest is verified."""

import asyncio
import hashlib
import json
from collections.abc import Callable
from functools import partial
from typing import Any, TypeAlias

from regproxy import files
from regproxy.fill.fills import BLOB_TYPE
from regproxy.maintenance.archive import Archive, Unreadable
from regproxy.maintenance.progress import JobProgress
from regproxy.oci import layout
from regproxy.oci.descriptor import Descriptor
from regproxy.oci.digest import Digest
from regproxy.oci.document import most_values
from regproxy.oci.manifest import DOCKER_LIST, DOCKER_MANIFEST, LIMIT, OCI_INDEX, OCI_MANIFEST, Manifest
from regproxy.oci.reference import Repository
from regproxy.policy.freshness import TagRecord
from regproxy.ports import Index, Ingester, Kind

_MANIFESTS = frozenset({OCI_INDEX, OCI_MANIFEST, DOCKER_LIST, DOCKER_MANIFEST})
_CONFIG = "application/vnd.oci.image.config.v1+json"
_LAYER = "application/vnd.oci.image.layer.v1.tar"
_MAX_IMAGES = 10_000
_MAX_NODES = 200_000  # of a JSON document, each some hundred bytes of memory
_MAX_DEPTH = 8  # indexes in indexes


_Names: TypeAlias = list[str | None]
_ReadManifest: TypeAlias = Callable[[], Manifest]


class Importer:
    """Takes images out of one tar."""

    def __init__(self, store: Ingester, index: Index, tar: Archive, now: float, progress: JobProgress) -> None:
        """Import from *tar* into *store* and *index*, with uses at *now* (epoch seconds), reporting to *progress*."""
        self._store = store
        self._index = index
        self._tar = tar
        self._now = now
        self._progress = progress
        self._elsewhere: dict[Digest, str] = {}  # where docker save put what the layout would have under blobs/
        self._described: dict[str, Descriptor] = {}  # what is there, as far as it was hashed
        self._kept: set[tuple[Repository, Digest]] = set()  # many may point to one

    async def run(self, name: str | None = None) -> list[str]:
        """Keep all images, the only one under *name* if it is given; list their names. Raise `ValueError` or `StoreError`."""
        self._progress.total = self._tar.size
        images = await files.call(self._images)
        count = sum(len(names) for names, _ in images)
        if not count:
            raise Unreadable("there is no image in it")
        if name is not None and count != 1:
            raise Unreadable(f"there are {count} images in it: one name does not do")
        references: list[str] = []
        for names, read_manifest in images:
            manifest = await files.call(read_manifest)
            for found in names:
                if (called := name or found) is None:
                    raise Unreadable("an image in it has no name: give it one")
                reference = layout.full_reference(called)
                await self._keep_image(reference.repository, manifest)
                await self._index.put_tag(reference, TagRecord(manifest.descriptor, self._now))
                await self._index.put_imported(reference.repository)
                references.append(str(reference))
        return references

    def _images(self) -> list[tuple[_Names, _ReadManifest]]:
        """List the names of each image; its manifest is read when its turn comes, as all of them may not fit in memory."""
        if (document := self._json("index.json")) is not None:
            named: dict[Digest, _Names] = {}
            for name, descriptor in _bounded(layout.listed(document)):
                named.setdefault(descriptor.digest, []).append(name)
            return [(names, partial(self._manifest, digest)) for digest, names in named.items()]
        if (document := self._json("manifest.json")) is not None:
            images = _bounded(document if isinstance(document, list) else [None])
            return [(self._names(image), partial(self._docker_image, image)) for image in images]
        raise Unreadable("it is neither an OCI image layout nor made by docker save")

    def _names(self, image: object) -> _Names:
        match image:
            case {"Config": str(), "Layers": list(layers), **rest} if all(isinstance(each, str) for each in layers):
                names = rest.get("RepoTags") or [None]
                if isinstance(names, list) and all(isinstance(each, str | None) for each in names):
                    return _bounded(names)
        raise Unreadable("its manifest.json is not one of docker save")

    def _docker_image(self, image: dict[str, Any]) -> Manifest:
        config, *layers = (self._found(path) for path in (image["Config"], *image["Layers"]))
        typed = [Descriptor(_LAYER, layer.digest, layer.size) for layer in layers]
        body = json.dumps(layout.image_of(Descriptor(_CONFIG, config.digest, config.size), typed)).encode()
        return Manifest.verify(body)

    async def _keep_image(self, repository: Repository, manifest: Manifest, depth: int = 0) -> None:
        if depth > _MAX_DEPTH:
            raise Unreadable(f"there are indexes in indexes in it, more than {_MAX_DEPTH} deep")
        if (repository, manifest.descriptor.digest) in self._kept:
            return
        self._kept.add((repository, manifest.descriptor.digest))
        children = await asyncio.to_thread(manifest.children)
        for child in children:
            if child.media_type in _MANIFESTS:
                if layout.blob_path(child.digest) in self._tar:
                    await self._keep_image(repository, await files.call(self._manifest, child.digest), depth + 1)
            else:
                await self._keep_blob(repository, child)
        await self._store.write(manifest.descriptor.digest, manifest.body)
        await self._index.put(Kind.MANIFEST, repository, manifest.descriptor, [child.digest for child in children])

    async def _keep_blob(self, repository: Repository, blob: Descriptor) -> None:
        if (repository, blob.digest) in self._kept:
            return
        self._kept.add((repository, blob.digest))
        path = self._path(blob.digest)
        if (size := self._tar.size_of(path)) != blob.size:
            raise Unreadable(f"{path} has {size} bytes in it, and {blob.size} by its manifest")
        ingest = await self._store.ingest(blob.digest, blob.size)
        try:
            start = 0
            while chunk := await files.call(self._tar.chunk, path, start):
                await ingest.write([chunk])
                start += len(chunk)
                self._progress.advance(len(chunk))
            await ingest.commit()
        finally:
            await ingest.discard()
            ingest.close()
        await self._index.put(Kind.BLOB, repository, Descriptor(BLOB_TYPE, blob.digest, blob.size))

    def _found(self, path: str) -> Descriptor:
        """Describe a file that has no digest for a name."""
        if path not in self._described:
            found, size = hashlib.sha256(), 0
            while chunk := self._tar.chunk(path, size):
                found.update(chunk)
                size += len(chunk)
            digest = Digest("sha256", found.hexdigest())
            self._elsewhere[digest] = path
            self._described[path] = Descriptor(BLOB_TYPE, digest, size)
        return self._described[path]

    def _json(self, name: str) -> Any:  # noqa: ANN401  JSON
        """Read a document, bounded in size and depth; None where there is none."""
        if name not in self._tar:
            return None
        body = self._tar.body(name, LIMIT)
        if most_values(body) > _MAX_NODES:
            raise Unreadable(f"{name} has more in it than {_MAX_NODES} values")
        try:
            return json.loads(body)
        except (ValueError, RecursionError):
            raise Unreadable(f"{name} is not JSON, or too deep") from None

    def _manifest(self, digest: Digest) -> Manifest:
        return Manifest.verify(self._tar.body(self._path(digest), LIMIT), digest)

    def _path(self, digest: Digest) -> str:
        return self._elsewhere.get(digest) or layout.blob_path(digest)


def _bounded(images: list[Any]) -> list[Any]:
    if len(images) > _MAX_IMAGES:
        raise Unreadable(f"there are more than {_MAX_IMAGES} images in it")
    return images
