import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from regproxy.oci.descriptor import Descriptor
from regproxy.oci.digest import Digest
from regproxy.policy.freshness import DAY, Denied, Missing, PullPolicy, TagPolicy, TagRecord, Verdict, judge, may_serve_stale

NOW = 1_785_585_600.0
DESCRIPTOR = Descriptor("application/vnd.oci.image.index.v1+json", Digest.of(b""), 0)

rules = st.builds(TagPolicy, policy=st.sampled_from(PullPolicy), fresh_for=st.floats(0, 1e9), stale_for=st.floats(0, 1e9))
moments = st.floats(0, 4e9)


def checked(ago: float) -> TagRecord:
    return TagRecord(DESCRIPTOR, NOW - ago)


@pytest.mark.parametrize(
    ("policy", "ago", "verdict"),
    [
        pytest.param(PullPolicy.ALWAYS, None, Verdict.MISS, id="always: unknown"),
        pytest.param(PullPolicy.ALWAYS, 0, Verdict.FRESH, id="always: just checked"),
        pytest.param(PullPolicy.ALWAYS, 299, Verdict.FRESH, id="always: a moment before its time"),
        pytest.param(PullPolicy.ALWAYS, 300, Verdict.REVALIDATE, id="always: when its time has come"),
        pytest.param(PullPolicy.ALWAYS, 900 * DAY, Verdict.REVALIDATE, id="always: years old"),
        pytest.param(PullPolicy.ALWAYS, -299, Verdict.FRESH, id="always: checked in a near future"),
        pytest.param(PullPolicy.ALWAYS, -300, Verdict.REVALIDATE, id="always: checked in a far future"),
        pytest.param(PullPolicy.ON_FAILURE, None, Verdict.MISS, id="on-failure: unknown"),
        pytest.param(PullPolicy.ON_FAILURE, 0, Verdict.FRESH, id="on-failure: just checked"),
        pytest.param(PullPolicy.ON_FAILURE, 300, Verdict.BEHIND, id="on-failure: when its time has come"),
        pytest.param(PullPolicy.ON_FAILURE, 900 * DAY, Verdict.BEHIND, id="on-failure: years old"),
        pytest.param(PullPolicy.IF_NOT_PRESENT, None, Verdict.MISS, id="if-not-present: unknown"),
        pytest.param(PullPolicy.IF_NOT_PRESENT, 900 * DAY, Verdict.FRESH, id="if-not-present: years old"),
        pytest.param(PullPolicy.NEVER, None, Verdict.OFFLINE, id="never: unknown"),
        pytest.param(PullPolicy.NEVER, 900 * DAY, Verdict.FRESH, id="never: years old"),
    ],
)
def test_each_policy_has_its_verdict(policy: PullPolicy, ago: float | None, verdict: Verdict) -> None:
    record = None if ago is None else checked(ago)
    assert judge(record, TagPolicy(policy=policy, fresh_for=300), NOW) is verdict


@pytest.mark.parametrize(
    ("policy", "ago", "verdict"),
    [
        pytest.param(PullPolicy.ALWAYS, None, Verdict.MISS, id="always: unknown"),
        pytest.param(PullPolicy.ALWAYS, 299, Verdict.FRESH, id="always: a moment before its time"),
        pytest.param(PullPolicy.ALWAYS, 300, Verdict.BEHIND, id="always: when its time has come"),
        pytest.param(PullPolicy.ALWAYS, 399, Verdict.BEHIND, id="always: a moment before it is too stale"),
        pytest.param(PullPolicy.ALWAYS, 400, Verdict.REVALIDATE, id="always: too stale"),
        pytest.param(PullPolicy.ON_FAILURE, 400, Verdict.BEHIND, id="on-failure: too stale"),
        pytest.param(PullPolicy.IF_NOT_PRESENT, 400, Verdict.FRESH, id="if-not-present: too stale"),
        pytest.param(PullPolicy.NEVER, None, Verdict.OFFLINE, id="never: unknown"),
    ],
)
def test_nobody_waits_for_an_upstream_that_is_down_while_a_record_may_stand_in(
    policy: PullPolicy, ago: float | None, verdict: Verdict
) -> None:
    record = None if ago is None else checked(ago)
    assert judge(record, TagPolicy(policy=policy, fresh_for=300, stale_for=100), NOW, is_down=True) is verdict


