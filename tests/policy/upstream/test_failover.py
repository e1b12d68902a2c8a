from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from regproxy.policy.routing import Host, Trust
from regproxy.policy.upstream import failover
from regproxy.policy.upstream.failover import BACKOFF_AFTER_CORRUPT, BACKOFF_AFTER_FAILURE, EXPLORE_AFTER, Budget, HostRecord, candidates

MIRROR = Host("https://mirror.example", trust=frozenset({Trust.PULL}))
SECOND = Host("https://second.example", trust=frozenset({Trust.PULL}))
ORIGIN = Host("https://registry.example")
HOSTS = [MIRROR, SECOND, ORIGIN]
NOW = 1000.0
UNKNOWN = HostRecord(asked_at=NOW)
BACKING_OFF = failover.failed(UNKNOWN, NOW, "did not answer")


def _records(**known: HostRecord) -> dict[Host, HostRecord]:
    return {MIRROR: known.get("mirror", UNKNOWN), SECOND: known.get("second", UNKNOWN), ORIGIN: known.get("origin", UNKNOWN)}


ORDERS = [
    pytest.param(Trust.PULL, _records(), [MIRROR, SECOND, ORIGIN], id="nothing known: their order"),
    pytest.param(Trust.RESOLVE, _records(), [ORIGIN], id="a tag: the one that is believed"),
    pytest.param(Trust.PULL, _records(mirror=BACKING_OFF), [SECOND, ORIGIN, MIRROR], id="one rests: last"),
    pytest.param(
        Trust.PULL,
        _records(mirror=BACKING_OFF, second=BACKING_OFF, origin=BACKING_OFF),
        [MIRROR, SECOND, ORIGIN],
        id="all rest: all the same",
    ),
    pytest.param(
        Trust.PULL,
        _records(
            mirror=failover.sent_corrupt(replace(UNKNOWN, first_byte=0.001), NOW, "sent wrong bytes"),
            second=BACKING_OFF,
            origin=BACKING_OFF,
        ),
        [SECOND, ORIGIN, MIRROR],
        id="all rest: a liar last",
    ),
    pytest.param(Trust.RESOLVE, _records(origin=BACKING_OFF), [ORIGIN], id="the only one believed rests: never refused"),
    pytest.param(
        Trust.PULL,
        _records(mirror=replace(UNKNOWN, first_byte=0.3), origin=replace(UNKNOWN, first_byte=0.1)),
        [SECOND, ORIGIN, MIRROR],
        id="the quicker answer first, one without figures like the best",
    ),
    pytest.param(
        Trust.PULL,
        _records(mirror=replace(UNKNOWN, first_byte=0.01, rate=1e6), second=replace(UNKNOWN, first_byte=0.2, rate=50e6)),
        [SECOND, ORIGIN, MIRROR],
        id="what counts is when a layer is here",
    ),
    pytest.param(
        Trust.PULL,
        _records(origin=replace(UNKNOWN, first_byte=0.01, rate=1e9)),
        [MIRROR, SECOND, ORIGIN],
        id="one that is known to be good: no better than those before it",
    ),
    pytest.param(
        Trust.PULL,
        _records(mirror=replace(UNKNOWN, first_byte=0.01, rate=1e8), origin=replace(UNKNOWN, first_byte=0.02)),
        [MIRROR, SECOND, ORIGIN],
        id="one that has answered but sent nothing: not quicker for that",
    ),
    pytest.param(
        Trust.PULL,
        _records(mirror=replace(UNKNOWN, first_byte=0.01, rate=1e4)),
        [SECOND, ORIGIN, MIRROR],
        id="one known to be slow: those without figures before it",
    ),
    pytest.param(
        Trust.PULL,
        _records(mirror=replace(UNKNOWN, first_byte=0.01, rate=0.0)),
        [SECOND, ORIGIN, MIRROR],
        id="one that sent nothing",
    ),
    pytest.param(
        Trust.PULL,
        _records(mirror=replace(UNKNOWN, first_byte=0.1), origin=replace(UNKNOWN, asked_at=NOW - EXPLORE_AFTER)),
        [ORIGIN, MIRROR, SECOND],
        id="one nobody has asked for a while: once",
    ),
]


@pytest.mark.parametrize(("need", "records", "asked"), ORDERS)
def test_the_best_host_is_asked_first_and_those_that_failed_last(need: Trust, records: dict[Host, HostRecord], asked: list[Host]) -> None:
    assert candidates(HOSTS, need, records, NOW) == asked


def test_for_the_middle_of_a_blob_a_host_that_only_sends_the_whole_comes_late() -> None:
    records = _records(mirror=replace(UNKNOWN, honours_ranges=False))
    assert candidates(HOSTS, Trust.PULL, records, NOW, from_the_middle=True) == [SECOND, ORIGIN, MIRROR]
    assert candidates(HOSTS, Trust.PULL, records, NOW) == HOSTS


def test_those_the_asker_wants_last_come_last() -> None:
    records = _records(mirror=replace(UNKNOWN, first_byte=0.01, rate=1e9))
    assert candidates(HOSTS, Trust.PULL, records, NOW, last=[MIRROR]) == [SECOND, ORIGIN, MIRROR]


ACTS = st.tuples(st.sampled_from(["answer", "fail", "lie", "refuse to wait"]), st.floats(0, 300))


