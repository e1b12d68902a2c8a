"""How often a process looks at what another one writes: often at first, then so that a look too late costs a twentieth of the time.

Each look that finds something wakes all who read along, and each takes a tenth of a millisecond of a processor, for each file. What comes
slowly, many at once, or for many clients would be looked at more than it is sent.
"""

_LEAST, _MOST = 0.01, 0.05  # seconds
_SHARE = 0.05


def pause(elapsed: float) -> float:
    """Return in how many seconds to look again at what has been looked at for *elapsed* seconds."""
    return min(max(_SHARE * elapsed, _LEAST), _MOST)
