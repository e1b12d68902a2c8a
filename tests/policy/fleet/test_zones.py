import pytest
from hypothesis import given
from hypothesis import strategies as st

from regproxy.policy.fleet.ring import Ring, start
from regproxy.policy.fleet.walk import Walk
from regproxy.policy.fleet.zones import Zones

MEMBERS = [f"http://10.0.0.{number}:5000" for number in range(40)]
ZONE = {member: "abc"[number % 3] for number, member in enumerate(MEMBERS)}
BEGINS = [start("sha256:abc", number) for number in range(40)]


def view(us: str, zones: dict[str, str] = ZONE) -> Zones:
    return Zones(Ring(MEMBERS, us), zones)


def asked(walk: Walk) -> list[str]:
    """List whom it asks, if all of them fail."""
    found = []
    while (ask := walk.next()) is not None:
        found.append(ask.member)
        walk.failed(ask)
    return found


@pytest.mark.parametrize("begin", BEGINS)
def test_n17_02_a_piece_enters_each_zone_once(begin: object) -> None:
    crossed = []
    for us in MEMBERS:
        walk = Walk(view(us), begin, 0, lambda _: False)  # type: ignore[arg-type]
        if (ask := walk.next()) is not None and ZONE[ask.member] != ZONE[us]:
            crossed.append(ZONE[us])
    assert len(crossed) == len(set(crossed)) == 2


@pytest.mark.parametrize("begin", BEGINS)
def test_n17_02_members_of_other_zones_are_asked_once_ours_are_dead(begin: object) -> None:
    for us in MEMBERS:
        walk = Walk(view(us), begin, 0, lambda member, ours=ZONE[us]: ZONE[member] == ours)  # type: ignore[arg-type,misc]
        if view(us).ring.rank(begin) > 0 and view(us).heads(begin):  # type: ignore[arg-type]
            assert (ask := walk.next()) is not None
            assert ZONE[ask.member] != ZONE[us]


@given(st.dictionaries(st.sampled_from(MEMBERS), st.sampled_from(["", "a", "b"])), st.sampled_from(MEMBERS), st.sampled_from(BEGINS))
def test_n17_02_whatever_is_known_of_zones_nobody_asks_who_comes_later(zones: dict[str, str], us: str, begin: object) -> None:
    found, ring = asked(Walk(view(us, zones), begin, None, lambda _: False)), Ring(MEMBERS, us)  # type: ignore[arg-type]
    assert all(ring.rank_of(member, begin) < ring.rank(begin) for member in found)  # type: ignore[arg-type]
    assert len(found) == len(set(found))


def test_n17_02_who_is_cut_off_from_upstream_comes_last_in_its_zone_and_among_all() -> None:
    for us in MEMBERS:
        last = view(us).last(BEGINS[0])
        assert last.ring.rank(BEGINS[0]) == len(MEMBERS) - 1
        assert last.near.rank(BEGINS[0]) == len(last.near) - 1
        assert len(last.heads(BEGINS[0])) == 2


def test_n17_02_without_zones_all_are_near() -> None:
    us = MEMBERS[0]
    for zones in ({}, {us: "a"}, {member: zone for member, zone in ZONE.items() if member != us}):
        assert all(view(us, zones).is_near(member) for member in MEMBERS)
        assert view(us, zones).heads(BEGINS[0]) == []
    assert not view(us).is_near(MEMBERS[1])
