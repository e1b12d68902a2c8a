from collections import Counter

from regproxy.policy.fleet.checks import Check, Checks


def test_n17_10_members_are_asked_in_turn() -> None:
    checks = Checks("b")
    asked = []
    for second in range(6):
        for member in checks.due(["a", "c", "d"], float(second)):
            asked.append(member)
            checks.found(member, None, float(second))
    assert asked == ["c", "d", "a"] * 2
    assert checks.due([], 6.0) == []


def test_n17_10_members_that_start_at_the_same_moment_do_not_ask_the_same_one() -> None:
    members = [f"{number:03}" for number in range(50)]
    views = {us: Checks(us) for us in members}
    for second in range(120):
        asked = Counter(views[us].due([each for each in members if each != us], float(second))[0] for us in members)
        assert max(asked.values()) <= 2


def test_n17_10_a_member_that_is_new_waits_for_its_turn() -> None:
    checks = Checks("a")
    assert checks.due(["c", "d"], 0.0) == ["c"]
    assert checks.due(["b", "c", "d"], 1.0) == ["d"]
    assert checks.due(["b", "c", "d"], 2.0) == ["b"]


def test_n17_10_who_was_not_reached_is_asked_sooner_than_in_turn_but_not_by_all_at_once() -> None:
    members = [f"{number:04}" for number in range(1000)]
    checks = Checks(members[0])
    for member in members:
        checks.found(member, None, 0.0)
    for member in ("0007", "0008"):
        checks.found(member, "it did not answer", 1.0)
    assert checks.due(members, 100.0) == ["0001"]
    assert checks.due(members, 101.0) == ["0002", "0007"]
    checks.found("0007", "it did not answer", 101.0)
    assert checks.due(members, 102.0) == ["0003", "0008"]
    assert checks.due(["0008"], 103.0) == ["0008"], "nobody is asked twice at once"


def test_n17_10_that_a_member_is_not_reached_any_more_or_again_is_news() -> None:
    checks = Checks("us")
    assert not checks.found("a", None, 0.0), "that is expected"
    assert checks.found("a", "it did not answer", 1.0)
    assert not checks.found("a", "cannot be asked", 2.0)
    assert (checks.unreachable, checks.of("a")) == (["a"], Check(2.0, "cannot be asked"))
    assert checks.found("a", None, 3.0)
    assert checks.unreachable == []
    assert checks.found("b", "it did not answer", 3.0)


def test_n17_10_nothing_is_known_of_who_left() -> None:
    checks = Checks("us")
    checks.found("a", "it did not answer", 0.0)
    checks.retain(["b"])
    assert (checks.unreachable, checks.of("a"), checks.of("b")) == ([], None, None)
