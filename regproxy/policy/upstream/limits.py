"""When an upstream that counts our pulls is spared, and when it is left alone."""

from regproxy.oci.http.ratelimit import RateLimit

_FLOOR = 0.1  # of the limit: what is left is for tags that nobody here knows
_LONGEST_PAUSE = 60.0  # seconds where no pause is asked for: windows slide, so pulls come back long before the window ends
STRETCH = 6.0  # how many times as long a tag stays fresh while pulls are scarce


def is_scarce(quota: RateLimit | None, age: float) -> bool:
    """Report whether so few pulls are left, as upstream said *age* seconds ago, that stale answers come first."""
    if quota is None or (quota.window is not None and age >= quota.window):
        return False
    return quota.remaining <= _FLOOR * quota.limit


def pause_after(quota: RateLimit | None, *, refused: bool, asked_for: float | None = None) -> float:
    """Return for how many seconds upstream is left alone after an answer; 0 is not at all.

    *refused*: the answer was 429; *asked_for* is what its Retry-After said.
    """
    if refused and asked_for is not None:
        return asked_for
    if refused or (quota is not None and quota.remaining == 0):
        return min(_LONGEST_PAUSE, (quota and quota.window) or _LONGEST_PAUSE)
    return 0.0
