"""Parts of a copy, read ahead of their turn."""

import asyncio
from collections.abc import Callable

import pytest

from regproxy.fill.fill import Fill
from regproxy.fill.part import Part, Want
from regproxy.policy.store.runs import Runs
from regproxy.ports import Full, NotFound, Unavailable
from tests.fill.test_fill import Bytes, filling

LONG = 1e9  # seconds


class Scattered(Bytes):
    """An ingest of which some bytes are here ahead of their turn."""

    def __init__(self, origin: object = "one") -> None:
        super().__init__(origin)
        self.runs = Runs()

    def reach(self, start: int) -> int:
        return self.runs.reach(start)


class Wants:
    """Remembers what it is to bring (port Bringer)."""

    def __init__(self) -> None:
        self.now: list[tuple[int, int]] = []
        self.all: list[Want] = []

    def take(self, want: Want) -> None:
        self.now.append((want.start, want.stop))
        self.all.append(want)

    def leave(self, want: Want) -> None:
        self.now.remove((want.start, want.stop))


def part_of(fill: Fill, *places: tuple[int, int], stall_timeout: float = LONG, end: Callable[[], None] = lambda: None) -> Part:
    return fill.part(places, stall_timeout, end)


async def turn() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_a_part_is_read_before_its_turn_and_to_its_last_byte() -> None:
    fill, incoming = filling(), Scattered()
    part = part_of(fill, (50, 60))
    starting = asyncio.create_task(part.started())
    fill.scatter(incoming, 100)
    await turn()
    assert not starting.done()
    incoming.runs.add(50, 60)
    fill.tell()
    await starting
    assert (part.size, (await part.extent(50, 60)).length, (await part.extent(55, 58)).length) == (100, 10, 3)
    assert not fill.has_begun, "those who read in order wait"
    part.release()
    fill.end()


async def test_a_part_waits_for_its_next_byte() -> None:
    fill, incoming = filling(), Scattered()
    fill.scatter(incoming, 100)
    part = part_of(fill, (50, 60))
    incoming.runs.add(50, 55)
    assert (await part.extent(50, 60)).length == 5
    waiting = asyncio.create_task(part.extent(55, 60))
    await turn()
    assert not waiting.done()
    incoming.runs.add(55, 60)
    fill.tell()
    assert (await waiting).length == 5
    part.release()
    fill.end()


async def test_places_are_asked_for_one_after_the_other() -> None:
    fill, incoming, wants = filling(), Scattered(), Wants()
    fill.scatter(incoming, 100)
    incoming.runs.add(0, 100)
    part = part_of(fill, (80, 90), (10, 20))
    fill.bring_by(wants)
    assert (fill.has_wants, wants.now, fill.is_brought_by(wants)) == (True, [(80, 90)], True)
    await part.extent(80, 90)
    await part.extent(10, 20)
    assert wants.now == [(10, 20)]
    await part.extent(50, 51)
    assert wants.now == [(10, 20)], "what lies between places was not asked for"
    part.release()
    assert (wants.now, fill.has_wants) == ([], False)
    fill.end()


async def test_who_comes_later_brings_what_is_still_wanted() -> None:
    fill = filling()
    part = part_of(fill, (80, 90))
    for wants in (Wants(), Wants()):
        fill.bring_by(wants)
        assert wants.now == [(80, 90)]
        fill.bring_by(None)
    part.release()
    fill.end()


async def test_what_keeps_a_part_from_coming_is_told() -> None:
    fill, wants = filling(), Wants()
    fill.bring_by(wants)
    part = part_of(fill, (80, 90))
    starting = asyncio.create_task(part.started())
    await turn()
    wants.all[0].error = Full("no room")
    fill.tell()
    with pytest.raises(Full):
        await starting
    with pytest.raises(Unavailable, match="no room"):
        await part.extent(80, 90)
    fill.fail(NotFound("gone"))
    for waiting in (part.started(), part.extent(80, 90)):
        with pytest.raises((NotFound, Full)):
            await waiting
    part.release()
    fill.end()


async def test_a_part_that_begins_beyond_the_end_is_known_to_be_none() -> None:
    fill = filling()
    part = part_of(fill, (100, 110))
    with pytest.raises(RuntimeError):
        _ = part.size
    fill.scatter(Scattered(), 100)
    await part.started()
    part.release()
    fill.end()


async def test_a_client_is_not_left_without_a_byte_for_ever() -> None:
    fill = filling()
    part = part_of(fill, (80, 90), stall_timeout=0.01)
    for waiting in (part.started(), part.extent(80, 90)):
        with pytest.raises(Unavailable, match="no byte") as raised:
            await waiting
        assert raised.value.timed_out
    part.release()
    fill.end()


async def test_no_part_is_of_two_copies() -> None:
    fill, one, other = filling(), Scattered("one"), Scattered("other")
    part, later = part_of(fill, (0, 20)), part_of(fill, (0, 20))
    fill.scatter(one, 100)
    one.runs.add(0, 10)
    await part.extent(0, 20)
    fill.scatter(other, 100)
    other.runs.add(0, 20)
    with pytest.raises(Unavailable, match="wrong or is gone"):
        await part.extent(10, 20)
    assert (await later.extent(0, 20)).length == 20
    for each in (part, later):
        each.release()
    fill.end()
    assert (one.file.closed, other.file.closed) == (True, True)


async def test_a_part_keeps_what_it_reads_open_and_says_when_it_is_over() -> None:
    over: list[bool] = []
    fill, incoming = filling(), Scattered()
    fill.scatter(incoming, 100)
    fill.begin(incoming, 100, 0)
    part = part_of(fill, (80, 90), end=lambda: over.append(True))
    assert not fill.is_wanted, "what is fetched in order may wait"
    fill.end()
    assert (incoming.file.closed, over) == (False, [])
    await part.spoiled()
    part.release()
    assert (incoming.file.closed, over, part.is_kept) == (True, [True], False)


async def test_a_part_that_comes_in_order_is_waited_for_there() -> None:
    fill, wants = filling(), Wants()
    fill.bring_by(wants)
    part = part_of(fill, (80, 90))
    wants.all[0].is_in_order = True
    assert fill.is_wanted
    part.release()
    fill.end()
    assert wants.now == []
