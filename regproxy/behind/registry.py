"""A registry with an object store before it: a blob that its repository holds there is read there (port Registry).

For the download it is one more host that is trusted to pull. Where it fails, the registry is asked, and where that fails, it once more
and for longer.
"""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager

from regproxy.behind.body import NAME
from regproxy.behind.tier import ObjectTier
from regproxy.oci.digest import Digest
from regproxy.oci.reference import Repository
from regproxy.ports import BlobBody, Corrupt, ForwardingRegistry, Kind, Registry, Throttled, Unavailable


class BackedRegistry(ForwardingRegistry):
    """Passes every question on but that for blobs, and for their sizes."""

    def __init__(self, registry: Registry, tier: ObjectTier) -> None:
        """Look in *tier*, then ask *registry*."""
        super().__init__(registry)
        self._tier = tier

    async def describe(self, repository: Repository, digest: Digest) -> int | None:
        held = await self._tier.link(Kind.BLOB, repository, digest)
        return held.size if held is not None else await self._registry.describe(repository, digest)

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
                body = await self._behind(stack, repository, digest, start, stop, is_patient=False)
            if body is None:
                try:
                    body = await stack.enter_async_context(self._registry.blob(repository, digest, start, stop, last))
                except (Unavailable, Throttled, Corrupt):
                    body = await self._behind(stack, repository, digest, start, stop, is_patient=True)
                    if body is None:
                        raise
            yield body

    async def _behind(
        self, stack: AsyncExitStack, repository: Repository, digest: Digest, start: int, stop: int | None, *, is_patient: bool
    ) -> BlobBody | None:
        """Open it where this repository is known to hold it: that another one does is no right to read."""
        if await self._tier.link(Kind.BLOB, repository, digest, is_patient=is_patient) is None:
            return None
        return await self._tier.open(stack, digest, start, stop, is_patient=is_patient)
