"""What a tag meant before, and back to it."""

import time

from regproxy.oci import errors
from regproxy.oci.digest import Digest
from regproxy.oci.errors import RegistryError
from regproxy.oci.reference import Reference, Tag
from regproxy.policy.clock import WallClock
from regproxy.policy.cooldown import Choice, Served, choose
from regproxy.policy.routing import Routes
from regproxy.policy.tag_history import PastMeaning
from regproxy.ports import Ledger, Meaning
from regproxy.pull.freezes import Freezes


class TagHistory:
    """The meanings of tags that were pulled here, results ready for JSON."""

    def __init__(self, routes: Routes, ledger: Ledger, freezes: Freezes, clock: WallClock = time.time) -> None:
        """Find tags by *routes*, what they meant in *ledger*, and hold them by *freezes*; *clock* returns epoch seconds."""
        self._clock = clock
        self._routes = routes
        self._ledger = ledger
        self._freezes = freezes

    async def of(self, image: str) -> dict[str, object]:
        """List what a tag meant, the last first; raise `RegistryError` or `StoreError`."""
        reference, choice, meanings = await self._found(image)
        freeze = await self._freezes.of(reference)
        served = choice.digest if isinstance(choice, Served) else None
        frozen = freeze.digest or served if freeze is not None else None
        listed = [{"digest": _text(each.digest), "since": each.since, "is_here": each.is_here} for each in meanings]
        waits = {"digest": str(choice.newer), "until": choice.until} if frozen is None and choice.newer is not None else None
        return {"name": str(reference), "frozen": _text(frozen), "served": _text(frozen or served), "waits": waits, "meanings": listed}

    async def roll_back(self, image: str, digest: str | None) -> dict[str, object]:
        """Freeze a tag to *digest*, or to what it meant before what it means now; raise `RegistryError` or `StoreError`."""
        reference, choice, meanings = await self._found(image)
        freeze = await self._freezes.of(reference)
        if freeze is not None and freeze.pattern != str(reference):
            raise RegistryError("DENIED", 409, f"{reference} is frozen by {freeze.pattern}: unfreeze that first")
        now = (freeze and freeze.digest) or (choice.digest if isinstance(choice, Served) else choice.newer)
        if digest is None:
            digest = str(_before(reference, meanings, now))
        wanted = (await self._freezes.set(str(reference), digest)).digest
        is_here = any(each.is_here for each in meanings if each.digest == wanted)
        return {"name": str(reference), "digest": str(wanted), "before": str(now), "is_here": is_here}

    async def _found(self, image: str) -> tuple[Reference, Choice, list[Meaning]]:
        route, reference = self._routes.image(image)
        if not isinstance(reference.target, Tag):
            raise errors.name_invalid(f"{reference} has a digest: that has one meaning for ever")
        meanings = await self._ledger.meanings(reference)
        rule = route.upstream.tag_policy(route.repository.name, reference.target.name)
        choice = choose([PastMeaning(each.digest, each.since) for each in reversed(meanings)], rule, self._clock())
        if choice is None:
            raise errors.manifest_unknown(f"{reference} was not pulled here yet: nothing is known of what it meant")
        return reference, choice, meanings


def _before(reference: Reference, meanings: list[Meaning], now: Digest) -> Digest:
    """Return what was meant before *now*; where *now* is no meaning that is known, what was meant last."""
    digests = [each.digest for each in meanings if each.digest is not None]
    earlier = digests[digests.index(now) + 1 :] if now in digests else digests
    if (found := next((each for each in earlier if each != now), None)) is None:
        raise errors.manifest_unknown(f"{reference} has meant nothing else before {now}, as far as is known here")
    return found


def _text(digest: Digest | None) -> str | None:
    return str(digest) if digest is not None else None
