"""A registry that records what its answers mean for the access of their repository (port Registry)."""

from collections.abc import AsyncIterator, Awaitable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from typing import Protocol, TypeVar

from regproxy.oci.digest import Digest
from regproxy.oci.manifest import Manifest
from regproxy.oci.reference import Reference, Repository, Tag
from regproxy.policy.clock import WallClock
from regproxy.policy.routing import Trust, Upstream
from regproxy.ports import Answer, BlobBody, ForwardingRegistry, Registry, TagPage

Result = TypeVar("Result")


class Recorder(Protocol):
    """Who records what answers mean."""

    async def confirmed(self, repository: Repository, asked_at: float) -> None:
        """Record that upstream gave something of *repository* that was asked for at *asked_at*."""

    async def refused(self, repository: Repository, error: Answer) -> None:
        """Record that upstream refused something of *repository*."""


class RecordingRegistry(ForwardingRegistry):
    """Passes every question on. Only the word of hosts that are trusted to resolve counts, whether they give or refuse."""

    def __init__(self, registry: Registry, upstream: Upstream, access: Recorder, clock: WallClock) -> None:
        """Wrap *registry* of *upstream*, recording in *access*; *clock* returns epoch seconds."""
        super().__init__(registry)
        self._access = access
        self._clock = clock
        self._is_trusted = all(Trust.RESOLVE in host.trust for host in upstream.hosts)  # whoever answers

    async def resolve(self, reference: Reference) -> Digest | None:
        return await self._recorded(reference.repository, self._registry.resolve(reference))

    async def manifest(self, reference: Reference) -> Manifest:
        is_trusted = self._is_trusted or isinstance(reference.target, Tag)
        return await self._recorded(reference.repository, self._registry.manifest(reference), is_trusted=is_trusted)

    async def describe(self, repository: Repository, digest: Digest) -> int | None:
        return await self._recorded(repository, self._registry.describe(repository, digest), is_trusted=self._is_trusted)

    async def confirm(self, repository: Repository, digest: Digest) -> None:
        asked_at = self._clock()
        await self._told(repository, self._registry.confirm(repository, digest))
        await self._access.confirmed(repository, asked_at)

    async def confirm_manifest(self, reference: Reference) -> None:
        asked_at = self._clock()
        await self._told(reference.repository, self._registry.confirm_manifest(reference))
        await self._access.confirmed(reference.repository, asked_at)

    def blob(
        self, repository: Repository, digest: Digest, start: int = 0, stop: int | None = None, last: str | None = None
    ) -> AbstractAsyncContextManager[BlobBody]:
        return self._blob(repository, self._registry.blob(repository, digest, start, stop, last))

    async def tags(self, repository: Repository, query: str, host: str = "") -> TagPage | None:
        """Return as `Registry.tags`; a refused list closes nothing, because a pull needs none."""
        asked_at = self._clock()
        page = await self._registry.tags(repository, query, host)
        if page is not None:
            await self._access.confirmed(repository, asked_at)
        return page

    async def referrers(self, repository: Repository, digest: Digest) -> list[dict[str, object]] | None:
        asked_at = self._clock()
        listed = await self._registry.referrers(repository, digest)
        if listed is not None:
            await self._access.confirmed(repository, asked_at)
        return listed

    async def _recorded(self, repository: Repository, answer: Awaitable[Result], *, is_trusted: bool = True) -> Result:
        if not is_trusted:
            return await answer
        asked_at = self._clock()
        result = await self._told(repository, answer)
        if result is not None:
            await self._access.confirmed(repository, asked_at)
        return result

    async def _told(self, repository: Repository, answer: Awaitable[Result]) -> Result:
        try:
            return await answer
        except Answer as error:
            await self._access.refused(repository, error)
            raise

    @asynccontextmanager
    async def _blob(self, repository: Repository, opening: AbstractAsyncContextManager[BlobBody]) -> AsyncIterator[BlobBody]:
        asked_at = self._clock()
        async with AsyncExitStack() as stack:
            if self._is_trusted:
                body = await self._told(repository, stack.enter_async_context(opening))
                await self._access.confirmed(repository, asked_at)
            else:
                body = await stack.enter_async_context(opening)
            yield body
