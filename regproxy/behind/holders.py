"""What repositories hold in an object store, and what their tags mean there: nothing of one that is closed. There is no way around this.

A repository is closed where upstream refused it, to us or to another machine since it last gave us something of it, and where the object
store does not tell whether it did: what a question that failed would open comes from the same store, and can wait.
"""

from contextlib import AsyncExitStack
from functools import partial

from cachetools import TTLCache

from regproxy import large
from regproxy.behind.documents import TagDocument
from regproxy.behind.tier import NoAnswer, ObjectTier
from regproxy.oci.descriptor import Descriptor
from regproxy.oci.digest import Digest
from regproxy.oci.manifest import LIMIT, InvalidManifest, Manifest
from regproxy.oci.reference import Reference, Repository
from regproxy.ports import BlobBody, Index, Kind

_MAX_REPOSITORIES = 10_000
_OPEN_FOR = 60.0  # seconds that a repository is taken for open of which there is no closure


class Holders:
    """Finds what a repository has there; *is_patient* is for when upstream has failed, and takes longer."""

    def __init__(self, tier: ObjectTier, index: Index) -> None:
        """Look in *tier*; what upstream said of a repository is on record in *index*."""
        self._tier = tier
        self._index = index
        self._open_ones: TTLCache[Repository, bool] = TTLCache(_MAX_REPOSITORIES, _OPEN_FOR)

    async def link(self, kind: Kind, repository: Repository, digest: Digest, *, is_patient: bool = False) -> Descriptor | None:
        """Describe content that *repository* holds there: that another one does is no right to read."""
        found = await self._tier.link(kind, repository, digest, is_patient=is_patient)
        return None if found is None or await self._is_closed(repository, is_patient=is_patient) else found

    async def tag(self, reference: Reference, *, is_patient: bool = False) -> TagDocument | None:
        """Return what a tag means there."""
        found = await self._tier.tag(reference, is_patient=is_patient)
        return None if found is None or await self._is_closed(reference.repository, is_patient=is_patient) else found

    async def manifest(self, repository: Repository, digest: Digest, *, is_patient: bool = False) -> Manifest | None:
        """Read a manifest that *repository* holds there."""
        found = await self.link(Kind.MANIFEST, repository, digest, is_patient=is_patient)
        if found is None or found.size > LIMIT:
            return None
        async with large.held(found.size):
            body = await self._tier.manifest(digest, found.size, is_patient=is_patient)
            try:
                return None if body is None else await large.parsed(found.size, partial(Manifest.verify, body, digest))
            except InvalidManifest:
                return None

    async def blob(
        self, stack: AsyncExitStack, repository: Repository, digest: Digest, start: int, stop: int | None, *, is_patient: bool = False
    ) -> BlobBody | None:
        """Open a blob that *repository* holds there from *start* to *stop*, or to its end, until *stack* ends."""
        if await self.link(Kind.BLOB, repository, digest, is_patient=is_patient) is None:
            return None
        return await self._tier.open(stack, digest, start, stop, is_patient=is_patient)

    async def signed(self, repository: Repository, digest: Digest, least: int) -> str | None:
        """Return a URL by which whoever has it may read for a minute a blob of at least *least* bytes that *repository* holds there."""
        found = await self.link(Kind.BLOB, repository, digest)
        return await self._tier.signed(digest) if found is not None and found.size >= least else None

    async def _is_closed(self, repository: Repository, *, is_patient: bool) -> bool:
        access = await self._index.access(repository)
        if access.is_closed or repository in self._open_ones:
            return access.is_closed
        try:
            closure = await self._tier.closure(repository, is_patient=is_patient)
        except NoAnswer:
            return True
        if closure is None or closure.refused_at <= access.confirmed_at:
            self._open_ones[repository] = True
            return False
        await self._index.put_refused(repository, closure.reason)
        return True
