"""What upstream said of tags that it does not have or does not give, remembered to be said again for a moment."""

from collections.abc import Collection

from cachetools import LRUCache

from regproxy.oci import errors
from regproxy.oci.reference import Reference
from regproxy.policy.clock import WallClock
from regproxy.policy.freshness import Denial, Denied, Missing
from regproxy.ports import Answer, InvalidContent, NotFound, Refused, Rejected

_MISSING = 10_000  # tags that upstream does not have or does not give; clients choose what they ask for, so it needs a bound


class Denials:
    """What one worker remembers of such tags."""

    def __init__(self, clock: WallClock, proven: Collection[str] = ()) -> None:
        """Start with none; *clock* returns epoch seconds.

        Nothing is remembered of the *proven* upstreams: what they say to one client is not for another.
        """
        self._proven = proven
        self._clock = clock
        self._missing: LRUCache[Reference, Denial] = LRUCache(_MISSING)

    def get(self, reference: Reference) -> Denial | None:
        return self._missing.get(reference)

    def put(self, reference: Reference, missing: Denial) -> bool:
        """Remember what upstream said, if that is for everybody, and report whether it is."""
        if reference.repository.registry in self._proven:
            return False
        self._missing[reference] = missing
        return True

    def forget(self, reference: Reference) -> None:
        self._missing.pop(reference, None)

    def error(self, missing: Denial) -> errors.RegistryError:
        """Say again what upstream said."""
        reason = f"{missing.reason}, as upstream said {self._clock() - missing.checked_at:.0f} s ago"
        if isinstance(missing, Denied):
            return errors.RegistryError(missing.code, missing.status, reason)
        return errors.manifest_unknown(reason)


def denial_of(error: Answer, now: float) -> Denial | None:
    """Remember an answer for what it says of the tag; that our credentials are wrong says nothing of it."""
    match error:
        case NotFound():
            return Missing(str(error), now)
        case Refused(whatever_asked=False):
            return Denied(str(error), now, 403, "DENIED")
        case Rejected(status=status, code=code):
            return Denied(str(error), now, status, code)
        case InvalidContent():
            return Denied(str(error), now, 422, "MANIFEST_INVALID")
    return None


def answer_of(denial: Denial) -> Answer:
    """Return the error that upstream's word is, when another worker has heard it."""
    return NotFound(denial.reason) if isinstance(denial, Missing) else Rejected(denial.reason, denial.status, denial.code)
