"""What an operator asks of the store: what is in it, what it costs, what may go. Results are ready for JSON."""

from collections.abc import Mapping
from dataclasses import asdict

from regproxy.maintenance import backup
from regproxy.maintenance.catalogue import Catalogue
from regproxy.maintenance.evictor import Evictor
from regproxy.maintenance.images import UnknownImage, image_named
from regproxy.maintenance.jobs import MaintenanceJobs
from regproxy.policy.routing import Routes
from regproxy.ports import Image, Ledger


class Staying(Exception):
    """The image is pinned or frozen: removing it would break a promise to an operator."""


class Inventory:
    """The store as its operator sees it."""

    def __init__(self, ledger: Ledger, evictor: Evictor, jobs: MaintenanceJobs, routes: Routes, catalogue: Catalogue) -> None:
        """List by *ledger*, remove by *evictor*, run long work by *jobs*; *routes* resolve short names; people look through *catalogue*."""
        self.jobs = jobs
        self.catalogue = catalogue
        self._ledger = ledger
        self._evictor = evictor
        self._routes = routes

    async def images(self) -> dict[str, object]:
        """List all images, the most recently used first, and the totals."""
        census = await self._ledger.census()
        images = sorted(await self._ledger.images(), key=lambda image: -image.used_at)
        return {"count": census.count, "bytes": census.size, "images": [_written(image) for image in images]}

    async def status(self) -> dict[str, object]:
        """Describe how much is in the store, and what waits for the object store behind it."""
        census, behind = await self._ledger.census(), self.jobs.behind
        return {"count": census.count, "bytes": census.size, "behind": None if behind is None else await behind.status()}

    async def show(self, image: str) -> dict[str, object]:
        """Describe one image and its parts; raise `UnknownImage`."""
        found = await image_named(self._ledger, self._routes, image)
        parts = await self._ledger.parts(found.digest)
        return {**_written(found), "parts": [{**asdict(part), "digest": str(part.digest)} for part in parts]}

    async def remove(self, image: str, *, dry_run: bool = False) -> dict[str, object]:
        """Remove an image and what only it needs; raise `UnknownImage` or `Staying`."""
        found = await image_named(self._ledger, self._routes, image)
        if found.is_pinned or found.is_frozen:
            raise Staying(f"{image} is {'pinned: unpin' if found.is_pinned else 'frozen: unfreeze'} it first")
        freed = found.alone if dry_run else await self._evictor.remove(found.digest)
        return {"names": found.names, "digest": str(found.digest), "bytes": freed}

    async def pin(self, image: str, *, pinned: bool) -> dict[str, object]:
        """Keep an image whatever else goes, or no longer; raise `UnknownImage`.

        What is pinned and not here, as another replica pinned it, is unpinned by its digest.
        """
        names: tuple[str, ...] = ()
        try:
            found = await image_named(self._ledger, self._routes, image)
            names, digest = found.names, found.digest
        except UnknownImage:
            pins = {str(each): each for each in (await self._ledger.decisions()).pins}
            if pinned or image not in pins:
                raise
            digest = pins[image]
        await self._ledger.pin(digest, pinned=pinned)
        return {"names": names, "digest": str(digest), "pinned": pinned}

    async def backup(self) -> dict[str, object]:
        """Write what operators decided into a document; `restore` reads it."""
        return backup.written(await self._ledger.decisions())

    async def restore(self, document: Mapping[str, object]) -> dict[str, object]:
        """Add what a document of `backup` has, and count it; raise `backup.InvalidBackup`."""
        decisions = backup.read(document)
        await self._ledger.decide(decisions)
        return {"pins": len(decisions.pins), "freezes": len(decisions.freezes), "tags": len(decisions.tags)}


def _written(image: Image) -> dict[str, object]:
    return {**asdict(image), "digest": str(image.digest)}
