"""How much the store may hold."""

import pytest

from regproxy.policy.store.quota import FileSystem, Limits, capacity, ceiling, on_disk, target

ROOMY = FileSystem(size=1000, free=900)


def test_without_a_limit_the_high_watermark_is_one() -> None:
    assert capacity(Limits(), ROOMY, held=0) == 750


def test_the_smaller_of_both_limits_holds() -> None:
    assert capacity(Limits(max_size=300), ROOMY, held=0) == 300
    assert capacity(Limits(max_size=800), ROOMY, held=0) == 750


def test_what_others_write_makes_our_room_smaller() -> None:
    """bazel-remote #788: ENOSPC although the cache was below its own limit."""
    assert capacity(Limits(max_size=300), FileSystem(size=1000, free=200), held=100) == 150


def test_a_disk_that_others_filled_leaves_no_room_rather_than_less_than_none() -> None:
    assert capacity(Limits(), FileSystem(size=1000, free=10), held=50) == 0


@pytest.mark.parametrize("limits", [Limits(), Limits(max_size=1600), Limits(max_size=160)])
def test_a_sweep_goes_on_below_where_it_began(limits: Limits) -> None:
    disk = FileSystem(size=2000, free=1500)
    assert target(limits, disk, held=400) < capacity(limits, disk, held=400)


@pytest.mark.parametrize(("size", "taken"), [(0, 0), (1, 4096), (4096, 4096), (4097, 8192)])
def test_a_file_takes_whole_blocks(size: int, taken: int) -> None:
    assert on_disk(size) == taken


@pytest.mark.parametrize(("limits", "most"), [(Limits(), 850), (Limits(max_size=300), 300), (Limits(max_size=5000), 850)])
def test_what_others_wrote_does_not_change_what_the_store_could_hold(limits: Limits, most: int) -> None:
    assert ceiling(limits, ROOMY) == ceiling(limits, FileSystem(size=1000, free=0)) == most
