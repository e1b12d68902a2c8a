"""Freezes: those of the configuration, and those that operators set and lift while we run."""

from collections.abc import Sequence

from regproxy.oci import errors
from regproxy.oci.digest import Digest, InvalidDigest
from regproxy.oci.reference import Reference
from regproxy.policy.freezing import Freeze, freeze_of, whole_pattern
from regproxy.policy.routing import Routes
from regproxy.ports import Index


class Freezes:
    """Knows what is frozen; what operators froze is in the index and outlives us."""

    def __init__(self, configured: Sequence[Freeze], index: Index, routes: Routes) -> None:
        """Combine what is *configured* as frozen with what *index* stores; *routes* resolve names."""
        self._configured = tuple(configured)
        self._index = index
        self._routes = routes

    async def of(self, reference: Reference) -> Freeze | None:
        """Find the freeze that holds a tag. Read anew each time: another process may have set it."""
        return freeze_of(reference, await self.all())

    async def all(self) -> list[Freeze]:
        return [*self._configured, *await self._index.freezes()]

    async def set(self, pattern: str, digest: str | None) -> Freeze:
        """Freeze what *pattern* names; raise `RegistryError` where it or the digest is none.

        A single tag is held to the digest it has now, so that an answer under way cannot move it.
        """
        pattern = self._complete(pattern)
        try:
            held = Digest.parse(digest) if digest is not None else None
        except InvalidDigest as error:
            raise errors.digest_invalid(str(error)) from error
        if held is None:
            held = await self._index.digest_named(pattern)
        freeze = Freeze(pattern, held)
        await self._index.put_freeze(freeze)
        return freeze

    async def lift(self, pattern: str) -> bool:
        """Lift a freeze that an operator set, and report whether there was one."""
        return await self._index.drop_freeze(self._complete(pattern))

    def _complete(self, pattern: str) -> str:
        """Write a pattern by its upstream's own name: `docker.io/nginx` is `docker.io/library/nginx:*`."""
        return whole_pattern(self._routes.canonical(pattern))
