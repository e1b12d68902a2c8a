"""A registry with an object store before it, for blobs that their repository holds there, and behind it, for all (port Registry).

For a download it is one more host that is trusted to pull. Where it fails, the registry is asked, and where that fails, it once more
and for longer. What proves something is asked of the registry alone: `resolve`, `confirm` and `confirm_manifest`.
"""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager

from regproxy.behind.body import NAME
from regproxy.behind.holders import Holders
from regproxy.behind.index import BackedIndex
from regproxy.oci.digest import Digest
from regproxy.oci.manifest import Manifest
from regproxy.oci.reference import Reference, Repository
from regproxy.ports import BlobBody, Corrupt, ForwardingRegistry, Kind, Registry, Throttled, Unavailable

_FAILED = (Unavailable, Throttled, Corrupt)  # nobody else is left to ask


class BackedRegistry(ForwardingRegistry):
    """Passes on every question that an object store does not answer before, or after it failed."""

    def __init__(self, registry: Registry, holders: Holders, index: BackedIndex) -> None:
        """Ask *registry* and *holders*; manifests are looked for by *index*."""
        super().__init__(registry)
        self._holders = holders
        self._index = index

    async def manifest(self, reference: Reference) -> Manifest:
        """Fetch as `Registry.manifest`; where that fails, a tag is on record then if it is known behind, for nobody has confirmed it."""
        try:
            return await self._registry.manifest(reference)
        except _FAILED:
            found = await self._index.recall(reference)
            if found is None or not isinstance(reference.target, Digest):
                raise
            return found

    async def describe(self, repository: Repository, digest: Digest) -> int | None:
        if (held := await self._holders.link(Kind.BLOB, repository, digest)) is not None:
            return held.size
        try:
            return await self._registry.describe(repository, digest)
        except _FAILED:
            if (held := await self._holders.link(Kind.BLOB, repository, digest, is_patient=True)) is None:
                raise
            return held.size

    def blob(
        self, repository: Repository, digest: Digest, start: int = 0, stop: int | None = None, last: str | None = None
    ) -> AbstractAsyncContextManager[BlobBody]:
        return self._blob(repository, digest, start, stop, last)

    @asynccontextmanager
    async def _blob(
        self, repository: Repository, digest: Digest, start: int, stop: int | None, last: str | None
    ) -> AsyncIterator[BlobBody]:
        async with AsyncExitStack() as stack:
            body: BlobBody | None = None
            if last != NAME:
                body = await self._holders.blob(stack, repository, digest, start, stop)
            if body is None:
                try:
                    body = await stack.enter_async_context(self._registry.blob(repository, digest, start, stop, last))
                except _FAILED:
                    body = await self._holders.blob(stack, repository, digest, start, stop, is_patient=True)
                    if body is None:
                        raise
            yield body
