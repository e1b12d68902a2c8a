"""Where an answer came from, for `Cache-Status` (RFC 9211), metrics and the access line."""

from enum import Enum


class Provenance(Enum):
    """How much upstream had to do with an answer."""

    HIT = "hit"  # nothing
    MISS = "miss"  # it was fetched
    COLLAPSED = "collapsed"  # it was being fetched for somebody else
    PASSED = "passed"  # a part of it was fetched for this answer alone, and could not be verified
    REVALIDATED = "revalidated"  # upstream says it is still the same
    FROZEN = "frozen"  # upstream has no say in it
    STALE = "stale"  # upstream is out of reach, this is what we knew

    def cache_status(self) -> str:
        """Write the value of `Cache-Status`."""
        return f"regproxy; {_PARAMETERS[self]}"


_PARAMETERS = {
    Provenance.HIT: "hit",
    Provenance.MISS: "fwd=miss",
    Provenance.COLLAPSED: "fwd=miss; collapsed",
    Provenance.PASSED: "fwd=miss; detail=unverified",
    Provenance.REVALIDATED: "fwd=stale; fwd-status=200",
    Provenance.FROZEN: "hit; detail=frozen",
    Provenance.STALE: "fwd=stale; detail=upstream-out-of-reach",
}
