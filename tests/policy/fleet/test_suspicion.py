from regproxy.policy.fleet.suspicion import CORRUPT_FOR, SUSPECTED_FOR, Suspicions


def test_n17_01_who_does_not_answer_is_left_alone_longer_each_time() -> None:
    held, now = Suspicions(), 100.0
    assert not held.is_suspected("a", now)
    for pause in (1, 2, 4, 8, 8):
        assert held.failed("a", "it did not answer", now)
        assert not held.failed("a", "it did not answer", now), "what is known is no news"
        assert held.is_suspected("a", now + pause * SUSPECTED_FOR - 1)
        now += pause * SUSPECTED_FOR
        assert not held.is_suspected("a", now)


def test_n17_01_who_serves_is_trusted_unless_it_sent_wrong_bytes() -> None:
    held = Suspicions()
    held.failed("a", "it did not answer", 0.0)
    held.served("a", 1.0)
    held.served("b", 1.0)
    assert not held.is_suspected("a", 1.0)
    held.sent_corrupt("b", 0.0)
    held.served("b", 1.0)
    assert held.is_suspected("b", CORRUPT_FOR - 1)
    assert not held.is_suspected("b", CORRUPT_FOR)


def test_n17_01_when_a_member_served_last_is_known() -> None:
    held = Suspicions()
    held.served("a", 5.0)
    assert [held.has_served("a", since) for since in (4.0, 5.0, 6.0)] == [True, True, False]
    assert not held.has_served("b", 0.0)


def test_n17_01_who_left_is_forgotten() -> None:
    held = Suspicions()
    held.served("a", 5.0)
    held.failed("a", "it did not answer", 0.0)
    held.failed("b", "it broke off", 0.0)
    held.retain(["b"])
    assert not held.has_served("a", 0.0)
    assert not held.is_suspected("a", 1.0)
    assert held.is_suspected("b", 1.0)


def test_n17_10_why_a_member_is_left_alone_is_told_for_as_long_as_it_is() -> None:
    held = Suspicions()
    held.failed("a", "it did not answer", 0.0)
    held.failed("a", "it fell silent", 1.0)
    held.sent_corrupt("b", 1.0)
    assert held.reasons(2.0) == {"a": "it did not answer", "b": "it sent wrong bytes"}
    assert held.reasons(SUSPECTED_FOR) == {"b": "it sent wrong bytes"}
