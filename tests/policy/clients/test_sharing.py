"""No client has all there is, and one alone has most of it."""

import pytest

from regproxy.policy.clients.sharing import Share, client_key


def test_n12_12_one_client_leaves_a_quarter_to_others() -> None:
    share = Share.of(64)
    assert [share.may_take(taken, taken) for taken in (0, 47, 48)] == [True, True, False]
    assert [share.may_take(48 + own, own) for own in (0, 7, 8)] == [True, True, False]
    assert not share.may_take(64, 0)


def test_of_few_slots_one_client_may_have_one() -> None:
    assert Share.of(1).may_take(0, 0)
    assert not Share.of(1).may_take(1, 0)


@pytest.mark.parametrize(
    ("address", "key"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3::4", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("", ""),
        ("no address", "no address"),
    ],
)
def test_n12_12_whoever_has_many_addresses_is_one_client(address: str, key: str) -> None:
    assert client_key(address) == key
