"""What tags meant, kept by us and shared with the other replicas where a rule goes by when it was first seen."""

from regproxy.oci.reference import Reference
from regproxy.policy.clock import WallClock
from regproxy.policy.cooldown import Choice, Served, choose
from regproxy.policy.freshness import Missing, TagPolicy, TagRecord
from regproxy.policy.tag_history import History, remembered
from regproxy.ports import Fleet, Index


class TagHistories:
    """The histories of all tags."""

    def __init__(self, index: Index, fleet: Fleet, clock: WallClock) -> None:
        """Keep them in *index* and share them through *fleet*; *clock* returns epoch seconds."""
        self._index = index
        self._fleet = fleet
        self._clock = clock

    async def record(self, reference: Reference, record: TagRecord, rule: TagPolicy) -> None:
        """Record what a tag means now."""
        if not rule.goes_by_history:
            await self._index.put_tag(reference, record)
            return
        shared = await self._fleet.history(reference)
        await self._index.put_tag(reference, record, rule.cooldown, shared)
        await self._share(reference, shared)

    async def record_deleted(self, reference: Reference, rule: TagPolicy) -> History:
        """Record that upstream has no such tag any longer, and return what is known of it now."""
        shared = await self._fleet.history(reference)
        await self._index.put_deleted(reference, self._clock(), rule.cooldown, shared)
        await self._share(reference, shared)
        return await self._index.meanings(reference)

    async def deletion(self, reference: Reference, rule: TagPolicy) -> Missing | None:
        """Return since when upstream has no such tag, where that is on record."""
        history = await self._index.meanings(reference) if rule.gone_for else ()
        if not history or history[-1].digest is not None:
            return None
        return Missing(f"{reference} was deleted upstream", history[-1].since)

    async def of(self, reference: Reference) -> History:
        """Return what is known of a tag, here or where this replica never saw it."""
        return await self._index.meanings(reference) or await self._fleet.history(reference)

    async def choose(self, reference: Reference, rule: TagPolicy, record: TagRecord) -> Choice:
        """Choose what a tag is served as that upstream says means *record*."""
        if not rule.cooldown:
            return Served(record.descriptor.digest)
        return choose(await self._known(reference, record), rule, self._clock()) or Served(record.descriptor.digest)

    async def _known(self, reference: Reference, record: TagRecord) -> History:
        """Return the history of a tag; what upstream said last belongs to it, also where it could not be kept."""
        return remembered(await self._index.meanings(reference), (), record.descriptor.digest, record.checked_at)

    async def _share(self, reference: Reference, shared: History) -> None:
        if (known := await self._index.meanings(reference)) and known != shared:
            self._fleet.put_history(reference, known)
