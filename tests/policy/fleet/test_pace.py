from regproxy.policy.fleet.pace import SILENCE, Transfer, Usual, Verdict

MIB = 1024 * 1024


def test_n17_01_a_silent_member_is_asked_whether_it_lives_and_then_waited_for() -> None:
    usual = Usual(100.0 * MIB)
    transfer = Transfer(0.0, MIB, 0, usual)
    assert transfer.judge(SILENCE / 2) is Verdict.WAIT
    assert transfer.judge(SILENCE) is Verdict.PROBE
    for second in range(1, 60):
        transfer.lives(float(second))
        assert transfer.judge(second + SILENCE / 2) is Verdict.WAIT, "while upstream is silent, nobody is hedged"


def test_n17_01_a_member_that_lives_and_never_begins_is_left_in_the_end() -> None:
    transfer = Transfer(0.0, MIB, 0, Usual())
    for second in range(1, 300):
        transfer.lives(float(second))
        assert (transfer.judge(float(second)) is Verdict.GIVE_UP) == (second > 120), "a client of CRI waits for 300 s"


def test_n17_01_who_stops_in_the_middle_is_asked_too() -> None:
    transfer = Transfer(0.0, MIB, 0, Usual(100.0 * MIB))
    transfer.received(1000, 0.1)
    assert transfer.judge(0.1 + SILENCE) is Verdict.PROBE


def test_n17_01_who_is_much_slower_than_usual_is_left_by_its_children_before_theirs() -> None:
    usual = Usual()
    usual.ended(10 * MIB, 1.0)
    near, far = Transfer(0.0, MIB, 0, usual), Transfer(0.0, MIB, 4, usual)
    for tenth in range(1, 20):
        for transfer in (near, far):
            transfer.received(1000, tenth / 10)
    assert near.judge(1.4) is Verdict.WAIT
    near.received(1000, 2.0)
    far.received(1000, 2.0)
    assert near.judge(2.0) is Verdict.LEAVE
    assert far.judge(2.0) is Verdict.WAIT


def test_n17_01_who_is_hopeless_is_left_even_for_upstream() -> None:
    for usual, hopeless in ((Usual(1000.0 * MIB), 20.0), (Usual(1.0 * MIB), 5 * (1.0 + 4.0)), (Usual(), 5 * (1.0 + 4.0 * 4))):
        transfer = Transfer(0.0, MIB, 0, usual)
        for second in range(200):
            transfer.received(1, float(second))
            assert (transfer.judge(float(second)) is Verdict.GIVE_UP) == (second > hopeless)


def test_n17_01_nobody_is_slow_before_anything_is_usual() -> None:
    usual = Usual()
    transfer = Transfer(0.0, MIB, 0, usual)
    transfer.received(1, 1.0)
    transfer.received(1, 50.0)
    assert transfer.judge(50.5) is Verdict.WAIT
    transfer.ended(51.0)
    assert usual.rate == 2 / 50
    Transfer(0.0, MIB, 0, usual).ended(5.0)
    assert usual.rate == 2 / 50, "nothing came"
    usual.ended(3, 1.0)
    assert usual.rate is not None
    assert 2 / 50 < usual.rate < 3
