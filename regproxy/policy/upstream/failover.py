"""Which host is asked next, which one is left alone for a while, and how often anyone is asked again.

Hosts are told apart by what was measured: the one expected to send a blob soonest comes first, which is how pulls go to the near region
without a map. Two things keep that honest: a host that failed rests, and is then tried by one request before it is trusted by all; and
a host nobody has asked for a while is asked once, lest yesterday's figures decide for ever.
"""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from regproxy.policy.routing import Host, Trust

BACKOFF_AFTER_FAILURE = 10.0  # seconds: long enough to spare a dead host, short enough to notice that it is back
BACKOFF_AFTER_CORRUPT = 600.0  # wrong bytes are no hiccup
EXPLORE_AFTER = 120.0  # seconds without a question; one request in two minutes is a price nobody notices
_MAX_BACKOFF = 120.0  # a host that fails again at every probe
_PROBE = 10.0  # seconds that a probe has before another request tries its luck
_HALF_LIFE = 60.0  # seconds after which a failure counts half
_NEWEST = 0.3  # what one measurement weighs against all before it
_PENALTY = 1.0  # seconds that each remembered failure is held against a host
_PRESUMED = 5.0  # seconds to a typical blob from a host that nobody has measured, at most: one known to be slower is no better
_TYPICAL = 4 * 1024 * 1024  # bytes of a piece or a small layer: what "soonest" is judged by


@dataclass(frozen=True, slots=True)
class HostRecord:
    """What is remembered of a host; times are monotonic seconds."""

    asked_at: float
    first_byte: float | None = None  # seconds from a question to its answer
    rate: float | None = None  # bytes per second, of one connection
    failures: float = 0.0  # as of `failed_at`; they fade
    failed_at: float = 0.0
    backoff_until: float = -math.inf
    in_a_row: int = 0  # failures since the last answer
    corrupt_responses: int = 0
    is_proven: bool = False  # sent something right since its last corrupt response
    honours_ranges: bool = True
    last_error: str = ""

    def is_backing_off(self, now: float) -> bool:
        return now < self.backoff_until

    def remembered_failures(self, now: float) -> float:
        return self.failures * math.pow(0.5, max(now - self.failed_at, 0.0) / _HALF_LIFE)

    @property
    def transfer(self) -> float | None:
        """How many seconds a typical blob takes once it comes."""
        return None if self.rate is None else _TYPICAL / max(self.rate, 1.0)

    def cost(self, now: float, best: tuple[float, float]) -> float:
        """Expect a typical blob after this many seconds; what was not measured is as with the *best* host, to a first byte and after it."""
        known = self.first_byte if self.first_byte is not None else best[0], self.transfer if self.transfer is not None else best[1]
        seconds = sum(known) if self.first_byte is not None else min(sum(known), _PRESUMED)
        return seconds + _PENALTY * self.remembered_failures(now)


def asked(record: HostRecord, now: float) -> HostRecord:
    """Record a question; a host whose rest is over is tried by this one alone, and rests for all others until it answers."""
    is_probe = record.in_a_row > 0 and not record.is_backing_off(now)
    return replace(record, asked_at=now, backoff_until=now + _PROBE if is_probe else record.backoff_until)


def answered(record: HostRecord, seconds: float) -> HostRecord:
    """Record that headers came after *seconds*: whatever was wrong is over, except after a corrupt response."""
    backoff_until = record.backoff_until if record.corrupt_responses else -math.inf
    return replace(record, first_byte=_blend(record.first_byte, seconds), in_a_row=0, backoff_until=backoff_until)


def sent(record: HostRecord, count: int, seconds: float) -> HostRecord:
    """Record that *count* bytes of a body took *seconds* of waiting."""
    return replace(record, rate=_blend(record.rate, count / max(seconds, 1e-6)))


