import os
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from regproxy.policy.store.runs import MAX_RUNS, RECORD, RECORDS, Runs, decode, encode, records_at

BOOT = bytes(range(16))
SIZE = 100
STEPS = st.lists(st.tuples(st.booleans(), st.integers(0, SIZE), st.integers(0, SIZE)), max_size=40)


@given(STEPS, st.integers(0, SIZE), st.integers(0, SIZE))
def test_runs_are_a_set_of_bytes(steps: list[tuple[bool, int, int]], start: int, stop: int) -> None:
    runs, model = Runs(), set[int]()
    for is_added, begin, end in steps:
        if is_added:
            runs.add(begin, end)
            model |= set(range(begin, end))
        else:
            runs.remove(begin, end)
            model -= set(range(begin, end))
    bounds = list(runs)
    assert {number for begin, end in bounds for number in range(begin, end)} == model
    assert all(one[1] < other[0] for one, other in pairwise(bounds)), "in order, and none touches the next"
    assert all(begin < end for begin, end in bounds)
    assert (len(runs), runs.total, runs.stop) == (len(bounds), len(model), max(model, default=-1) + 1)
    reached = next(number for number in range(start, SIZE + 2) if number not in model)
    assert runs.reach(start) == reached
    assert runs.following(start) == min((begin for begin, _ in bounds if begin >= start), default=None)
    missing = {number for begin, end in runs.gaps(start, stop) for number in range(begin, end)}
    assert missing == set(range(start, stop)) - model


@given(STEPS, st.integers(0, 2**40))
def test_what_was_recorded_is_read(steps: list[tuple[bool, int, int]], number: int) -> None:
    runs = Runs((begin, end) for _, begin, end in steps)
    found = decode(encode(runs, number, BOOT), SIZE, BOOT)
    assert found is not None
    assert (found[0], list(found[1])) == (number, list(runs))


def test_the_newest_record_that_is_whole_counts() -> None:
    old, new = (encode(Runs([(0, stop)]), number, BOOT) for number, stop in ((6, 10), (7, 20)))
    both = new.ljust(RECORD, b"\0") + old
    assert [list(found[1]) for records in (both, old.ljust(RECORD, b"\0") + new) if (found := decode(records, SIZE, BOOT))] == [
        [(0, 20)]
    ] * 2
    torn = bytes([*new[:-1], new[-1] ^ 1]).ljust(RECORD, b"\0") + old
    found = decode(torn, SIZE, BOOT)
    assert found is not None
    assert list(found[1]) == [(0, 10)]


@pytest.mark.parametrize(
    "records",
    [
        b"",
        bytes(RECORDS),
        encode(Runs([(0, 9)]), 1, bytes(16)),
        encode(Runs([(0, 9)]), 1, BOOT)[:-1],
        encode(Runs([(0, SIZE + 1)]), 1, BOOT),
        os.urandom(RECORDS),
    ],
    ids=["nothing", "holes", "of another boot", "cut", "beyond the end", "noise"],
)
def test_what_is_no_record_tells_nothing(records: bytes) -> None:
    assert decode(records, SIZE, BOOT) is None


def test_a_record_has_room_for_all_that_it_tells() -> None:
    record = encode(Runs((2 * at, 2 * at + 1) for at in range(MAX_RUNS + 1)), 1, BOOT)
    assert len(record) <= RECORD
    found = decode(record, 10_000, BOOT)
    assert found is not None
    assert len(found[1]) == MAX_RUNS


@given(st.integers(0, 2**40))
def test_records_lie_behind_the_content(size: int) -> None:
    assert size <= records_at(size) < size + 4096


def test_records_begin_with_a_block() -> None:
    assert [records_at(size) for size in (0, 1, 4096, 4097)] == [0, 4096, 4096, 8192]


def test_runs_join_where_they_touch_and_part_where_something_goes() -> None:
    runs = Runs([(10, 20), (30, 40), (50, 60), (5, 5)])
    assert (len(runs), runs.total, runs.stop, Runs().stop) == (3, 30, 60, 0)
    runs.add(20, 30)
    assert list(runs) == [(10, 40), (50, 60)]
    runs.remove(15, 55)
    runs.remove(3, 3)
    assert list(runs) == [(10, 15), (55, 60)]
    assert (runs.reach(10), runs.reach(15), runs.following(10), runs.following(11), runs.following(56)) == (15, 15, 10, 55, None)
    assert runs.gaps(0, 58) == [(0, 10), (15, 55)]
    assert runs.gaps(58, 70) == [(60, 70)]
