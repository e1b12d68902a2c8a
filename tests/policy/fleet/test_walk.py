from hypothesis import given
from hypothesis import strategies as st

from regproxy.policy.fleet.ring import Ring, ancestors, start
from regproxy.policy.fleet.walk import Ask, Walk
from regproxy.policy.fleet.zones import Zones

MEMBERS = [f"http://10.0.0.{number}:5000" for number in range(100)]
BEGIN = start("sha256:abc", 7)


def chain(us: str) -> list[str]:
    ring = Ring(MEMBERS, us)
    return [ring.at(BEGIN, rank) for rank in ancestors(ring.rank(BEGIN), ring.fan_out)]


DEEP = next(name for name in MEMBERS if len(chain(name)) == 4)


def walk(us: str = DEEP, level: int | None = 0, suspected: frozenset[str] = frozenset()) -> Walk:
    return Walk(Zones(Ring(MEMBERS, us)), BEGIN, level, suspected.__contains__)


def busy(found: Walk) -> None:
    ask = found.next()
    assert ask is not None
    found.busy(ask)


def fail(found: Walk) -> None:
    ask = found.next()
    assert ask is not None
    found.failed(ask)


def test_n17_01_ancestors_are_asked_from_above_and_the_parent_must_serve() -> None:
    found, asked = walk(), []
    for _ in range(4):
        asked.append(found.next())
        busy(found)
    assert asked == [Ask(name, name == chain(DEEP)[-1]) for name in chain(DEEP)]


def test_n17_01_the_next_walk_begins_one_above_who_served_this_one() -> None:
    found = walk()
    assert found.level == 0
    for _ in range(3):
        busy(found)
    assert found.level == 2
    assert walk(level=2).next() == Ask(chain(DEEP)[2], is_final=False)
    assert walk(level=99).next() == walk(level=None).next() == Ask(chain(DEEP)[3], is_final=True)


def test_n17_01_a_dead_ancestor_is_passed_over_and_after_the_parent_all_must_serve() -> None:
    found, names = walk(), chain(DEEP)
    fail(found)
    assert found.next() == Ask(names[1], is_final=False)
    for _ in range(2):
        busy(found)
    assert found.next() == Ask(names[3], is_final=True)
    fail(found)
    assert [found.next()] == [Ask(names[2], is_final=True)], "the grandparent"
    fail(found)
    assert found.next() == Ask(names[1], is_final=True)
    busy(found)
    ring = Ring(MEMBERS, DEEP)
    lowest = [ring.at(BEGIN, rank) for rank in range(1, 8) if ring.at(BEGIN, rank) not in names]
    for name in lowest:
        assert found.next() == Ask(name, is_final=True), "the root is dead: somebody acts as it"
        fail(found)
    assert found.next() is None, "nobody is left but upstream"


def test_n17_01_who_is_suspected_is_not_asked() -> None:
    names = chain(DEEP)
    assert walk(suspected=frozenset(names[:2])).next() == Ask(names[2], is_final=False)
    assert walk(suspected=frozenset(MEMBERS)).next() is None
    found = walk(level=None, suspected=frozenset({names[3]}))
    assert found.next() == Ask(names[2], is_final=True)


def test_n17_01_a_parent_that_is_busy_all_the_same_is_asked_no_more() -> None:
    found = walk(level=None)
    busy(found)
    assert found.next() == Ask(chain(DEEP)[2], is_final=True)


def test_n17_01_who_stops_in_the_middle_is_asked_once_more_and_again_if_it_waits_itself() -> None:
    parent = Ask(chain(DEEP)[3], is_final=True)
    for has_waited, times in ((False, 1), (True, 8)):
        found = walk(level=None)
        for _ in range(times):
            assert found.next() == parent
            assert found.stalled(parent, has_waited=has_waited)
        assert not found.stalled(parent, has_waited=has_waited)
        assert found.next() == Ask(chain(DEEP)[2], is_final=True)


def test_n17_01_those_who_can_do_no_more_are_asked_again_after_pauses_and_who_failed_is_not() -> None:
    found, first, last = walk(level=None), list[str](), list[str]()
    while (ask := found.next()) is not None:
        first.append(ask.member)
        (found.failed if ask.member == chain(DEEP)[2] else found.busy)(ask)
    pauses = []
    while (pause := found.pause()) is not None:
        pauses.append(pause)
        last.clear()
        while (ask := found.next()) is not None:
            assert ask.is_final
            last.append(ask.member)
            found.busy(ask)
    assert sorted(found.full) == sorted(last)
    assert sorted(last) == sorted(set(first) - {chain(DEEP)[2]})
    assert 5 < sum(pauses) < 12
    assert walk(suspected=frozenset(MEMBERS)).pause() is None, "nobody is full"


def test_n17_01_the_root_asks_upstream() -> None:
    root = Ring(MEMBERS, DEEP).at(BEGIN, 0)
    found = walk(root)
    assert found.next() is None
    assert found.level == found.depth == 0


@given(st.sampled_from(MEMBERS), st.integers(0, 1000), st.sets(st.sampled_from(MEMBERS)), st.lists(st.booleans()), st.integers(0, 5))
def test_n17_01_whatever_they_answer_only_members_that_come_before_us_are_asked(
    us: str, number: int, suspected: set[str], answers: list[bool], level: int
) -> None:
    begin = start("sha256:abc", number)
    ring = Ring(MEMBERS, us)
    found = Walk(Zones(ring), begin, level, suspected.__contains__)
    asked: list[str] = []
    for is_busy in [*answers, *[False] * 30]:
        ask = found.next()
        if ask is None:
            break
        asked.append(ask.member)
        (found.busy if is_busy else found.failed)(ask)
    assert found.next() is None
    assert len(asked) <= 20
    assert all(Ring(MEMBERS, name).rank(begin) < ring.rank(begin) and name not in suspected for name in asked)