@pytest.mark.parametrize(
    ("ago", "verdict"),
    [
        pytest.param(None, Verdict.MISS, id="unknown"),
        pytest.param(1799, Verdict.FRESH, id="fresh for six times as long"),
        pytest.param(1800, Verdict.BEHIND, id="when that time has come"),
        pytest.param(10_300, Verdict.REVALIDATE, id="too stale"),
    ],
)
def test_while_pulls_are_scarce_records_stand_in(ago: float | None, verdict: Verdict) -> None:
    record = None if ago is None else checked(ago)
    assert judge(record, TagPolicy(fresh_for=300, stale_for=10_000), NOW, is_scarce=True) is verdict


@pytest.mark.parametrize(
    ("policy", "ago", "missing_ago", "verdict"),
    [
        pytest.param(PullPolicy.ALWAYS, None, 9, Verdict.MISSING, id="unknown"),
        pytest.param(PullPolicy.ALWAYS, None, 10, Verdict.MISS, id="unknown, said too long ago"),
        pytest.param(PullPolicy.ALWAYS, None, -10, Verdict.MISS, id="unknown, said in the future"),
        pytest.param(PullPolicy.ALWAYS, 1, 0, Verdict.MISSING, id="gone since it was checked"),
        pytest.param(PullPolicy.IF_NOT_PRESENT, None, 0, Verdict.MISSING, id="if-not-present: unknown"),
        pytest.param(PullPolicy.IF_NOT_PRESENT, 1, 0, Verdict.FRESH, id="if-not-present: known"),
        pytest.param(PullPolicy.NEVER, None, 0, Verdict.OFFLINE, id="never: unknown"),
    ],
)
def test_a_tag_that_upstream_does_not_have_is_not_asked_for_again_at_once(
    policy: PullPolicy, ago: float | None, missing_ago: float, verdict: Verdict
) -> None:
    record = None if ago is None else checked(ago)
    rule = TagPolicy(policy=policy, fresh_for=300, missing_for=10)
    assert judge(record, rule, NOW, missing=Missing("gone", NOW - missing_ago)) is verdict


@pytest.mark.parametrize("policy", [PullPolicy.ALWAYS, PullPolicy.ON_FAILURE])
def test_fresh_for_no_time_asks_at_every_pull(policy: PullPolicy) -> None:
    assert judge(checked(0), TagPolicy(policy=policy, fresh_for=0), NOW) is not Verdict.FRESH


@given(st.none() | moments.map(lambda moment: TagRecord(DESCRIPTOR, moment)), rules, moments, st.booleans())
def test_never_asks_never_and_an_unknown_tag_is_never_served(record: TagRecord | None, rule: TagPolicy, now: float, is_down: bool) -> None:
    verdict = judge(record, rule, now, is_down=is_down)
    served = verdict in {Verdict.FRESH, Verdict.BEHIND}
    asked = verdict in {Verdict.BEHIND, Verdict.REVALIDATE, Verdict.MISS}
    assert not (asked and rule.policy is PullPolicy.NEVER)
    assert not (served and record is None)


@pytest.mark.parametrize(
    ("ago", "may"),
    [
        pytest.param(0, True, id="just checked"),
        pytest.param(300, True, id="when its time has come"),
        pytest.param(399, True, id="a moment before it is too stale"),
        pytest.param(400, False, id="too stale"),
        pytest.param(-399, True, id="from a near future"),
        pytest.param(-400, False, id="from a far future"),
    ],
)
def test_a_stale_record_stands_in_for_upstream_as_long_as_the_rule_says(ago: float, may: bool) -> None:
    assert may_serve_stale(checked(ago), TagPolicy(fresh_for=300, stale_for=100), NOW) is may


def test_nothing_stands_in_for_an_unknown_tag() -> None:
    assert not may_serve_stale(None, TagPolicy(stale_for=math.inf), NOW)


