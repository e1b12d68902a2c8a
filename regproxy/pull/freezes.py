"""Freezes: those of the configuration, and those that operators set and lift while we run."""

import time
from collections.abc import Sequence

from regproxy.oci import errors
from regproxy.oci.digest import Digest, InvalidDigest
from regproxy.oci.reference import Reference
from regproxy.policy.clock import WallClock
from regproxy.policy.cooldown import Served, choose
from regproxy.policy.freezing import Freeze, freeze_of, is_pattern, whole_pattern
from regproxy.policy.routing import Routes
from regproxy.ports import Index


class Freezes:
    """Knows what is frozen; what operators froze is in the index and outlives us."""

    def __init__(self, configured: Sequence[Freeze], index: Index, routes: Routes, clock: WallClock = time.time) -> None:
        """Combine what is *configured* as frozen with what *index* stores; *routes* resolve names, *clock* returns epoch seconds."""
        self._configured = tuple(configured)
        self._index = index
        self._routes = routes
        self._clock = clock

    async def of(self, reference: Reference) -> Freeze | None:
        """Find the freeze that holds a tag. Read anew each time: another process may have set it."""
        return freeze_of(reference, await self.all())

    async def all(self) -> list[Freeze]:
        return [*self._configured, *await self._index.freezes()]

    async def set(self, pattern: str, digest: str | None) -> Freeze:
        """Freeze what *pattern* names; raise `RegistryError` where it or the digest is none.

        A single tag is held to the digest that it is served as now, so that an answer under way cannot move it.
        """
        pattern = self._complete(pattern)
        if not is_pattern(pattern):
            raise errors.name_invalid("a pattern is of 1 to 1,024 printable characters")
        try:
            held = Digest.parse(digest) if digest is not None else None
        except InvalidDigest as error:
            raise errors.digest_invalid(str(error)) from error
        if held is None:
            held = await self._meant(pattern)
        freeze = Freeze(pattern, held)
        await self._index.put_freeze(freeze)
        return freeze

    async def lift(self, pattern: str) -> bool:
        """Lift a freeze that an operator set, and report whether there was one."""
        return await self._index.drop_freeze(self._complete(pattern))

    async def _meant(self, pattern: str) -> Digest | None:
        """Return what a tag is served as, where *pattern* names one that is known."""
        digest = await self._index.digest_named(pattern)
        if digest is None:
            return None
        route, reference = self._routes.image(pattern)
        rule = route.upstream.tag_policy(route.repository.name, str(reference.target))
        choice = choose(await self._index.meanings(reference), rule, self._clock()) if rule.cooldown else None
        return choice.digest if isinstance(choice, Served) else digest

    def _complete(self, pattern: str) -> str:
        """Write a pattern by its upstream's own name: `docker.io/nginx` is `docker.io/library/nginx:*`."""
        return whole_pattern(self._routes.canonical(pattern))
