"""What is known of an upstream's hosts, with a clock: the policy decides, this stores."""

import time
from collections.abc import Collection
from dataclasses import replace

from cachetools import LRUCache

from regproxy.policy.clock import MonotonicClock
from regproxy.policy.routing import Host, Trust, Upstream
from regproxy.policy.upstream import failover
from regproxy.policy.upstream.failover import HostRecord
from regproxy.ports import Answer, Corrupt, HostStatus, LocalResourceError, Throttled, Unavailable, UnexpectedResponse, UpstreamError

_MAX_ORIGINS = 256  # that an upstream's hosts redirect to, and that are remembered; they choose them


class Health:
    """One record per host, and one per origin that it redirects to: failures there do not count against the host."""

    def __init__(self, upstream: Upstream, clock: MonotonicClock = time.monotonic) -> None:
        """Start without measurements."""
        self._upstream = upstream
        self._clock = clock
        self._records = {host: HostRecord(asked_at=clock()) for host in upstream.hosts}
        self._elsewhere: LRUCache[tuple[Host, str], HostRecord] = LRUCache(_MAX_ORIGINS)
        self._leads_to: dict[Host, str | None] = {}

    def __getitem__(self, host: Host) -> HostRecord:
        return self._records[host]

    def is_backing_off(self, host: Host) -> bool:
        return self._records[host].is_backing_off(self._clock())

    def has_others(self, host: Host) -> bool:
        """Whether anyone else who is not resting sends content."""
        return any(other is not host for other in self.senders())

    def senders(self) -> list[Host]:
        """List the hosts that send content and are not resting, in no order."""
        now = self._clock()
        return [host for host in self._upstream.hosts if Trust.PULL in host.trust and not self._for_blob(host).is_backing_off(now)]

    def candidates(self, need: Trust, *, from_the_middle: bool = False, last: Collection[Host] = (), for_blob: bool = False) -> list[Host]:
        """List the hosts that may answer, best first; *for_blob*: wherever they redirect to for one."""
        hosts, now = self._upstream.hosts, self._clock()
        records = {host: self._for_blob(host) for host in hosts} if for_blob else self._records
        return failover.candidates(hosts, need, records, now, from_the_middle=from_the_middle, last=last)

    def asked(self, host: Host, *, for_blob: bool = False) -> None:
        self._note(host, failover.asked(self._records[host], self._clock()))
        key = self._target(host)
        if for_blob and key is not None:
            self._elsewhere[key] = failover.asked(self._elsewhere[key], self._clock())

    def led(self, host: Host, origin: str | None) -> None:
        """Record from where the host has a blob sent, and that it comes."""
        self._leads_to[host] = origin
        key = self._target(host)
        if key is not None:
            self._elsewhere[key] = failover.spoke(self._elsewhere[key])

    def answered(self, host: Host, seconds: float) -> None:
        self._note(host, failover.answered(self._records[host], seconds))

    def sent(self, host: Host, count: int, seconds: float) -> None:
        self._note(host, failover.sent(self._records[host], count, seconds))

    def proven(self, host: Host) -> None:
        """Record that what the host sent was right."""
        self._note(host, replace(self._records[host], is_proven=True))

    def ranged(self, host: Host, *, honoured: bool) -> None:
        """Record whether a range that was asked for is what came."""
        self._note(host, replace(self._records[host], honours_ranges=honoured))

    def failed(self, host: Host, error: UpstreamError) -> None:
        """Back off from the host where it does not work or sent corrupt bytes; an answer about one reference does not count against it."""
        record = self._records[host]
        if error.origin is None:
            self._note(host, self._after(record, error))
            return
        self._leads_to[host] = error.origin
        key = host, error.origin
        self._elsewhere[key] = self._after(self._elsewhere.get(key) or HostRecord(asked_at=self._clock()), error)
        if isinstance(error, Corrupt):  # it is the host that chose whom to trust
            record = replace(record, corrupt_responses=record.corrupt_responses + 1, is_proven=False)
        self._note(host, failover.spoke(record))

    def _after(self, record: HostRecord, error: UpstreamError) -> HostRecord:
        now, why = self._clock(), str(error)
        match error:
            case Answer():
                return failover.spoke(record)
            case UnexpectedResponse():
                return failover.disappointed(record, now, why)
            case Corrupt():
                return failover.sent_corrupt(record, now, why)
            case Throttled(retry_after=pause):
                return failover.failed(record, now, why, pause)
            case Unavailable() if not isinstance(error, LocalResourceError):
                return failover.failed(record, now, why)
        return record

    def _target(self, host: Host) -> tuple[Host, str] | None:
        """Find whose record counts beside the host's own where a blob is asked for."""
        origin = self._leads_to.get(host)
        return (host, origin) if origin is not None and (host, origin) in self._elsewhere else None

    def _for_blob(self, host: Host) -> HostRecord:
        """Expect of a host what is to be expected of it and of where it redirects to."""
        record, key = self._records[host], self._target(host)
        if key is None:
            return record
        target, now = self._elsewhere[key], self._clock()
        failures = record.remembered_failures(now) + target.remembered_failures(now)
        return replace(record, failures=failures, failed_at=now, backoff_until=max(record.backoff_until, target.backoff_until))

    def statuses(self) -> list[HostStatus]:
        """Return of each host, best for a blob first; those that send none come last."""
        ranked = self.candidates(Trust.PULL)
        ranked += [host for host in self._upstream.hosts if host not in ranked]
        return [self._status(host, rank) for rank, host in enumerate(ranked, start=1)]

    def _status(self, host: Host, rank: int) -> HostStatus:
        record, now = self._records[host], self._clock()
        return HostStatus(
            url=host.url,
            rank=rank,
            backoff_seconds=max(record.backoff_until - now, 0.0),
            first_byte=record.first_byte,
            bytes_per_second=record.rate,
            failures=record.remembered_failures(now),
            corrupt_responses=record.corrupt_responses,
            honours_ranges=record.honours_ranges,
            last_error=record.last_error,
        )

    def _note(self, host: Host, record: HostRecord) -> None:
        self._records[host] = record