@given(moments, rules, moments)
def test_what_is_fresh_may_stand_in_too(checked_at: float, rule: TagPolicy, now: float) -> None:
    record = TagRecord(DESCRIPTOR, checked_at)
    fresh = judge(record, rule, now) is Verdict.FRESH and rule.policy in {PullPolicy.ALWAYS, PullPolicy.ON_FAILURE}
    assert may_serve_stale(record, rule, now) or not fresh


@pytest.mark.parametrize(
    ("policy", "denied_ago", "verdict"),
    [
        pytest.param(PullPolicy.ALWAYS, 4, Verdict.MISSING, id="a moment ago"),
        pytest.param(PullPolicy.ALWAYS, 5, Verdict.REVALIDATE, id="not a moment ago any more"),
        pytest.param(PullPolicy.ON_FAILURE, 4, Verdict.MISSING, id="on-failure, a moment ago"),
        pytest.param(PullPolicy.IF_NOT_PRESENT, 4, Verdict.FRESH, id="if-not-present, a moment ago"),
        pytest.param(PullPolicy.ALWAYS, 50, Verdict.REVALIDATE, id="since it was checked"),
        pytest.param(PullPolicy.ALWAYS, 100, Verdict.REVALIDATE, id="as it was checked"),
        pytest.param(PullPolicy.ALWAYS, 101, Verdict.FRESH, id="before it was checked"),
        pytest.param(PullPolicy.ON_FAILURE, 50, Verdict.REVALIDATE, id="on-failure"),
        pytest.param(PullPolicy.IF_NOT_PRESENT, 50, Verdict.FRESH, id="if-not-present"),
        pytest.param(PullPolicy.NEVER, 50, Verdict.FRESH, id="never"),
    ],
)
@pytest.mark.parametrize("is_down", [False, True])
def test_n12_10_what_upstream_refused_is_asked_for_and_not_served_behind(
    policy: PullPolicy, denied_ago: float, verdict: Verdict, is_down: bool
) -> None:
    denied = Denied("no", NOW - denied_ago, 403, "DENIED")
    assert judge(checked(100), TagPolicy(policy=policy, fresh_for=300), NOW, is_down=is_down, missing=denied) is verdict


@pytest.mark.parametrize(
    ("denied_ago", "missing_for", "verdict"),
    [(0, 10, Verdict.MISSING), (4, 10, Verdict.MISSING), (5, 10, Verdict.MISS), (0, 0, Verdict.MISS), (2, 2, Verdict.MISS)],
)
def test_n12_15_a_refusal_is_repeated_for_a_moment_and_no_longer_than_an_absence(
    denied_ago: float, missing_for: float, verdict: Verdict
) -> None:
    denied = Denied("no", NOW - denied_ago, 403, "DENIED")
    assert judge(None, TagPolicy(missing_for=missing_for), NOW, missing=denied) is verdict


@pytest.mark.parametrize("missing", [Missing("gone", NOW - 50), Denied("no", NOW - 50, 403, "DENIED")])
def test_n12_10_nothing_stands_in_for_what_upstream_took_back(missing: Missing | Denied) -> None:
    rule = TagPolicy(fresh_for=0, stale_for=DAY)
    assert not may_serve_stale(checked(100), rule, NOW, missing)
    assert may_serve_stale(checked(10), rule, NOW, missing), "it was given again since"


def test_n12_15_a_tag_that_was_given_since_it_was_refused_is_served() -> None:
    denied = Denied("no", NOW - 3, 403, "DENIED")
    assert judge(checked(2), TagPolicy(fresh_for=300), NOW, missing=denied) is Verdict.FRESH


def test_n12_10_a_missing_tag_does_not_end_what_is_served_whatever_its_age() -> None:
    """on-failure: a registry that is rebuilt, and empty, is one of the failures."""
    rule = TagPolicy(policy=PullPolicy.ON_FAILURE, fresh_for=0)
    assert judge(checked(100), rule, NOW, missing=Missing("gone", NOW - 50)) is Verdict.BEHIND