def failed(record: HostRecord, now: float, why: str, pause: float | None = None) -> HostRecord:
    """Record a failure; each one in a row doubles the rest, unless the host said itself how long it wants to be left alone."""
    rest = min(BACKOFF_AFTER_FAILURE * 2**record.in_a_row, _MAX_BACKOFF) if pause is None else pause
    return replace(
        record,
        failures=record.remembered_failures(now) + 1,
        failed_at=now,
        backoff_until=max(record.backoff_until, now + rest),
        in_a_row=min(record.in_a_row + 1, 8),
        last_error=why,
    )


def spoke(record: HostRecord) -> HostRecord:
    """Record an answer about one reference: the host works, so its backoff ends unless it sent a corrupt response."""
    return replace(record, in_a_row=0, backoff_until=record.backoff_until if record.corrupt_responses else -math.inf)


def disappointed(record: HostRecord, now: float, why: str) -> HostRecord:
    """Record a response that was none to what was asked: others are preferred for a while, but there is no rest, and nothing goes stale."""
    return replace(record, failures=record.remembered_failures(now) + 1, failed_at=now, last_error=why)


def sent_corrupt(record: HostRecord, now: float, why: str) -> HostRecord:
    return replace(failed(record, now, why, BACKOFF_AFTER_CORRUPT), corrupt_responses=record.corrupt_responses + 1, is_proven=False)


def candidates(
    hosts: Sequence[Host],
    need: Trust,
    records: Mapping[Host, HostRecord],
    now: float,
    *,
    from_the_middle: bool = False,
    last: Collection[Host] = (),
) -> list[Host]:
    """List the hosts that may answer *need*, best first; one that was not measured yet counts as good as the best.

    A resting host comes last, not never: when every other host is down too, asking it beats failing the pull. Those that rest longest, such
    as liars, come after the others. So do those that the asker wants to be asked *last*. Where the middle of a blob is wanted, a host that
    always sends the whole comes after those that do not.
    """
    able = [host for host in hosts if need in host.trust]
    awake = [host for host in able if not records[host].is_backing_off(now)]
    neglected = min(awake, key=lambda host: records[host].asked_at, default=None)
    if neglected is not None and now - records[neglected].asked_at < EXPLORE_AFTER:
        neglected = None

    best = _best([records[host] for host in awake])

    def place(host: Host) -> tuple[bool, float, bool, bool, float]:
        record = records[host]
        rest = max(record.backoff_until - now, 0.0)
        lacks_ranges = from_the_middle and not record.honours_ranges
        return rest > 0 or host in last, rest, lacks_ranges, host is not neglected, record.cost(now, best)

    return sorted(able, key=place)


def _best(records: Sequence[HostRecord]) -> tuple[float, float]:
    """Find the seconds to a first byte, and from there to a typical blob, of the host for which they are least in all."""
    known = [(record.first_byte, record.transfer) for record in records if record.first_byte is not None]
    measured = [(first_byte, transfer) for first_byte, transfer in known if transfer is not None]
    return min(measured, key=sum, default=(min((first_byte for first_byte, _ in known), default=0.0), 0.0))


@dataclass(slots=True)
class Budget:
    """Extra requests, as a share of the ordinary ones: when everything fails, asking again must not double the load."""

    share: float
    left: float  # to begin with, and never more than that

    def __post_init__(self) -> None:
        self._most = self.left

    _most: float = 0.0

    def earn(self) -> None:
        self.left = min(self.left + self.share, self._most)

    def spend(self) -> bool:
        """Spend one, and report whether there was one."""
        if self.left < 1:
            return False
        self.left -= 1
        return True


def pause(futile: int, chance: float) -> float:
    """Wait this many seconds after the *futile*-th failure in a row; *chance* in [0, 1) spreads those who fail at the same time."""
    return min(0.1 * 2**futile, 2.0) * (0.5 + chance) if futile else 0.0


def hedge_after(record: HostRecord) -> float:
    """Return after how many seconds of silence another host is asked too: well above this host's usual latency."""
    return max(0.25, 3 * record.first_byte) if record.first_byte is not None else 1.0


def _blend(old: float | None, new: float) -> float:
    return new if old is None else old + _NEWEST * (new - old)
