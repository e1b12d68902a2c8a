from regproxy.policy.fleet.checks import Check, Checks


def test_n17_10_members_are_asked_in_turn() -> None:
    checks = Checks()
    asked = []
    for second in range(6):
        for member in checks.due(["a", "b", "c"]):
            asked.append(member)
            checks.found(member, None, float(second))
    assert asked == ["a", "b", "c"] * 2


def test_n17_10_who_was_not_reached_is_asked_more_often_than_in_turn() -> None:
    members, checks = [str(number) for number in range(1000)], Checks()
    for member in members:
        checks.found(member, None, 0.0)
    for member in ("7", "8"):
        checks.found(member, "it did not answer", 1.0)
    assert checks.due(members) == ["0", "7"]
    checks.found("7", "it did not answer", 2.0)
    assert checks.due(members) == ["0", "8"]
    assert checks.due(["8"]) == ["8"], "nobody is asked twice at once"
    assert Checks().due([]) == []


def test_n17_10_that_a_member_is_not_reached_any_more_or_again_is_news() -> None:
    checks = Checks()
    assert not checks.found("a", None, 0.0), "that is expected"
    assert checks.found("a", "it did not answer", 1.0)
    assert not checks.found("a", "cannot be asked", 2.0)
    assert (checks.unreachable, checks.of("a")) == (["a"], Check(2.0, "cannot be asked"))
    assert checks.found("a", None, 3.0)
    assert checks.unreachable == []
    assert checks.found("b", "it did not answer", 3.0)


def test_n17_10_nothing_is_known_of_who_left() -> None:
    checks = Checks()
    checks.found("a", "it did not answer", 0.0)
    checks.retain(["b"])
    assert (checks.unreachable, checks.of("a"), checks.of("b")) == ([], None, None)
