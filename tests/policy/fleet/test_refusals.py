from regproxy.policy.fleet.refusals import EVERY, MAX_CLIENTS, OTHERS, Refusals


def test_n17_10_what_is_refused_is_told_at_once_and_then_once_a_minute_with_how_often() -> None:
    refusals = Refusals()
    told = [refusals.refused("192.0.2.1", "another key", float(second)) for second in range(0, 181, 5)]
    assert [(5 * place, each) for place, each in enumerate(told) if each] == [
        (0, ("192.0.2.1", 1)),
        (60, ("192.0.2.1", 12)),
        (120, ("192.0.2.1", 12)),
        (180, ("192.0.2.1", 12)),
    ]


def test_n17_10_each_address_and_each_reason_is_told_for_itself() -> None:
    refusals = Refusals()
    for client in ("192.0.2.1", "192.0.2.2"):
        for reason in ("another key", "another time"):
            assert refusals.refused(client, reason, 7.0) == (client, 1)
            assert refusals.refused(client, reason, 8.0) is None


def test_n17_20_however_many_addresses_ask_little_is_remembered_and_told() -> None:
    """Those told apart are made room for by who was told of longest ago."""
    refusals = Refusals()
    told = [refusals.refused(f"2001:db8::{number:x}", "another key", number / 1000) for number in range(3 * MAX_CLIENTS)]
    assert [each for each in told if each][MAX_CLIENTS:] == [(OTHERS, 1)]
    assert len(refusals._told) == MAX_CLIENTS + 1
    late = EVERY + 3 * MAX_CLIENTS
    assert refusals.refused("192.0.2.1", "another key", late) == ("192.0.2.1", 1)
    assert refusals.refused("2001:db8::ffff", "another key", late) == ("2001:db8::ffff", 1)
    assert len(refusals._told) == MAX_CLIENTS + 1
    assert refusals.refused("2001:db8::5", "another key", late) == ("2001:db8::5", 1)
