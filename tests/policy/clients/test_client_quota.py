"""What one client may use, and whose quota that is."""

import pytest

from regproxy.policy.clients.client_quota import ClientQuota, QuotaHolder, StoreShare, find_quota
from regproxy.policy.clients.token_bucket import Rate

MIB = 1024 * 1024


@pytest.mark.parametrize(
    ("name", "address", "text"),
    [
        ("ci", "192.0.2.1", "client ci"),
        ("", "192.0.2.1", "address 192.0.2.1"),
        ("", "2001:db8::1:2:3:4", "address 2001:db8::/64"),
        ("192.0.2.1", "192.0.2.9", "client 192.0.2.1"),
    ],
)
def test_n16_05_a_quota_is_of_a_name_or_else_of_an_address(name: str, address: str, text: str) -> None:
    assert str(QuotaHolder.of(name, address)) == text


def test_n16_05_the_first_quota_that_matches_counts() -> None:
    quotas = [ClientQuota("ci-*", rate=1), ClientQuota("2001:db8:*", rate=2), ClientQuota("ci-1", rate=3)]
    assert find_quota(quotas, QuotaHolder.of("ci-1", "")) == quotas[0]
    assert find_quota(quotas, QuotaHolder.of("", "2001:db8::1")) == quotas[1]
    assert find_quota(quotas, QuotaHolder.of("ops", "192.0.2.1")) is None


def test_n16_05_what_is_not_limited_has_no_bucket_and_large_pieces() -> None:
    quota = ClientQuota("*", connections=1)
    assert (quota.bucket, quota.piece) == (None, MIB)


@pytest.mark.parametrize(("rate", "piece"), [(64 * 1024, 16 * 1024), (MIB, MIB // 8), (1000 * MIB, MIB)])
def test_n16_05_bytes_come_several_times_a_second(rate: int, piece: int) -> None:
    quota = ClientQuota("*", rate=rate)
    assert (quota.piece, quota.bucket) == (piece, Rate(rate, rate))


def test_n16_05_a_share_of_the_store_is_bytes_or_a_part() -> None:
    assert StoreShare("ci", 5).most(100) == 5
    assert StoreShare("ci", 0.2).most(100) == 20
