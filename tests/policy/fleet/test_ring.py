from collections import Counter
from math import ceil, log

from hypothesis import given
from hypothesis import strategies as st

from regproxy.policy.fleet.ring import Ring, ancestors, parent, start

NAMES = st.sets(st.integers(0, 30).map("http://10.0.0.{}:5000".format), min_size=1, max_size=12)


def named(count: int) -> list[str]:
    return [f"http://10.{number // 250}.1.{number % 250}:5000" for number in range(count)]


@given(NAMES, NAMES, st.data(), st.integers(0, 1000))
def test_n17_01_members_with_any_two_views_agree_who_comes_first(one: set[str], other: set[str], data: st.DataObject, number: int) -> None:
    """Whoever asks only lower ranks of its own view asks nobody who, by its own view, would ask back."""
    shared = sorted(one & other)
    if len(shared) < 2:
        return
    first, second = data.draw(st.sampled_from(shared)), data.draw(st.sampled_from(shared))
    begin = start("sha256:abc", number)

    def order(members: set[str]) -> bool:
        return Ring(members, first).rank(begin) <= Ring(members, second).rank(begin)

    assert order(one) == order(other)


@given(NAMES, st.integers(0, 1000))
def test_n17_01_every_member_finds_itself_at_its_own_rank(members: set[str], number: int) -> None:
    begin = start("sha256:abc", number)
    first = Ring(members, min(members))
    rings = {name: first.seen_by(name) for name in members}
    assert sorted(ring.rank(begin) for ring in rings.values()) == list(range(len(members)))
    assert all(ring.at(begin, ring.rank(begin)) == name for name, ring in rings.items())


@given(st.integers(0, 100_000), st.integers(2, 8))
def test_n17_01_the_way_to_the_root_is_short_and_each_step_is_up(rank: int, fan_out: int) -> None:
    above = ancestors(rank, fan_out)
    assert above == sorted(set(above))
    assert all(each < rank for each in above)
    assert len(above) <= ceil(log(rank + 1, fan_out)) + 1
    assert not above or (above[0] == 0 and above[-1] == parent(rank, fan_out))


def test_n17_01_no_member_stands_above_many_more_others_than_the_mean() -> None:
    """Over the pieces of one blob of 3 GB: how often each is asked as a parent."""
    members = named(200)
    ring, asked = Ring(members, members[0]), Counter[str]()
    for number in range(800):
        begin = start("sha256:" + "ab" * 32, number)
        asked.update(ring.at(begin, parent(rank, ring.fan_out)) for rank in range(1, len(members)))
    mean = sum(asked.values()) / len(members)
    assert max(asked.values()) < 1.5 * mean
    assert min(asked.values()) > 0.5 * mean


@given(NAMES, st.integers(0, 1000))
def test_n17_01_who_comes_last_stands_behind_all_others_in_their_order(members: set[str], number: int) -> None:
    begin = start("sha256:abc", number)
    ring = Ring(members, min(members))
    last = ring.last(begin)
    assert last.rank(begin) == len(members) - 1
    order = [ring.at(begin, rank) for rank in range(len(ring))]
    assert [last.at(begin, rank) for rank in range(len(ring))] == [name for name in order if name != ring.us] + [ring.us]


def test_n17_01_few_members_ask_in_a_narrow_tree_and_one_alone_asks_nobody() -> None:
    assert [Ring(named(count), named(1)[0]).fan_out for count in (1, 16, 17)] == [2, 2, 4]
    assert Ring(named(3), named(3)[0]).seen_by(named(3)[1]).us == named(3)[1]
    alone = Ring([], "http://10.0.0.1:5000")
    assert len(alone) == 1
    assert alone.rank(start("sha256:abc", 3)) == alone.last(start("sha256:abc", 3)).rank(start("sha256:abc", 3)) == 0


def test_n17_10_the_share_of_a_member_is_that_of_the_pieces_that_it_is_the_root_of() -> None:
    members = named(5)
    ring, roots = Ring(members, members[0]), Counter[str]()
    for number in range(20_000):
        roots[ring.at(start("sha256:abc", number), 0)] += 1
    for name, share in ring.shares().items():
        assert abs(share - roots[name] / roots.total()) < 0.01
    assert Ring([], members[0]).shares() == {members[0]: 1.0}
    assert members[1] in ring
    assert "http://192.0.2.1:5000" not in ring
