"""Small blobs that we read ourselves: what was signed, and bundles."""

from collections.abc import Mapping
from contextlib import aclosing

from regproxy.fill.fills import BLOB_TYPE
from regproxy.oci.descriptor import Descriptor
from regproxy.oci.digest import Digest
from regproxy.oci.reference import Repository
from regproxy.ports import ContentStore, Corrupt, Index, Kind, Registry
from regproxy.trust.signed_json import InvalidSignature

_ATTEMPTS = 2  # of hosts: one may send wrong bytes


class Documents:
    """Reads blobs of a bounded size, from the store or upstream, and keeps them for when upstream is out of reach."""

    def __init__(self, registries: Mapping[str, Registry], store: ContentStore, index: Index) -> None:
        self._registries = registries
        self._store = store
        self._index = index

    async def read(self, repository: Repository, blob: Descriptor, most: int) -> bytes:
        """Return the bytes of *blob*, verified; raise `InvalidSignature` where it has more than *most*, and `UpstreamError`."""
        if blob.size > most:
            raise InvalidSignature(f"{blob.digest} of {blob.size} bytes, more than {most}")
        if await self._index.held(Kind.BLOB, repository, blob.digest) is not None:
            body = await self._store.read(blob.digest, blob.size)
            if body is not None and Digest.of(body, blob.digest.algorithm) == blob.digest:
                return body
        body = await self._fetched(repository, blob)
        if await self._store.write(blob.digest, body):
            await self._index.put(Kind.BLOB, repository, Descriptor(BLOB_TYPE, blob.digest, blob.size))
        return body

    async def _fetched(self, repository: Repository, blob: Descriptor) -> bytes:
        for _ in range(_ATTEMPTS):
            async with self._registries[repository.registry].blob(repository, blob.digest) as opened:
                body = bytearray()
                async with aclosing(opened.chunks()) as chunks:
                    async for chunk in chunks:
                        body += chunk
                        if len(body) > blob.size:
                            break
                if len(body) == blob.size and Digest.of(bytes(body), blob.digest.algorithm) == blob.digest:
                    opened.confirm()
                    return bytes(body)
                opened.reject()
        raise Corrupt(f"{repository.registry} sent wrong bytes for {repository}@{blob.digest}")
