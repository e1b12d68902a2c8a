from collections import Counter

from regproxy.policy.fleet.owners import group_of, owners
from regproxy.policy.fleet.ring import Ring

MEMBERS = [f"http://10.0.0.{number}:5000" for number in range(40)]
NAMES = [f"name {number}" for number in range(2000)]


def nobody(_: str) -> bool:
    return False


def test_n17_05_all_members_ask_the_same_one_first_and_themselves_last() -> None:
    for name in NAMES[:200]:
        found = {us: owners(Ring(MEMBERS, us), name, nobody) for us in MEMBERS[:10]}
        first, second = next(each for each in found.values() if len(each) == 2)
        for us, asked in found.items():
            assert asked == ([us] if us == first else [first, second])


def test_n17_05_who_is_left_alone_is_replaced_by_the_next_for_all() -> None:
    for name in NAMES[:200]:
        (gone, next_one), *_ = [found for us in MEMBERS[:3] if len(found := owners(Ring(MEMBERS, us), name, nobody)) == 2]
        for us in MEMBERS[3:20]:
            if us != gone:
                assert owners(Ring(MEMBERS, us), name, gone.__eq__)[0] == next_one


def test_n17_05_where_all_others_are_left_alone_few_are_looked_at() -> None:
    looked: list[str] = []

    def all_of_them(member: str) -> bool:
        looked.append(member)
        return True

    found = [owners(Ring(MEMBERS, MEMBERS[0]), name, all_of_them) for name in NAMES[:100]]
    assert len(looked) <= 16 * 100
    assert {tuple(each) for each in found} == {(), (MEMBERS[0],)}


def test_n17_05_who_is_alone_asks_itself() -> None:
    assert owners(Ring((), "us"), "name", nobody) == ["us"]


def test_n17_05_names_are_spread_over_all_members() -> None:
    first = Counter(owners(Ring([*MEMBERS, "us"], "us"), name, nobody)[0] for name in NAMES)
    assert len(first) == len(MEMBERS) + 1
    assert max(first.values()) <= 4 * len(NAMES) / len(MEMBERS)


def test_n17_05_up_to_64_members_share_with_all() -> None:
    for count in (1, 40):
        ring = Ring(MEMBERS[:count], MEMBERS[0])
        assert group_of(ring) is ring


def test_n17_05_more_share_in_groups_that_nobody_is_left_out_of() -> None:
    everybody = [f"http://10.0.{number // 250}.{number % 250}:5000" for number in range(3000)]
    ring, groups = Ring(everybody, everybody[0]), dict[str, list[str]]()
    for us in everybody[:300]:
        found = group_of(ring.seen_by(us))
        assert us in found.members
        assert found.us == us
        assert all(groups.setdefault(each, found.members) == found.members for each in found.members), "they agree who they are"
        assert len(found) <= 2 * 64
    assert len({tuple(each) for each in groups.values()}) == 64
