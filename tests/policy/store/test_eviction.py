"""What goes first when room is short."""

from hypothesis import given
from hypothesis import strategies as st

from regproxy.oci.digest import Digest
from regproxy.policy.store.eviction import Candidate, Shares, choose, sweeps_often_used

MIB = 1024 * 1024
A, B, C = (Digest.of(name) for name in (b"a", b"b", b"c"))


def test_the_longest_idle_goes_first() -> None:
    found = list(choose([Candidate(A, MIB, 20), Candidate(B, MIB, 10), Candidate(C, MIB, 30)], excess=2 * MIB, now=100))
    assert [each.digest for each in found] == [B, A]


def test_of_two_equally_idle_the_larger_goes_first() -> None:
    found = choose([Candidate(A, MIB, 10), Candidate(B, 100 * MIB, 10)], excess=1, now=100)
    assert next(found).digest == B


def test_a_large_image_used_today_outlives_a_small_one_of_last_month() -> None:
    found = choose([Candidate(A, 5000 * MIB, 30 * 86_400), Candidate(B, 5 * MIB, 0)], excess=1, now=31 * 86_400)
    assert next(found).digest == B


def test_what_is_busy_stays() -> None:
    assert [each.digest for each in choose([Candidate(A, MIB, 10), Candidate(B, MIB, 20)], 1, 100, busy={A})] == [B]


def test_a_clock_that_was_set_back_makes_nothing_infinitely_young() -> None:
    found = choose([Candidate(A, MIB, 1e9), Candidate(B, MIB, 1e9 + 1)], excess=1, now=100)
    assert next(found).digest in {A, B}


def test_what_was_used_once_pays_while_it_holds_more_than_a_quarter() -> None:
    assert not sweeps_often_used(Shares(once=26, often=74))
    assert sweeps_often_used(Shares(once=25, often=75))
    assert not sweeps_often_used(Shares(once=0, often=0))


@given(st.lists(st.tuples(st.integers(1, 2**40), st.floats(0, 1e10)), unique=True), st.integers(0, 2**45))
def test_no_more_goes_than_is_needed(images: list[tuple[int, float]], excess: int) -> None:
    candidates = [Candidate(Digest.of(str(number).encode()), size, used) for number, (size, used) in enumerate(images)]
    gone = [each.size for each in choose(candidates, excess, now=1e10)]
    assert sum(gone[:-1]) < max(excess, 1)
    assert sum(gone) >= excess or len(gone) == len(candidates)
