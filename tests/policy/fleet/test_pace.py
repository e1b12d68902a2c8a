import pytest

from regproxy.policy.fleet.pace import Spent, Transfer, Usual, Verdict

MIB = 1024 * 1024
STALL_TIMEOUT = 2.0  # seconds


def transfer(size: int, level: int, usual: Usual) -> Transfer:
    return Transfer(0.0, size, level, usual, STALL_TIMEOUT, Spent())


def test_n17_01_a_member_that_neither_sends_nor_says_that_it_is_at_work_is_silent() -> None:
    silent = transfer(MIB, 0, Usual(100.0 * MIB))
    assert [silent.judge(half / 2) for half in range(5)] == [*[Verdict.WAIT] * 4, Verdict.SILENT]
    assert not silent.has_waited


def test_n17_01_a_member_that_waits_for_upstream_says_so_and_is_waited_for_but_not_for_ever() -> None:
    waiting = transfer(MIB, 0, Usual())
    for second in range(1, 300):
        waiting.beat()
        assert (waiting.judge(float(second)) is Verdict.GIVE_UP) == (second > 120), "a client of CRI waits for 300 s"
    assert waiting.has_waited


@pytest.mark.parametrize(("count", "verdict"), [(1, Verdict.SILENT), (4096, Verdict.WAIT)])
def test_n17_01_who_stops_in_the_middle_is_silent_too_and_a_byte_a_second_is_no_sign(count: int, verdict: Verdict) -> None:
    stopped = transfer(MIB, 0, Usual())
    for second in range(5):
        stopped.received(count, float(second))
        found = stopped.judge(float(second))
    assert found is verdict
    assert stopped.count == 5 * count


@pytest.mark.parametrize(("waits", "sends", "limit"), [(110, 0, 120), (1, 18, 60)])
def test_n17_01_who_is_asked_for_the_rest_gets_no_new_time_for_it(waits: int, sends: int, limit: int) -> None:
    """It says that it is at work, sends a little, stops, and so again."""
    now, spent, usual = 0.0, Spent(), Usual(1000.0 * MIB)
    for _ in range(9):
        again = Transfer(now, MIB, 0, usual, STALL_TIMEOUT, spent)
        verdict = Verdict.WAIT
        for second in range(waits + sends + 5):
            if second < waits:
                again.beat()
            else:
                again.received(5000 if second < waits + sends else 1, now)
            if (verdict := again.judge(now)) in (Verdict.SILENT, Verdict.GIVE_UP):
                break
            now += 0.5
            again.judge(now)
            now += 0.5
        if verdict is Verdict.GIVE_UP:
            break
        again.stalled(now)
    assert verdict is Verdict.GIVE_UP
    assert now < limit + 5


def test_n17_01_a_member_is_not_silent_because_we_stood_still() -> None:
    waiting = transfer(MIB, 0, Usual())
    assert waiting.judge(60.0) is Verdict.WAIT
    waiting.received(MIB, 60.0)
    assert waiting.judge(120.0) is not Verdict.SILENT


def test_n17_01_who_is_much_slower_than_usual_is_left_by_its_children_before_theirs() -> None:
    usual = Usual()
    usual.ended(10 * MIB, 1.0)
    near, far = transfer(MIB, 0, usual), transfer(MIB, 4, usual)
    for tenth in range(1, 20):
        for each in (near, far):
            each.received(10_000, tenth / 10)
    assert near.judge(1.4) is Verdict.WAIT
    near.received(10_000, 2.0)
    far.received(10_000, 2.0)
    assert near.judge(2.0) is Verdict.LEAVE
    assert far.judge(2.0) is Verdict.WAIT


def test_n17_01_who_is_hopeless_is_left_even_for_upstream() -> None:
    for usual, hopeless in ((Usual(1000.0 * MIB), 20.0), (Usual(1.0 * MIB), 5 * (1.0 + 4.0)), (Usual(), 5 * (1.0 + 4.0 * 4))):
        slow = transfer(MIB, 0, usual)
        for second in range(200):
            slow.received(5000, float(second))
            assert (slow.judge(float(second)) is Verdict.GIVE_UP) == (second > hopeless)


def test_n17_01_nobody_is_slow_before_anything_is_usual() -> None:
    usual = Usual()
    first = transfer(MIB, 0, usual)
    first.received(4096, 1.0)
    first.received(4096, 50.0)
    assert first.judge(50.5) is Verdict.WAIT
    first.ended(51.0)
    assert usual.rate == 8192 / 50
    transfer(MIB, 0, usual).ended(5.0)
    assert usual.rate == 8192 / 50, "nothing came"
    usual.ended(3 * 4096, 1.0)
    assert usual.rate is not None
    assert 8192 / 50 < usual.rate < 3 * 4096
