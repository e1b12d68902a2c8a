"""When it is told that requests to the fleet were refused: who has another key asks every few seconds, for as long as that is so."""

from dataclasses import dataclass, field

EVERY = 60.0  # seconds between two times that the same is told
MAX_CLIENTS = 1000  # told apart, by their reasons
OTHERS = "other addresses"


@dataclass(slots=True)
class _Told:
    at: float
    since: int = 0  # refusals that were not told


@dataclass(slots=True)
class Refusals:
    """Counts refusals by client and reason."""

    _told: dict[tuple[str, str], _Told] = field(default_factory=dict)  # the oldest first

    def refused(self, client: str, reason: str, now: float) -> tuple[str, int] | None:
        """Count that *client* was refused for *reason*, of a closed set, at *now* in seconds; return whom to tell it of, and how often."""
        key = client, reason
        if key not in self._told and len(self._told) >= MAX_CLIENTS:
            oldest = next(iter(self._told))
            if now - self._told[oldest].at < EVERY:
                key = OTHERS, reason
            else:
                del self._told[oldest]
        told = self._told.get(key)
        if told is not None and now - told.at < EVERY:
            told.since += 1
            return None
        self._told.pop(key, None)
        self._told[key] = _Told(now)
        return key[0], 1 if told is None else 1 + told.since