@given(st.permutations(HOSTS), st.sampled_from(Trust), st.lists(st.tuples(st.sampled_from(HOSTS), ACTS)))
def test_no_host_that_may_answer_is_left_out(hosts: list[Host], need: Trust, history: list[tuple[Host, tuple[str, float]]]) -> None:
    records, now = _records(), NOW
    for host, (act, seconds) in history:
        now += seconds
        records[host] = _after(records[host], act, now)
    assert set(candidates(hosts, need, records, now)) == {host for host in hosts if need in host.trust}


@given(st.lists(ACTS, min_size=1, max_size=30))
def test_no_schedule_starves_a_host_for_ever(acts: list[tuple[str, float]]) -> None:
    """Whatever happened to a host, once its rest is over it is asked first within the time of exploring."""
    records = _records(second=replace(UNKNOWN, first_byte=0.001, rate=1e9), origin=replace(UNKNOWN, first_byte=0.001))
    now = NOW
    for act, seconds in acts:
        now += seconds
        records[MIRROR] = _after(records[MIRROR], act, now)
    clock = max(now, records[MIRROR].backoff_until)
    end = clock + len(HOSTS) * EXPLORE_AFTER
    while (first := candidates(HOSTS, Trust.PULL, records, clock)[0]) is not MIRROR:
        assert clock <= end, "it was never asked again"
        records[first] = failover.answered(failover.asked(records[first], clock), 0.001)
        clock += 10.0


def _after(record: HostRecord, act: str, now: float) -> HostRecord:
    record = failover.asked(record, now)
    match act:
        case "answer":
            return failover.sent(failover.answered(record, 5.0), 1000, 5.0)
        case "fail":
            return failover.failed(record, now, "broke off")
        case "lie":
            return failover.sent_corrupt(record, now, "sent wrong bytes")
    return failover.failed(record, now, "throttles us", 60.0)


def test_a_host_whose_rest_is_over_is_tried_by_one_request_alone() -> None:
    later = NOW + BACKOFF_AFTER_FAILURE
    assert not BACKING_OFF.is_backing_off(later)
    probed = failover.asked(BACKING_OFF, later)
    assert probed.is_backing_off(later)
    assert not failover.answered(probed, 0.1).is_backing_off(later)


def test_each_failure_in_a_row_doubles_the_rest() -> None:
    again = failover.failed(BACKING_OFF, NOW + BACKOFF_AFTER_FAILURE, "did not answer")
    assert again.backoff_until - (NOW + BACKOFF_AFTER_FAILURE) == 2 * BACKOFF_AFTER_FAILURE


def test_a_host_that_says_how_long_it_wants_to_be_left_alone_is_taken_at_its_word() -> None:
    assert failover.failed(UNKNOWN, NOW, "throttles us", 77.0).backoff_until == NOW + 77.0


def test_a_lie_is_resented_longer_than_a_hiccup_and_an_answer_does_not_make_up_for_it() -> None:
    liar = failover.sent_corrupt(UNKNOWN, NOW, "sent wrong bytes")
    assert liar.backoff_until == NOW + BACKOFF_AFTER_CORRUPT
    assert failover.answered(liar, 0.1).is_backing_off(NOW + BACKOFF_AFTER_FAILURE)


def test_failures_fade() -> None:
    assert BACKING_OFF.remembered_failures(NOW + 600) < 0.01 < BACKING_OFF.remembered_failures(NOW)


@given(st.lists(st.booleans()))
def test_extra_requests_stay_a_share_of_the_ordinary_ones(asks: list[bool]) -> None:
    budget = Budget(share=0.1, left=2)
    spent = 0
    for wants in asks:
        budget.earn()
        spent += wants and budget.spend()
    assert spent <= 2 + 0.1 * len(asks)


@given(st.integers(0, 50), st.floats(0, 1, exclude_max=True))
def test_pauses_grow_to_a_bound_and_the_first_attempt_does_not_wait(futile: int, chance: float) -> None:
    assert failover.pause(0, chance) == 0
    assert 0 <= failover.pause(futile, chance) <= 3


@pytest.mark.hedging
def test_a_host_is_given_its_usual_time_before_another_is_asked_too() -> None:
    assert failover.hedge_after(replace(UNKNOWN, first_byte=0.5)) == 1.5
    assert failover.hedge_after(replace(UNKNOWN, first_byte=0.001)) == 0.25
    assert failover.hedge_after(UNKNOWN) == 1.0


def test_a_host_that_answers_has_no_rest_and_its_pace_is_remembered() -> None:
    record = failover.answered(failover.sent(BACKING_OFF, 1000, 0.5), 0.2)
    assert (record.rate, record.first_byte, record.in_a_row) == (2000.0, 0.2, 0)
    assert record.backoff_until < NOW
    assert failover.spoke(BACKING_OFF).backoff_until < NOW


def test_a_response_to_another_question_is_held_against_a_host_without_a_rest() -> None:
    record = failover.disappointed(UNKNOWN, NOW, "sent a page")
    assert (record.last_error, record.backoff_until < NOW) == ("sent a page", True)
    assert candidates(HOSTS, Trust.PULL, _records(mirror=record), NOW)[-1] is MIRROR


def test_asking_again_is_a_share_of_asking_and_never_more_than_at_first() -> None:
    budget = Budget(share=0.5, left=1)
    budget.earn()
    assert (budget.spend(), budget.spend()) == (True, False)
    budget.earn()
    assert not budget.spend()
    budget.earn()
    assert budget.spend()


def test_only_those_who_failed_wait() -> None:
    assert (failover.pause(0, 0.9), failover.pause(1, 0.5), failover.pause(60, 0.5)) == (0.0, 0.2, 2.0)
