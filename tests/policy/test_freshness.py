import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from regproxy.oci.descriptor import Descriptor
from regproxy.oci.digest import Digest
from regproxy.policy.freshness import (
    DAY,
    Denied,
    Fresh,
    KnownMissing,
    Missing,
    Offline,
    PullPolicy,
    Revalidate,
    Stale,
    TagPolicy,
    TagRecord,
    Unknown,
    Verdict,
    is_fresh,
    judge,
    may_serve_stale,
)

NOW = 1_785_585_600.0
DESCRIPTOR = Descriptor("application/vnd.oci.image.index.v1+json", Digest.of(b""), 0)

rules = st.builds(TagPolicy, policy=st.sampled_from(PullPolicy), fresh_for=st.floats(0, 1e9), stale_for=st.floats(0, 1e9))
moments = st.floats(0, 4e9)


def checked(ago: float) -> TagRecord:
    return TagRecord(DESCRIPTOR, NOW - ago)


@pytest.mark.parametrize(
    ("policy", "ago", "verdict"),
    [
        pytest.param(PullPolicy.ALWAYS, None, Unknown, id="always: unknown"),
        pytest.param(PullPolicy.ALWAYS, 0, Fresh, id="always: just checked"),
        pytest.param(PullPolicy.ALWAYS, 299, Fresh, id="always: a moment before its time"),
        pytest.param(PullPolicy.ALWAYS, 300, Revalidate, id="always: when its time has come"),
        pytest.param(PullPolicy.ALWAYS, 900 * DAY, Revalidate, id="always: years old"),
        pytest.param(PullPolicy.ALWAYS, -299, Fresh, id="always: checked in a near future"),
        pytest.param(PullPolicy.ALWAYS, -300, Revalidate, id="always: checked in a far future"),
        pytest.param(PullPolicy.ON_FAILURE, None, Unknown, id="on-failure: unknown"),
        pytest.param(PullPolicy.ON_FAILURE, 0, Fresh, id="on-failure: just checked"),
        pytest.param(PullPolicy.ON_FAILURE, 300, Stale, id="on-failure: when its time has come"),
        pytest.param(PullPolicy.ON_FAILURE, 900 * DAY, Stale, id="on-failure: years old"),
        pytest.param(PullPolicy.IF_NOT_PRESENT, None, Unknown, id="if-not-present: unknown"),
        pytest.param(PullPolicy.IF_NOT_PRESENT, 900 * DAY, Fresh, id="if-not-present: years old"),
        pytest.param(PullPolicy.NEVER, None, Offline, id="never: unknown"),
        pytest.param(PullPolicy.NEVER, 900 * DAY, Fresh, id="never: years old"),
    ],
)
def test_each_policy_has_its_verdict(policy: PullPolicy, ago: float | None, verdict: type[Verdict]) -> None:
    record = None if ago is None else checked(ago)
    assert type(judge(record, TagPolicy(policy=policy, fresh_for=300), NOW)) is verdict


@pytest.mark.parametrize(
    ("policy", "ago", "verdict"),
    [
        pytest.param(PullPolicy.ALWAYS, None, Unknown, id="always: unknown"),
        pytest.param(PullPolicy.ALWAYS, 299, Fresh, id="always: a moment before its time"),
        pytest.param(PullPolicy.ALWAYS, 300, Stale, id="always: when its time has come"),
        pytest.param(PullPolicy.ALWAYS, 399, Stale, id="always: a moment before it is too stale"),
        pytest.param(PullPolicy.ALWAYS, 400, Revalidate, id="always: too stale"),
        pytest.param(PullPolicy.ON_FAILURE, 400, Stale, id="on-failure: too stale"),
        pytest.param(PullPolicy.IF_NOT_PRESENT, 400, Fresh, id="if-not-present: too stale"),
        pytest.param(PullPolicy.NEVER, None, Offline, id="never: unknown"),
    ],
)
def test_nobody_waits_for_an_upstream_that_is_down_while_a_record_may_stand_in(
    policy: PullPolicy, ago: float | None, verdict: type[Verdict]
) -> None:
    record = None if ago is None else checked(ago)
    assert type(judge(record, TagPolicy(policy=policy, fresh_for=300, stale_for=100), NOW, is_down=True)) is verdict


