"""Where an answer came from, for `Cache-Status` (RFC 9211), metrics and the access line."""

from enum import Enum


class CacheStatus(Enum):
    """How much upstream had to do with an answer."""

    HIT = "hit"  # nothing
    MISS = "miss"  # it was fetched
    COLLAPSED = "collapsed"  # it was being fetched for somebody else
    PASSED = "passed"  # a part of it was fetched for this answer alone, and could not be verified
    REVALIDATED = "revalidated"  # upstream says it is still the same
    FROZEN = "frozen"  # upstream has no say in it
    COOLDOWN = "cooldown"  # upstream means something newer, which is not known for long enough
    GONE = "gone"  # upstream has deleted the tag
    STALE = "stale"  # upstream is out of reach, this is what we knew

    def header(self) -> str:
        """Return the value of `Cache-Status`."""
        return f"regproxy; {_PARAMETERS[self]}"


_PARAMETERS = {
    CacheStatus.HIT: "hit",
    CacheStatus.MISS: "fwd=miss",
    CacheStatus.COLLAPSED: "fwd=miss; collapsed",
    CacheStatus.PASSED: "fwd=miss; detail=unverified",
    CacheStatus.REVALIDATED: "fwd=stale; fwd-status=200",
    CacheStatus.FROZEN: "hit; detail=frozen",
    CacheStatus.COOLDOWN: "hit; detail=cooldown",
    CacheStatus.GONE: "fwd=stale; fwd-status=404; detail=gone",
    CacheStatus.STALE: "fwd=stale; detail=upstream-out-of-reach",
}
