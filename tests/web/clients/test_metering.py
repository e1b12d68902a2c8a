"""Meters count what clients use over all workers of a machine."""

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import pytest

from regproxy.clients.quota_table import QuotaTable, alone, joined
from regproxy.policy.clients.client_quota import ClientQuota
from regproxy.policy.clients.token_bucket import Rate
from regproxy.web.clients.metering import Meter, Meters
from tests.web.clients.slept import Slept

RATE = Rate(100, 100)
KIB = 1024


class Line:
    """A connection."""

    def __init__(self) -> None:
        self.meter: Meter | None = None
        self.is_idle = self.is_closed = False

    def is_waiting(self) -> bool:
        return self.is_idle

    def close(self) -> None:
        self.is_closed = True

    force_close = close


@pytest.fixture
def table() -> QuotaTable:
    return alone()


async def test_n16_05_a_client_over_its_rate_waits_and_two_of_one_name_wait_for_each_other(table: QuotaTable) -> None:
    slept = Slept()
    meters = [Meters([ClientQuota("ci", rate=64 * KIB)], table, slept.clock, slept.sleep) for _ in range(2)]
    for number in range(10):
        meter = meters[number % 2].of("ci", "192.0.2.1")
        assert meter is not None
        await meter.take(64 * KIB)
    assert slept.now - slept.began == 9


async def test_n16_05_who_leaves_while_it_waits_has_used_nothing(table: QuotaTable) -> None:
    slept = Slept()
    meter = Meters([ClientQuota("*", rate=64 * KIB)], table, slept.clock, asyncio.sleep).of("", "192.0.2.1")
    assert meter is not None
    await meter.take(64 * KIB)
    waiting = asyncio.create_task(meter.take(640 * KIB))
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    assert meter.pause() == 0


def test_n16_05_workers_count_together_and_a_dead_one_counts_no_more(tmp_path: Path) -> None:
    one, other = joined(tmp_path), joined(tmp_path)
    assert one.owe("ann", RATE, 100, 1.0) == 0
    assert other.owe("ann", RATE, 50, 1.0) == 0.5
    assert one.pause("bob", RATE, 1.0) == 0
    assert one.connect("ann", 2, 3, 1.0)
    assert other.connect("ann", 1, 3, 1.0)
    assert not other.connect("ann", 2, 3, 1.0)
    one.close()
    assert other.connect("ann", 3, 3, 1.0)
    script = "import os, sys; from pathlib import Path; from regproxy.clients.quota_table import joined\n"
    script += "joined(Path(sys.argv[1])).connect('bob', 9, None, 1.0); os.kill(os.getpid(), 9)"
    subprocess.run([sys.executable, "-c", script, str(tmp_path)], check=False, env=os.environ)
    assert not other.connect("bob", 1, 9, 1.0)
    successor = joined(tmp_path)
    assert other.connect("bob", 9, 9, 1.0)
    for each in (other, successor):
        each.close()


def test_n16_05_who_was_killed_has_no_connections_whichever_row_its_successor_gets(tmp_path: Path) -> None:
    first, second = joined(tmp_path), joined(tmp_path)
    script = "import os, sys; from pathlib import Path; from regproxy.clients.quota_table import joined\n"
    script += "joined(Path(sys.argv[1])).connect('bob', 9, None, 1.0); os.kill(os.getpid(), 9)"
    subprocess.run([sys.executable, "-c", script, str(tmp_path)], check=False, env=os.environ)
    assert second.connect("ann", 5, 9, 1.0)
    first.close()
    successor = joined(tmp_path)
    assert second.connect("bob", 9, 9, 1.0)
    assert not successor.connect("ann", 5, 9, 1.0), "who lives keeps what it has"
    for each in (second, successor):
        each.close()


def test_n16_05_more_clients_than_rows_are_no_more_memory_and_those_who_are_seen_stay(table: QuotaTable) -> None:
    table.owe("ann", RATE, 1_000_000, 1.0)
    for number in range(1, 20_000):
        table.owe(f"address {number}", RATE, 1, float(number))
        assert table.pause("ann", RATE, float(number)) == max(0, 10_000 - number)


def test_n16_05_connections_beyond_the_limit_take_the_place_of_idle_ones(table: QuotaTable) -> None:
    meter = Meters([ClientQuota("*", connections=2)], table).of("ann", "")
    assert meter is not None
    lines = [Line() for _ in range(4)]
    assert meter.connect(lines[0])
    assert meter.connect(lines[1])
    assert not meter.connect(lines[2])
    lines[0].is_idle = True
    assert meter.connect(lines[2])
    assert [(line.is_closed, line.meter is meter) for line in lines] == [(True, False), (False, True), (False, True), (False, False)]
    for line in (lines[0], lines[1]):
        meter.disconnect(line)
    assert meter.connect(lines[3])
    assert not meter.connect(lines[0])
    assert "2 connections" in repr(meter)