@pytest.mark.parametrize(
    ("ago", "verdict"),
    [
        pytest.param(None, Unknown, id="unknown"),
        pytest.param(1799, Fresh, id="fresh for six times as long"),
        pytest.param(1800, Stale, id="when that time has come"),
        pytest.param(10_300, Revalidate, id="too stale"),
    ],
)
def test_while_pulls_are_scarce_records_stand_in(ago: float | None, verdict: type[Verdict]) -> None:
    record = None if ago is None else checked(ago)
    assert type(judge(record, TagPolicy(fresh_for=300, stale_for=10_000), NOW, is_scarce=True)) is verdict


@pytest.mark.parametrize(
    ("policy", "ago", "missing_ago", "verdict"),
    [
        pytest.param(PullPolicy.ALWAYS, None, 9, KnownMissing, id="unknown"),
        pytest.param(PullPolicy.ALWAYS, None, 10, Unknown, id="unknown, said too long ago"),
        pytest.param(PullPolicy.ALWAYS, None, -10, Unknown, id="unknown, said in the future"),
        pytest.param(PullPolicy.ALWAYS, 1, 0, KnownMissing, id="gone since it was checked"),
        pytest.param(PullPolicy.IF_NOT_PRESENT, None, 0, KnownMissing, id="if-not-present: unknown"),
        pytest.param(PullPolicy.IF_NOT_PRESENT, 1, 0, Fresh, id="if-not-present: known"),
        pytest.param(PullPolicy.NEVER, None, 0, Offline, id="never: unknown"),
    ],
)
def test_a_tag_that_upstream_does_not_have_is_not_asked_for_again_at_once(
    policy: PullPolicy, ago: float | None, missing_ago: float, verdict: type[Verdict]
) -> None:
    record = None if ago is None else checked(ago)
    rule = TagPolicy(policy=policy, fresh_for=300, missing_for=10)
    assert type(judge(record, rule, NOW, missing=Missing("gone", NOW - missing_ago))) is verdict


@pytest.mark.parametrize("policy", [PullPolicy.ALWAYS, PullPolicy.ON_FAILURE])
def test_fresh_for_no_time_asks_at_every_pull(policy: PullPolicy) -> None:
    assert not isinstance(judge(checked(0), TagPolicy(policy=policy, fresh_for=0), NOW), Fresh)


@given(st.none() | moments.map(lambda moment: TagRecord(DESCRIPTOR, moment)), rules, moments, st.booleans())
def test_never_asks_never_and_an_unknown_tag_is_never_served(record: TagRecord | None, rule: TagPolicy, now: float, is_down: bool) -> None:
    verdict = judge(record, rule, now, is_down=is_down)
    served = isinstance(verdict, Fresh | Stale)
    asked = isinstance(verdict, Stale | Revalidate | Unknown)
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
    fresh = isinstance(judge(record, rule, now), Fresh) and rule.policy in {PullPolicy.ALWAYS, PullPolicy.ON_FAILURE}
    assert may_serve_stale(record, rule, now) or not fresh


