"""What was counted since the start, for a page that is opened later: the last half hour in detail, and all of it, ever more coarsely."""

import asyncio
import time
from array import array
from collections.abc import Callable, Mapping
from typing import Final

from regproxy.policy.clock import WallClock
from regproxy.telemetry import metrics

_EVERY = 5.0  # seconds between two samples
_MAX_SAMPLES = 360
_MAX_SERIES = 48
MAX_BYTES: Final = 2 * (1 + _MAX_SERIES) * _MAX_SAMPLES * 8
"""What the numbers of a history take at most: 282,240 bytes."""


class _Ring:
    """Samples of many series, `_MAX_SAMPLES` at most."""

    def __init__(self) -> None:
        self.at = array("d")
        self._series: dict[str, array[float]] = {}

    @property
    def size(self) -> int:
        return 8 * len(self.at) * (1 + len(self._series))

    @property
    def is_full(self) -> bool:
        return len(self.at) == _MAX_SAMPLES

    def append(self, at: float, values: Mapping[str, float]) -> None:
        """Add a sample; a series that is seen for the first time was 0 before, and one that is not seen is as it was."""
        for name in values:
            if name not in self._series and len(self._series) < _MAX_SERIES:
                self._series[name] = array("d", bytes(8 * len(self.at)))
        for name, series in self._series.items():
            series.append(values.get(name, series[-1] if series else 0.0))
        self.at.append(at)

    def keep(self, which: slice) -> None:
        self.at = self.at[which]
        self._series = {name: series[which] for name, series in self._series.items()}

    def document(self) -> dict[str, object]:
        series = {name: [_short(value) for value in values] for name, values in self._series.items()}
        return {"at": [round(each, 1) for each in self.at], "series": series}


class History:
    """Samples of the totals that the page draws, whose size is bounded by `MAX_BYTES`.

    When the ring of all samples is full every second one goes, and from then on it takes half as many: it always reaches back to the
    start.
    """

    def __init__(self, totals: Callable[[], Mapping[str, float]] = metrics.totals, clock: WallClock = time.time) -> None:
        """Take *totals*, by series; *clock* returns epoch seconds."""
        self._totals = totals
        self._clock = clock
        self._started_at = clock()
        self._taken = 0
        self._stride = 1  # how many samples are taken for one of all
        self._recent = _Ring()
        self._all = _Ring()

    @property
    def size(self) -> int:
        """The bytes of all numbers."""
        return self._recent.size + self._all.size

    async def run(self) -> None:
        """Take samples, for ever."""
        while True:
            self.take()
            await asyncio.sleep(_EVERY)

    def take(self) -> None:
        """Take a sample."""
        at, values = self._clock(), self._totals()
        if self._recent.is_full:
            self._recent.keep(slice(1, None))
        self._recent.append(at, values)
        if self._taken % self._stride == 0:
            if self._all.is_full:
                self._all.keep(slice(None, None, 2))
                self._stride *= 2
            self._all.append(at, values)
        self._taken += 1

    def document(self, *, since_start: bool) -> dict[str, object]:
        """Write the samples since the start, or those of the last half hour, for JSON; the oldest comes first."""
        ring = self._all if since_start else self._recent
        return {"started_at": self._started_at, **ring.document()}


def _short(value: float) -> float:
    return int(value) if value.is_integer() else round(value, 4)
