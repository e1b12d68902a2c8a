"""Which meaning of a tag is served while it cools down."""

import math

import pytest

from regproxy.oci.digest import Digest
from regproxy.policy.clock import utc
from regproxy.policy.cooldown import CoolingDown, Served, choose
from regproxy.policy.freshness import TagPolicy, exact_rule
from regproxy.policy.tag_history import PastMeaning

A, B, C, D = (Digest.of(name) for name in (b"a", b"b", b"c", b"d"))
RULE, STRICT = TagPolicy(cooldown=100.0), TagPolicy(cooldown=100.0, refuses_first=True)


def chosen(now: float, rule: TagPolicy, *meanings: tuple[Digest | None, float]) -> object:
    return choose([PastMeaning(digest, since) for digest, since in meanings], rule, now)


@pytest.mark.parametrize(
    ("now", "rule", "meanings", "expected"),
    [
        pytest.param(0, RULE, [], None, id="unknown"),
        pytest.param(0, RULE, [(None, 0)], None, id="never there"),
        pytest.param(0, TagPolicy(), [(A, 0), (B, 0)], Served(B), id="no cooldown"),
        pytest.param(0, RULE, [(A, 0)], Served(A), id="the first, at once"),
        pytest.param(0, STRICT, [(A, 0)], CoolingDown(A, 100.0), id="the first, refused"),
        pytest.param(99.9, STRICT, [(A, 0)], CoolingDown(A, 100.0), id="refused for so long"),
        pytest.param(100, STRICT, [(A, 0)], Served(A), id="and no longer"),
        pytest.param(50, RULE, [(A, 0), (B, 50)], Served(A, 150.0, B), id="moved before the first is old enough"),
        pytest.param(50, STRICT, [(A, 0), (B, 50)], CoolingDown(B, 100.0), id="moved while the first is refused"),
        pytest.param(120, STRICT, [(A, 0), (B, 50)], Served(A, 150.0, B), id="the first is old enough before the second"),
        pytest.param(150, RULE, [(A, 0), (B, 50)], Served(B, older=(A,)), id="the newer one is old enough"),
        pytest.param(149, RULE, [(A, 0), (B, 50), (A, 60)], Served(A), id="moved back: known since it was seen first"),
        pytest.param(170, RULE, [(A, 0), (B, 50), (A, 60)], Served(A, older=(B,)), id="moved back, both old enough"),
        pytest.param(170, RULE, [(A, 0), (B, 50), (C, 60), (D, 150)], Served(C, 250.0, D, (B, A)), id="the newest that is old enough"),
        pytest.param(155, RULE, [(A, 0), (B, 50), (C, 60), (D, 150)], Served(B, 160.0, D, (A,)), id="the next one comes before the newest"),
        pytest.param(10, RULE, [(A, 0), (B, 50)], Served(A, 150.0, B), id="a clock that was set back"),
        pytest.param(150, RULE, [(A, 0), (None, 20), (B, 50), (None, 60)], Served(B, older=(A,)), id="deleted in between, and now"),
    ],
)
def test_n18_07_the_newest_meaning_that_is_known_for_so_long_is_served(
    now: float, rule: TagPolicy, meanings: list[tuple[Digest | None, float]], expected: object
) -> None:
    assert chosen(now, rule, *meanings) == expected


def test_n18_07_what_belongs_to_a_digest_does_not_cool_down_unless_a_rule_is_meant_for_it() -> None:
    signature = f"sha256-{'0' * 64}.sig"
    assert exact_rule(RULE, signature).cooldown == 0.0
    assert exact_rule(RULE, "1.27").cooldown == 100.0
    assert exact_rule(TagPolicy(match="*:sha256-*", cooldown=100.0), signature).cooldown == 100.0


def test_n18_07_moments_are_written_for_people() -> None:
    assert utc(1_785_585_600.0) == "2026-08-01 12:00:00 UTC"
    assert [utc(moment) for moment in (math.inf, 1e300, math.nan)] == ["never"] * 3
