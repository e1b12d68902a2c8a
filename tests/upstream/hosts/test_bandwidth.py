"""What upstreams may send a second: exact over all who count in one table, fair between blobs, and no matter to what is small."""

import asyncio
import time
from collections import Counter
from functools import partial
from pathlib import Path

import pytest

from regproxy.clients import quota_table
from regproxy.policy.upstream.bandwidth import LineRate
from regproxy.upstream.hosts.bandwidth import Bandwidth, Line
from tests.fakes.registry import FakeRegistry
from tests.rig import PATIENT, rig

KIB, MIB = 2**10, 2**20
PART = 64 * KIB


class Hours:
    """A clock that goes on when all who run wait for it."""

    def __init__(self) -> None:
        self.now = 1000.0
        self._sleepers: list[tuple[float, int, asyncio.Event]] = []
        self._count = 0

    def clock(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self._count += 1
        entry = self.now + seconds, self._count, asyncio.Event()
        self._sleepers.append(entry)
        await entry[2].wait()

    async def pass_until(self, end: float) -> None:
        """Let time pass from one sleeper to the next."""
        for _ in range(5):
            await asyncio.sleep(0)
        while self._sleepers and min(self._sleepers)[0] <= end:
            first = min(self._sleepers)
            self._sleepers.remove(first)
            self.now = max(self.now, first[0])
            first[2].set()
            for _ in range(5):
                await asyncio.sleep(0)
        self.now = end


def _bandwidth(hours: Hours, in_all: int | None, table: quota_table.QuotaTable | None = None, at: float = 0.0) -> Bandwidth:
    rate = LineRate(((0, in_all),)) if in_all is not None else None
    return Bandwidth(table or quota_table.alone(), rate, lambda: at, hours.clock, hours.sleep)


def _line(bandwidth: Bandwidth, name: str = "docker.io", own: int | None = None) -> Line:
    found = bandwidth.line(name, LineRate(((0, own),)) if own is not None else None)
    assert found is not None
    return found


async def _download(line: Line, blob: str, got: Counter[str]) -> None:
    """Read one connection of a blob for ever."""
    while True:
        await line.pay(blob, PART, got[blob] + MIB)
        got[blob] += PART


async def _had(hours: Hours, seconds: float, *downloads: tuple[Line, str]) -> Counter[str]:
    """Return what each blob got meanwhile; there is a pair for each of its connections."""
    got: Counter[str] = Counter()
    tasks = [asyncio.create_task(_download(line, blob, got)) for line, blob in downloads]
    await hours.pass_until(hours.now + seconds)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    return got


async def test_n19_03_all_upstreams_together_send_what_the_line_allows() -> None:
    hours = Hours()
    bandwidth = _bandwidth(hours, 4 * MIB)
    lines = [_line(bandwidth, name) for name in ("docker.io", "quay.io")]
    got = await _had(hours, 100, *((line, f"{number} {index}") for index, line in enumerate(lines) for number in range(5)))
    assert got.total() == pytest.approx(4 * MIB * 101, rel=0.01), "with what may come at once"


async def test_n19_03_blobs_share_the_line_evenly_however_many_connections_bring_them() -> None:
    hours = Hours()
    line = _line(_bandwidth(hours, 4 * MIB))
    got = await _had(hours, 100, *[(line, "wide")] * 12, (line, "narrow"))
    assert got["narrow"] == pytest.approx(got["wide"], rel=0.05)


async def test_n19_03_an_upstream_has_a_limit_of_its_own_within_that_of_all() -> None:
    hours = Hours()
    bandwidth = _bandwidth(hours, 4 * MIB)
    slow, other = _line(bandwidth, "slow.example", MIB), _line(bandwidth, "other.example")
    got = await _had(hours, 100, (slow, "slow"), *((other, f"other {number}") for number in range(3)))
    assert got["slow"] <= MIB * 102
    assert got.total() == pytest.approx(4 * MIB * 101, rel=0.02)


async def test_n19_03_processes_that_serve_from_one_store_share_the_line(tmp_path: Path) -> None:
    tables = [quota_table.joined(tmp_path) for _ in range(3)]
    try:
        hours = Hours()
        lines = [_line(_bandwidth(hours, 4 * MIB, table)) for table in tables]
        got = await _had(hours, 60, *((line, f"blob {number}") for number, line in enumerate(lines)))
    finally:
        for table in tables:
            table.close()
    assert got.total() == pytest.approx(4 * MIB * 61, rel=0.01)
    assert max(got.values()) == pytest.approx(min(got.values()), rel=0.05)


async def test_n19_03_what_is_small_waits_for_nobody() -> None:
    hours = Hours()
    line = _line(_bandwidth(hours, MIB))
    large = asyncio.create_task(_download(line, "large", Counter()))
    await hours.pass_until(hours.now + 10)
    for number in range(20):
        await line.pay(f"config {number}", 32 * KIB, 0)
        await line.pay(f"config {number}", 32 * KIB, 32 * KIB)
    assert line.charge(0) > 1.0, "the large one pays for them"
    large.cancel()
    await asyncio.gather(large, return_exceptions=True)


async def test_n19_03_the_time_of_day_says_how_much() -> None:
    hours = Hours()
    day = LineRate(((8 * 60, MIB), (20 * 60, None)))
    for hour, pays in ((12, True), (22, False), (3, False)):
        at = time.mktime((2026, 11, 26, hour, 0, 0, 0, 0, -1))
        line = Bandwidth(quota_table.alone(), day, partial(float, at), hours.clock, hours.sleep).line("docker.io", None)
        assert line is not None
        assert (line.charge(10 * MIB) > 0) is pays
        assert [len(part) for part in line.parts(bytes(200 * KIB))] == ([PART] * 3 + [8 * KIB] if pays else [200 * KIB])
        assert list(line.parts(b"")) == []


def test_n19_03_without_a_limit_nothing_is_counted() -> None:
    assert Bandwidth(quota_table.alone(), None).line("docker.io", None) is None


async def test_n19_03_a_limited_download_is_whole(tmp_path: Path) -> None:
    """Its speed is for the tests above."""
    async with FakeRegistry() as upstream:
        body = bytes(range(256)) * 3000
        digest = upstream.add_blob("library/app", body)
        downloads = {"max_rate": {"00:00": "64MiB", "12:00": "32MiB"}}
        entry = {"hosts": [{"url": upstream.url}], "max_rate": "16MiB"}
        async with rig(tmp_path / "store", {"docker.io": entry}, timeouts=PATIENT, downloads=downloads) as proxy:
            assert (await proxy.ask(f"/v2/library/app/blobs/{digest}")).body == body
