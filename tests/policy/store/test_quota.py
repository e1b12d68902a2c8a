"""How much the store may hold."""

from dataclasses import replace

import pytest

from regproxy.policy.store.quota import FileSystem, Limits, admits, ahead, capacity, ceiling, on_disk, target

ROOMY = FileSystem(size=1000, free=900)
MARKS = Limits(high=0.85, low=0.75)
BOTH = replace(MARKS, max_size=300)


def test_without_a_limit_the_high_watermark_is_one() -> None:
    assert capacity(MARKS, ROOMY, held=0) == 750


@pytest.mark.parametrize(("disk", "used"), [(FileSystem(1000, 80), 0.92), (FileSystem(0, 0), 1)])
def test_a_disk_tells_which_share_of_it_is_taken(disk: FileSystem, used: float) -> None:
    assert disk.used == used


def test_without_any_limit_all_of_the_disk_is_ours() -> None:
    assert capacity(Limits(), ROOMY, held=50) == 950


def test_the_smaller_of_both_limits_holds() -> None:
    assert capacity(BOTH, ROOMY, held=0) == 300
    assert capacity(replace(MARKS, max_size=800), ROOMY, held=0) == 750


def test_what_others_write_makes_our_room_smaller() -> None:
    """bazel-remote #788: ENOSPC although the cache was below its own limit."""
    assert capacity(BOTH, FileSystem(size=1000, free=200), held=100) == 150


def test_a_disk_that_others_filled_leaves_no_room_rather_than_less_than_none() -> None:
    assert capacity(MARKS, FileSystem(size=1000, free=10), held=50) == 0


@pytest.mark.parametrize("limits", [MARKS, Limits(max_size=1600), Limits(max_size=160)])
def test_a_sweep_goes_on_below_where_it_began(limits: Limits) -> None:
    disk = FileSystem(size=2000, free=1500)
    most = capacity(limits, disk, held=400)
    assert target(limits, disk, held=400, needed=most + 1) < most


@pytest.mark.parametrize(("needed", "down_to"), [(1700, 1500), (3400, 1000)], ids=["max_size", "both limits"])
def test_what_others_have_on_the_disk_counts_once_it_is_over_its_high_watermark(needed: int, down_to: int) -> None:
    """A disk that others filled to 80 % emptied the store whenever max_size was reached."""
    disk = FileSystem(size=10_000, free=2000)
    assert target(replace(MARKS, max_size=1600), disk, held=1500, needed=needed) == down_to


def test_what_fits_needs_no_eviction() -> None:
    assert target(MARKS, ROOMY, held=100, needed=100) == 100


@pytest.mark.parametrize(
    ("coming", "size", "fits"),
    [(0, 1500, True), (0, 1501, False), (700, 800, True), (700, 801, False), (1500, 100, True), (1501, 100, False)],
)
def test_ingests_are_admitted_by_their_whole_size_and_giants_leave_a_sixteenth(coming: int, size: int, *, fits: bool) -> None:
    assert admits(1600, coming, size) == fits


@pytest.mark.parametrize(("most", "promised", "free"), [(1600, 0, 0), (1600, 50, 50), (1600, 1500, 100), (2**40, 2**39, 2**26)])
def test_little_is_kept_free_for_what_was_only_promised(most: int, promised: int, free: int) -> None:
    assert ahead(most, promised) == free


@pytest.mark.parametrize(("size", "taken"), [(0, 0), (1, 4096), (4096, 4096), (4097, 8192)])
def test_a_file_takes_whole_blocks(size: int, taken: int) -> None:
    assert on_disk(size) == taken


@pytest.mark.parametrize(("limits", "most"), [(Limits(), 1000), (MARKS, 850), (BOTH, 300), (replace(MARKS, max_size=5000), 850)])
def test_what_others_wrote_does_not_change_what_the_store_could_hold(limits: Limits, most: int) -> None:
    assert ceiling(limits, ROOMY) == ceiling(limits, FileSystem(size=1000, free=0)) == most
