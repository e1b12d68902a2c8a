"""Events of registries: which of their tags are looked at again, and what a look brings.

An event is a hint. It moves no tag, names no digest that is believed, and opens nothing: upstream is asked what the tag means, as
`regproxy refresh` does, and only about tags that are known here or that a schedule brings in.
"""

import logging
from collections.abc import Collection, Coroutine, Iterable, Mapping, Sequence

from regproxy.config.sections.warm import WarmEntry
from regproxy.oci.errors import RegistryError
from regproxy.oci.reference import Reference, Tag
from regproxy.policy.freshness import PullPolicy
from regproxy.policy.hooks.event import Event
from regproxy.policy.hooks.sources import Hook, Source
from regproxy.policy.routing import Routes
from regproxy.ports import Index, StoreError, UpstreamError, Watched
from regproxy.pull.refresher import Refresher
from regproxy.telemetry import metrics
from regproxy.telemetry.log import fields
from regproxy.warming.jobs import HOOK, TooManyJobs, WarmJobs
from regproxy.warming.looks import Looks
from regproxy.warming.preheat import Preheater, check_open
from regproxy.warming.schedules import PARALLEL

_log = logging.getLogger(__name__)


class Scheduled:
    """The tags that the schedules bring in, and for which platforms."""

    def __init__(self, entries: Iterable[WarmEntry], routes: Routes) -> None:
        self._platforms: dict[Reference, tuple[str, ...]] = {}
        for entry in entries:
            for image in entry.images:
                try:
                    _, reference = routes.image(image)
                except RegistryError:
                    continue  # its schedule says so when it is due
                before = self._platforms.get(reference, entry.platforms)
                self._platforms[reference] = tuple(dict.fromkeys((*before, *entry.platforms))) if before and entry.platforms else ()

    def __contains__(self, reference: Reference) -> bool:
        return reference in self._platforms

    def platforms(self, reference: Reference) -> Sequence[str] | None:
        """Return for which platforms a tag is brought in; none are all, and None: it is not."""
        return self._platforms.get(reference)


class Receiver:
    """Receives the events of one hook."""

    def __init__(
        self,
        hook: Hook,
        routes: Routes,
        index: Index,
        refresher: Refresher,
        jobs: WarmJobs,
        scheduled: Scheduled,
        upstreams: Mapping[str, Watched],
        closed: Collection[str] = (),
    ) -> None:
        """Look by *refresher* at tags that *index* knows or that are *scheduled*; *jobs* bring in the latter.

        Upstreams of *closed* serve nobody.
        """
        self.hook = hook
        self._routes = routes
        self._index = index
        self._refresher = refresher
        self._jobs = jobs
        self._scheduled = scheduled
        self._upstreams = upstreams
        self._closed = closed
        self._looks = Looks(self._look, hook.rate)

    async def run(self) -> None:
        """Look at what was told, for ever."""
        await self._looks.run()

    async def take(self, event: Event) -> str:
        """Have the tag of an event looked at, and return what became of that: the values of the label `result`."""
        try:
            route = self._routes.find(event.repository, [self.hook.upstream or event.registry])
        except RegistryError:
            return "unknown"
        reference = Reference(route.repository, event.target)
        if not isinstance(event.target, Tag):
            return "ignored"  # a digest means the same for ever
        if route.upstream.tag_policy(route.repository.name, event.target.name).policy is PullPolicy.NEVER:
            return "ignored"
        try:
            check_open(route, event.target, self._closed)
        except RegistryError:
            return "denied"
        if reference not in self._scheduled and await self._index.tag(reference) is None:
            return "unknown"
        return self._looks.add(reference).value

    async def _look(self, reference: Reference) -> bool:
        """Look at a tag, and report whether that brought nothing."""
        result, told = await self._looked(reference)
        metrics.HOOK_REFRESHES.labels(self.hook.source.value, result).inc()
        level = logging.WARNING if result in {"refused", "failed"} else logging.INFO
        shown = {"source": self.hook.source.value, "reference": str(reference), "result": result, **told}
        _log.log(level, "tag refreshed after an event", extra=fields(**shown))
        return result in {"unchanged", "failed"}

    async def _looked(self, reference: Reference) -> tuple[str, dict[str, str]]:
        if self._upstreams[reference.repository.registry].is_scarce:
            return "rate_limited", {}  # the pulls that are left are for clients, who have it looked up when they ask
        try:
            before = await self._index.tag(reference)
            digest = str((await self._refresher.refresh(str(reference)))["digest"])
            if before is not None and str(before.descriptor.digest) == digest:
                return "unchanged", {"digest": digest}
            if (platforms := self._scheduled.platforms(reference)) is not None:
                found = f"{reference.repository}@{digest}"  # upstream has just said so, and is not asked again
                await self._jobs.add([found], platforms, PARALLEL, f"{HOOK}{self.hook.source.value}")
        except RegistryError as error:
            return "refused", {"reason": error.message}
        except (UpstreamError, StoreError, TooManyJobs) as error:
            return "failed", {"reason": str(error)}
        return "changed", {"digest": digest}


class Hooks:
    """All hooks of the configuration."""

    def __init__(self, receivers: Sequence[Receiver] = (), preheaters: Sequence[Preheater] = ()) -> None:
        self._receivers = receivers
        self._preheaters = preheaters
        for hook in [*(each.hook for each in receivers), *(each.hook for each in preheaters)]:
            if hook.secret is None:
                _log.warning("hook takes events from anybody who reaches the admin port", extra=fields(source=hook.source.value))

    def receivers(self, source: Source) -> Sequence[Receiver]:
        """List those for the events of *source*."""
        return [each for each in self._receivers if each.hook.source is source]

    def preheaters(self, source: Source) -> Sequence[Preheater]:
        """List those for the requests of a preheat driver."""
        return [each for each in self._preheaters if each.hook.source is source]

    def work(self) -> Iterable[Coroutine[None, None, None]]:
        """Return what has to run as long as hooks are answered."""
        return [*(each.run() for each in self._receivers), *(each.run() for each in self._preheaters)]
