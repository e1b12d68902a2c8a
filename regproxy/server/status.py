"""How workers are doing, as they report it, and what it comes to for all of them together."""

import statistics
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Self

from regproxy.oci.reference import Reference
from regproxy.ports import DownloadStatus, HostFinding, HostStatus, Registry, Watched
from regproxy.wiring import Peering


@dataclass(frozen=True, slots=True)
class Standing:
    """How an upstream is doing, as one worker knows it."""

    is_backing_off: bool
    is_scarce: bool
    hosts: tuple[HostStatus, ...]

    @classmethod
    def parse(cls, document: Mapping[str, Any]) -> Self:
        hosts = tuple(HostStatus(**host) for host in document["hosts"])
        return cls(document["is_backing_off"], document["is_scarce"], hosts)


@dataclass(frozen=True, slots=True)
class WorkerStatus:
    """That a worker accepts, or does not any more, what it knows of upstreams, and why its store takes nothing, if it does not."""

    is_accepting: bool
    upstreams: Mapping[str, Standing]
    trouble: str | None = None
    downloads: Sequence[DownloadStatus] = ()
    suspected: Mapping[str, str] = field(default_factory=dict)  # why it leaves members of the fleet alone
    moved: Mapping[str, tuple[int, int]] = field(default_factory=dict)  # bytes from and to members since the last report

    @classmethod
    def of(
        cls,
        registries: Mapping[str, Registry],
        trouble: str | None,
        downloads: Sequence[DownloadStatus] = (),
        peering: Peering | None = None,
        *,
        is_accepting: bool,
    ) -> Self:
        standings = {name: Standing(each.is_backing_off, each.is_scarce, tuple(each.hosts())) for name, each in registries.items()}
        if peering is None:
            return cls(is_accepting, standings, trouble, downloads)
        return cls(is_accepting, standings, trouble, downloads, peering.suspected(), peering.traffic.take())

    @classmethod
    def parse(cls, document: Mapping[str, Any]) -> Self:
        upstreams = {name: Standing.parse(each) for name, each in document["upstreams"].items()}
        downloads = tuple(DownloadStatus(**each) for each in document["downloads"])
        moved = {member: (received, sent) for member, (received, sent) in document["moved"].items()}
        return cls(document["is_accepting"], upstreams, document["trouble"], downloads, document["suspected"], moved)

    def document(self) -> dict[str, Any]:
        return asdict(self)


class Reported:
    """An upstream as all workers see it: what one of them was refused, the others will be too."""

    def __init__(self, name: str, registries: Mapping[str, Registry], reports: Callable[[], Iterable[WorkerStatus]]) -> None:
        """Examine the upstream *name* through *registries*, which serve warm-ups alone; workers report what they see."""
        self._name = name
        self._registries = registries
        self._reports = reports

    @property
    def is_backing_off(self) -> bool:
        return any(standing.is_backing_off for standing in self._standings())

    @property
    def is_scarce(self) -> bool:
        return any(standing.is_scarce for standing in self._standings()) or self._registries[self._name].is_scarce

    def hosts(self) -> list[HostStatus]:
        return merged([standing.hosts for standing in self._standings()]) or self._registries[self._name].hosts()

    async def examine(self, reference: Reference) -> list[HostFinding]:
        return await self._registries[self._name].examine(reference)

    def _standings(self) -> list[Standing]:
        return [report.upstreams[self._name] for report in self._reports() if self._name in report.upstreams]


class ReportedRegistries(Mapping[str, Watched]):
    """All upstreams as all workers see them; those of patterns that only a worker has opened are among them."""

    def __init__(self, registries: Mapping[str, Registry], reports: Callable[[], Iterable[WorkerStatus]]) -> None:
        """Examine upstreams through *registries*, which serve no pulls; workers report what they see."""
        self._registries = registries
        self._reports = reports

    def __getitem__(self, name: str) -> Watched:
        if name not in self._registries:
            raise KeyError(name)
        return Reported(name, self._registries, self._reports)

    def __iter__(self) -> Iterator[str]:
        known = dict.fromkeys((*self._registries, *(name for report in self._reports() for name in report.upstreams)))
        return (name for name in known if name in self._registries)

    def __len__(self) -> int:
        return sum(1 for _ in self)


def merged(standings: Collection[Sequence[HostStatus]]) -> list[HostStatus]:
    """Make one list of those of all workers: the worst that happened, the usual of what was measured, the rank that most give."""
    by_url: dict[str, list[HostStatus]] = {}
    for host in (host for hosts in standings for host in hosts):
        by_url.setdefault(host.url, []).append(host)
    best_first = sorted(by_url.values(), key=lambda hosts: statistics.fmean(host.rank for host in hosts))
    return [_one(hosts, rank) for rank, hosts in enumerate(best_first, start=1)]


def _one(hosts: Sequence[HostStatus], rank: int) -> HostStatus:
    worst = max(hosts, key=lambda host: (host.backoff_seconds, host.failures, host.last_error))
    return replace(
        worst,
        rank=rank,
        first_byte=_usual(host.first_byte for host in hosts),
        bytes_per_second=_usual(host.bytes_per_second for host in hosts),
        corrupt_responses=sum(host.corrupt_responses for host in hosts),
        honours_ranges=all(host.honours_ranges for host in hosts),
        refused_credentials=next((host.refused_credentials for host in hosts if host.refused_credentials), ""),
    )


def _usual(measured: Iterable[float | None]) -> float | None:
    known = [each for each in measured if each is not None]
    return statistics.median(known) if known else None