@pytest.mark.parametrize(
    ("policy", "denied_ago", "verdict"),
    [
        pytest.param(PullPolicy.ALWAYS, 4, KnownMissing, id="a moment ago"),
        pytest.param(PullPolicy.ALWAYS, 5, Revalidate, id="not a moment ago any more"),
        pytest.param(PullPolicy.ON_FAILURE, 4, KnownMissing, id="on-failure, a moment ago"),
        pytest.param(PullPolicy.IF_NOT_PRESENT, 4, Fresh, id="if-not-present, a moment ago"),
        pytest.param(PullPolicy.ALWAYS, 50, Revalidate, id="since it was checked"),
        pytest.param(PullPolicy.ALWAYS, 100, Revalidate, id="as it was checked"),
        pytest.param(PullPolicy.ALWAYS, 101, Fresh, id="before it was checked"),
        pytest.param(PullPolicy.ON_FAILURE, 50, Revalidate, id="on-failure"),
        pytest.param(PullPolicy.IF_NOT_PRESENT, 50, Fresh, id="if-not-present"),
        pytest.param(PullPolicy.NEVER, 50, Fresh, id="never"),
    ],
)
@pytest.mark.parametrize("is_down", [False, True])
def test_n12_10_what_upstream_refused_is_asked_for_and_not_served_behind(
    policy: PullPolicy, denied_ago: float, verdict: type[Verdict], is_down: bool
) -> None:
    denied = Denied("no", NOW - denied_ago, 403, "DENIED")
    assert type(judge(checked(100), TagPolicy(policy=policy, fresh_for=300), NOW, is_down=is_down, missing=denied)) is verdict


@pytest.mark.parametrize(
    ("denied_ago", "missing_for", "verdict"),
    [(0, 10, KnownMissing), (4, 10, KnownMissing), (5, 10, Unknown), (0, 0, Unknown), (2, 2, Unknown)],
)
def test_n12_15_a_refusal_is_repeated_for_a_moment_and_no_longer_than_an_absence(
    denied_ago: float, missing_for: float, verdict: type[Verdict]
) -> None:
    denied = Denied("no", NOW - denied_ago, 403, "DENIED")
    assert type(judge(None, TagPolicy(missing_for=missing_for), NOW, missing=denied)) is verdict


@pytest.mark.parametrize("missing", [Missing("gone", NOW - 50), Denied("no", NOW - 50, 403, "DENIED")])
def test_n12_10_nothing_stands_in_for_what_upstream_took_back(missing: Missing | Denied) -> None:
    rule = TagPolicy(fresh_for=0, stale_for=DAY)
    assert not may_serve_stale(checked(100), rule, NOW, missing)
    assert may_serve_stale(checked(10), rule, NOW, missing), "it was given again since"


def test_n12_15_a_tag_that_was_given_since_it_was_refused_is_served() -> None:
    denied = Denied("no", NOW - 3, 403, "DENIED")
    assert isinstance(judge(checked(2), TagPolicy(fresh_for=300), NOW, missing=denied), Fresh)


def test_n12_10_a_missing_tag_does_not_end_what_is_served_whatever_its_age() -> None:
    """on-failure: a registry that is rebuilt, and empty, is one of the failures."""
    rule = TagPolicy(policy=PullPolicy.ON_FAILURE, fresh_for=0)
    assert isinstance(judge(checked(100), rule, NOW, missing=Missing("gone", NOW - 50)), Stale)


@given(moments, rules, moments)
def test_a_record_is_fresh_where_the_verdict_is(checked_at: float, rule: TagPolicy, now: float) -> None:
    record = TagRecord(DESCRIPTOR, checked_at)
    assert is_fresh(record, rule, now) is (judge(record, rule, now) == Fresh(record))


def test_a_verdict_carries_what_it_was_found_by() -> None:
    denied = Denied("no", NOW, 403, "DENIED")
    assert judge(checked(0), TagPolicy(), NOW) == Fresh(checked(0))
    assert judge(None, TagPolicy(), NOW, missing=denied) == KnownMissing(denied)


@pytest.mark.parametrize(("policy", "expected"), [(PullPolicy.ALWAYS, False), (PullPolicy.NEVER, True), (PullPolicy.IF_NOT_PRESENT, True)])
def test_an_old_record_is_fresh_only_where_upstream_is_not_asked(policy: PullPolicy, *, expected: bool) -> None:
    rule = TagPolicy(policy=policy, fresh_for=10)
    assert (is_fresh(checked(100), rule, NOW), is_fresh(checked(5), rule, NOW)) == (expected, True)
