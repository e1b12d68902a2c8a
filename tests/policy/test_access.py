"""What is believed of a repository, and for how long."""

import math

import pytest

from regproxy.policy.access import Access, Closed, Current, Expired, Standing, confirmed, imported, is_offline, refused, standing
from regproxy.policy.freshness import PullPolicy, TagPolicy

NOW = 1_000_000.0
HOUR = 3600.0


@pytest.mark.parametrize(
    ("access", "expected"),
    [
        pytest.param(Access(), Expired(), id="never asked"),
        pytest.param(Access(NOW - 10), Current(NOW - 10 + HOUR), id="confirmed a moment ago"),
        pytest.param(Access(NOW - HOUR), Expired(), id="confirmed an hour ago"),
        pytest.param(Access(NOW + 2 * HOUR), Expired(), id="confirmed in the future"),
        pytest.param(Access(NOW - 10, NOW - 5), Closed(""), id="refused since"),
        pytest.param(Access(NOW - 10, NOW - 10), Closed(""), id="refused at the same moment"),
        pytest.param(Access(NOW - 10, NOW - 20), Current(NOW - 10 + HOUR), id="refused before"),
        pytest.param(Access(NOW - 99 * HOUR, NOW - 98 * HOUR), Closed(""), id="refused long ago"),
        pytest.param(Access(NOW - 99 * HOUR, is_imported=True), Current(math.inf), id="imported"),
        pytest.param(Access(NOW - 99 * HOUR, NOW - 10, is_imported=True), Closed(""), id="imported, and refused since"),
    ],
)
def test_n12_06_where_a_repository_stands(access: Access, expected: Standing) -> None:
    assert standing(access, NOW, HOUR) == expected


def test_n12_06_a_refusal_closes_and_a_later_answer_opens() -> None:
    access = refused(confirmed(Access(), NOW, NOW), NOW + 1, "403")
    assert access.is_closed
    assert confirmed(access, NOW + 0.5, NOW + 9).is_closed, "it was asked before the refusal"
    assert not confirmed(access, NOW + 2, NOW + 9).is_closed
    assert not imported(access, NOW + 2).is_closed


def test_n12_06_a_clock_that_was_ahead_keeps_nothing_open_or_closed() -> None:
    ahead = confirmed(Access(), NOW + 99 * HOUR, NOW + 99 * HOUR)
    assert refused(ahead, NOW, "403").is_closed
    assert isinstance(standing(confirmed(ahead, NOW, NOW), NOW, HOUR), Current)
    assert not confirmed(refused(Access(), NOW + 99 * HOUR, "403"), NOW, NOW).is_closed


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        pytest.param([("*", "never")], True, id="all"),
        pytest.param([("team/*", "never")], True, id="by a pattern"),
        pytest.param([("team/app:1", "never")], True, id="one tag"),
        pytest.param([("team/app:*", "always"), ("*", "never")], False, id="an exception"),
        pytest.param([("team/app:1", "always"), ("*", "never")], True, id="one tag is an exception"),
        pytest.param([("team/other:*", "never")], False, id="another repository"),
        pytest.param([("*", "if-not-present")], False, id="another policy"),
        pytest.param([], False, id="no rule"),
    ],
)
def test_n12_06_what_is_offline(rules: list[tuple[str, str]], expected: bool) -> None:
    assert is_offline([TagPolicy(match, PullPolicy(policy)) for match, policy in rules], "team/app") is expected
