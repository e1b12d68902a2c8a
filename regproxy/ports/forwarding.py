"""What wraps a registry changes some of its answers; the rest is passed on."""

from contextlib import AbstractAsyncContextManager

from regproxy.oci.digest import Digest
from regproxy.oci.http.ratelimit import RateLimit
from regproxy.oci.manifest import Manifest
from regproxy.oci.reference import Reference, Repository
from regproxy.policy.fleet.signed_hash import Statement
from regproxy.ports.upstream import BlobBody, HostFinding, HostStatus, Registry, TagPage


class ForwardingRegistry(Registry):
    """Passes every question on: the base class of what wraps a registry."""

    def __init__(self, registry: Registry) -> None:
        """Ask *registry*."""
        self._registry = registry

    @property
    def is_backing_off(self) -> bool:
        return self._registry.is_backing_off

    @property
    def is_scarce(self) -> bool:
        return self._registry.is_scarce

    @property
    def is_near(self) -> bool:
        return self._registry.is_near

    @property
    def revalidate_timeout(self) -> float:
        return self._registry.revalidate_timeout

    @property
    def progress_timeout(self) -> float:
        return self._registry.progress_timeout

    @property
    def quota(self) -> RateLimit | None:
        return self._registry.quota

    def has_others(self, repository: Repository) -> bool:
        return self._registry.has_others(repository)

    def may_repeat(self) -> bool:
        return self._registry.may_repeat()

    def hosts(self) -> list[HostStatus]:
        return self._registry.hosts()

    async def examine(self, reference: Reference) -> list[HostFinding]:
        return await self._registry.examine(reference)

    async def resolve(self, reference: Reference) -> Digest | None:
        return await self._registry.resolve(reference)

    async def manifest(self, reference: Reference) -> Manifest:
        return await self._registry.manifest(reference)

    async def describe(self, repository: Repository, digest: Digest) -> int | None:
        return await self._registry.describe(repository, digest)

    async def confirm(self, repository: Repository, digest: Digest) -> None:
        await self._registry.confirm(repository, digest)

    async def confirm_manifest(self, reference: Reference) -> None:
        await self._registry.confirm_manifest(reference)

    def blob(
        self, repository: Repository, digest: Digest, start: int = 0, stop: int | None = None, last: str | None = None
    ) -> AbstractAsyncContextManager[BlobBody]:
        return self._registry.blob(repository, digest, start, stop, last)

    @property
    def has_caches(self) -> bool:
        return self._registry.has_caches

    async def statement(self, repository: Repository, digest: Digest, start: int, stop: int) -> Statement | None:
        return await self._registry.statement(repository, digest, start, stop)

    async def tags(self, repository: Repository, query: str, host: str = "") -> TagPage | None:
        return await self._registry.tags(repository, query, host)

    async def referrers(self, repository: Repository, digest: Digest) -> list[dict[str, object]] | None:
        return await self._registry.referrers(repository, digest)

    async def close(self) -> None:
        await self._registry.close()
