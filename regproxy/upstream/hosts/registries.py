"""The registries of all upstreams: those that the configuration names, and those that its patterns name, opened when they are asked for.

Each has state of its own: health, tokens, limits. Clients choose the names that a pattern covers, so their number is bounded: one that
never gave anything, or was not in use for a while, makes room for the next one, and one client cannot have them all to itself.
"""

import asyncio
import time
from collections.abc import Callable, Iterable, Iterator, Mapping

from regproxy.client import client
from regproxy.policy.clients.sharing import Share
from regproxy.policy.clock import MonotonicClock
from regproxy.policy.routing import Upstream
from regproxy.upstream.registry import UpstreamRegistry

MAX_OF_PATTERNS = 64  # registries that are open at once because a pattern names them, by a worker; some 50 KB each
_SHARE = Share.of(MAX_OF_PATTERNS)
_LEFT_ALONE = 60.0  # seconds after which one that has given something may be closed for another


class Registries(Mapping[str, UpstreamRegistry]):
    """Every registry by its own name."""

    def __init__(
        self,
        upstreams: Iterable[Upstream],
        find: Callable[[str], Upstream | None],
        opened: Callable[[Upstream], UpstreamRegistry],
        clock: MonotonicClock = time.monotonic,
    ) -> None:
        """Open *upstreams* with *opened*, patterns excepted; *find* returns the upstream of a name, also of one that a pattern covers."""
        self._named = {upstream.name: opened(upstream) for upstream in upstreams if not upstream.is_pattern}
        self._find = find
        self._opened = opened
        self._clock = clock
        self._others: dict[str, UpstreamRegistry] = {}
        self._clients: dict[str, str] = {}  # for whom each of the others was opened
        self._closing: set[asyncio.Task[None]] = set()

    def __getitem__(self, name: str) -> UpstreamRegistry:
        """Return the registry, or raise KeyError; where too many are in use it is one that asks no host, for what is cached needs none."""
        found = self._named.get(name) or self._others.get(name)
        if found is None:
            upstream = self._find(name)
            if upstream is None:
                raise KeyError(name)
            found = self._opened(upstream)
            if self._makes_room():
                self._others[name], self._clients[name] = found, client.get()
            else:
                found.refuse("too many registries of patterns are in use already")
        return found

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and self._find(name) is not None

    def __iter__(self) -> Iterator[str]:
        """List those that are open."""
        return iter([*self._named, *self._others])

    def __len__(self) -> int:
        return len(self._named) + len(self._others)

    async def close(self) -> None:
        """Close all of them."""
        for registry in [*self._named.values(), *self._others.values()]:
            await registry.close()
        await asyncio.gather(*self._closing)

    def _makes_room(self) -> bool:
        """Return whether there is room for one more of the client that asks, having closed one that is not in use if need be."""
        free = {name for name, registry in self._others.items() if not self._is_in_use(registry)}
        own = sum(owner == client.get() for name, owner in self._clients.items() if name not in free)
        if not _SHARE.may_take(len(self._others) - len(free), own):
            return False
        if len(self._others) >= MAX_OF_PATTERNS:
            self._close(min(free, key=lambda name: (self._others[name].has_answered, self._others[name].used_at)))
        return True

    def _is_in_use(self, registry: UpstreamRegistry) -> bool:
        return not registry.is_idle or (registry.has_answered and self._clock() - registry.used_at < _LEFT_ALONE)

    def _close(self, name: str) -> None:
        del self._clients[name]
        task = asyncio.get_running_loop().create_task(self._others.pop(name).close())
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)
