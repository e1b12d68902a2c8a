"""What a tag meant: merged with what others saw, bounded, and never so that a cooldown forgets what it has to serve."""

from hypothesis import given
from hypothesis import strategies as st

from regproxy.oci.digest import Digest
from regproxy.policy.cooldown import Served, choose
from regproxy.policy.freshness import TagPolicy
from regproxy.policy.tag_history import MAX_MEANINGS, History, PastMeaning, deleted_since, known_since, remembered

A, B, C = (Digest.of(name) for name in (b"a", b"b", b"c"))


def history(*meanings: tuple[Digest | None, float]) -> History:
    return tuple(PastMeaning(digest, since) for digest, since in meanings)


def told(*meanings: tuple[Digest | None, float], cooldown: float = 0.0, most: int = MAX_MEANINGS) -> History:
    found: History = ()
    for digest, now in meanings:
        found = remembered(found, (), digest, now, cooldown, most)
    return found


def test_n18_07_what_upstream_says_again_is_no_news() -> None:
    assert told((A, 1.0), (A, 2.0), (None, 3.0), (None, 4.0), (A, 5.0)) == history((A, 1.0), (None, 3.0), (A, 5.0))


def test_n18_07_a_tag_that_moves_and_moves_back_within_a_moment_means_what_it_means_now() -> None:
    found = told((A, 1.0), (B, 1.0), (A, 1.0))
    assert [each.digest for each in found] == [A, B, A]
    assert [each.digest for each in remembered(found, (), B, 1.0)] == [A, B]


def test_n18_07_what_another_replica_saw_first_was_seen_first() -> None:
    ours, others = history((A, 10.0), (B, 30.0)), history((A, 5.0), (C, 15.0), (B, 20.0))
    assert remembered(ours, others, B, 40.0) == history((A, 5.0), (C, 15.0), (B, 20.0))
    assert remembered((), others, B, 40.0) == others
    assert remembered(ours, (), C, 40.0) == (*ours, PastMeaning(C, 40.0))


def test_n18_07_what_was_seen_by_a_clock_that_was_ahead_was_seen_now_at_the_latest() -> None:
    assert remembered(history((A, 10.0), (B, 1e9)), history((C, 2e9)), B, 40.0) == history(
        (A, 10.0), (B, 40.0), (C, 40.0), (B, 40.000000000000007)
    )


def test_n18_07_a_tag_that_flaps_forgets_nothing_else() -> None:
    found = told((C, 0.0), *((digest, 60.0 * minute) for minute in range(1, 1000) for digest in (A if minute % 2 else B,)), cooldown=1e6)
    assert len(found) <= MAX_MEANINGS
    assert found[:3] == history((C, 0.0), (A, 60.0), (B, 120.0))
    assert found[-1] == PastMeaning(A, 60.0 * 999)


def test_n18_07_a_tag_that_moves_on_and_on_keeps_its_last_meanings_and_what_a_cooldown_serves() -> None:
    moves = [(Digest.of(b"%d" % number), 60.0 * number) for number in range(600)]
    assert told(*moves) == history(*moves[-MAX_MEANINGS:])
    found = told(*moves, cooldown=18_000.0)
    assert (len(found), found[-20:]) == (MAX_MEANINGS, history(*moves[-20:]))
    now, rule = moves[-1][1], TagPolicy(cooldown=18_000.0)
    choice = choose(found, rule, now)
    assert isinstance(choice, Served)
    age = now - known_since(found, choice.digest)
    assert 18_000.0 <= age < 1.1 * 18_000.0, "and not much older than it has to be"


@given(st.lists(st.tuples(st.integers(0, 12), st.floats(0.0, 50.0)), max_size=60), st.floats(1.0, 100.0), st.integers(2, 12))
def test_n18_07_nothing_that_is_too_new_is_served_however_a_tag_moves(moves: list[tuple[int, float]], cooldown: float, most: int) -> None:
    found: History = ()
    now, first = 0.0, dict[Digest, float]()
    for number, passed in moves:
        now += passed
        digest = Digest.of(b"%d" % number)
        first.setdefault(digest, now)
        found = remembered(found, (), digest, now, cooldown, most)
        choice = choose(found, TagPolicy(cooldown=cooldown), now)
        assert isinstance(choice, Served)
        assert len(found) <= most
        assert found[-1].digest == digest
        is_old_enough = first[choice.digest] + cooldown <= now
        is_first = choice.digest == next(iter(first))
        assert is_old_enough or is_first


def test_n18_08_a_deletion_counts_from_when_it_was_seen_first() -> None:
    assert [deleted_since(found, 9.0) for found in ((), told((A, 1.0)), told((A, 1.0), (None, 2.0), (None, 3.0)))] == [9.0, 9.0, 2.0]
    assert [rule.goes_by_history for rule in (TagPolicy(), TagPolicy(cooldown=1.0), TagPolicy(gone_for=1.0))] == [False, True, True]
