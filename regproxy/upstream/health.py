"""What is remembered of an upstream's hosts, with a clock: the policy decides, this keeps and tells."""

import time
from collections.abc import Callable, Collection
from dataclasses import replace

from regproxy.policy import failover
from regproxy.policy.failover import Record
from regproxy.policy.routing import Host, Trust, Upstream
from regproxy.ports import Answer, Corrupt, HostStatus, Overwhelmed, Throttled, Unavailable, UnexpectedResponse, UpstreamError


class Health:
    """One record per host."""

    def __init__(self, upstream: Upstream, clock: Callable[[], float] = time.monotonic) -> None:
        """Know nothing of any host."""
        self._upstream = upstream
        self._clock = clock
        self._records = {host: Record(asked_at=clock()) for host in upstream.hosts}

    def __getitem__(self, host: Host) -> Record:
        return self._records[host]

    def is_resting(self, host: Host) -> bool:
        return self._records[host].is_resting(self._clock())

    def has_others(self, host: Host) -> bool:
        """Whether anyone else who is not resting sends content."""
        return any(other is not host and not self.is_resting(other) for other in self.candidates(Trust.PULL))

    def candidates(self, need: Trust, *, from_the_middle: bool = False, last: Collection[Host] = ()) -> list[Host]:
        """List the hosts that may answer, best first."""
        hosts, now = self._upstream.hosts, self._clock()
        return failover.candidates(hosts, need, self._records, now, from_the_middle=from_the_middle, last=last)

    def asked(self, host: Host) -> None:
        self._note(host, failover.asked(self._records[host], self._clock()))

    def answered(self, host: Host, seconds: float) -> None:
        self._note(host, failover.answered(self._records[host], seconds))

    def sent(self, host: Host, count: int, seconds: float) -> None:
        self._note(host, failover.sent(self._records[host], count, seconds))

    def proven(self, host: Host) -> None:
        """Note that what the host sent was right."""
        self._note(host, replace(self._records[host], is_proven=True))

    def ranged(self, host: Host, *, honoured: bool) -> None:
        """Note whether a range that was asked for is what came."""
        self._note(host, replace(self._records[host], honours_ranges=honoured))

    def failed(self, host: Host, error: UpstreamError) -> None:
        """Let the host rest where it does not work or lies; an answer about one thing is not held against it."""
        record, now = self._records[host], self._clock()
        match error:
            case Overwhelmed():
                pass
            case Answer():
                self._note(host, failover.spoke(record))
            case UnexpectedResponse():
                self._note(host, failover.disappointed(record, now, str(error)))
            case Corrupt():
                self._note(host, failover.lied(record, now, str(error)))
            case Throttled(retry_after=pause):
                self._note(host, failover.failed(record, now, str(error), pause))
            case Unavailable():
                self._note(host, failover.failed(record, now, str(error)))

    def statuses(self) -> list[HostStatus]:
        """Tell of each host, best for a blob first; those that send none come last."""
        ranked = self.candidates(Trust.PULL)
        ranked += [host for host in self._upstream.hosts if host not in ranked]
        return [self._status(host, rank) for rank, host in enumerate(ranked, start=1)]

    def _status(self, host: Host, rank: int) -> HostStatus:
        record, now = self._records[host], self._clock()
        return HostStatus(
            url=host.url,
            rank=rank,
            rests_for=max(record.rests_until - now, 0.0),
            first_byte=record.first_byte,
            bytes_per_second=record.rate,
            failures=record.remembered_failures(now),
            lies=record.lies,
            honours_ranges=record.honours_ranges,
            last_error=record.last_error,
        )

    def _note(self, host: Host, record: Record) -> None:
        self._records[host] = record
