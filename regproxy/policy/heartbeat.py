"""Is a worker hung, or only busy: one that has not reported for seconds may be parsing, or wait for a core that others have.

Beats are counted, not seconds: whoever counts may have stood still as well.
"""

_MAX_IDLE = 6  # beats without a report, in which the worker used no processor time; a loop that is only slow is never that late
_MAX_IDLE_STARTING = 20  # ... before its first report: to load the program takes a second of a core, and a starved machine gives a tenth
_MAX_BUSY = 60  # beats without a report in all: a loop that never ends is busy, too


class Heartbeat:
    """The beats that a worker has missed since its last report."""

    def __init__(self) -> None:
        """Start without a heartbeat, for a worker that starts."""
        self._has_reported = False
        self._missed = 0
        self._idle = 0
        self._used: float | None = None

    def __repr__(self) -> str:
        return f"<Heartbeat {self._missed} missed, {self._idle} of them idle>"

    def reported(self) -> None:
        self._has_reported = True
        self._missed = self._idle = 0

    def missed(self, used: float | None) -> bool:
        """Count a beat, at which the worker has *used* so many seconds of processor time in all, and report whether it is hung."""
        self._missed += 1
        if used is None or used == self._used or self._used is None:
            self._idle += 1
        self._used = used
        return self._idle > (_MAX_IDLE if self._has_reported else _MAX_IDLE_STARTING) or self._missed > _MAX_BUSY
