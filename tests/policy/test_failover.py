import pytest
from hypothesis import given
from hypothesis import strategies as st

from regproxy.policy.failover import REST_AFTER_FAILURE, REST_AFTER_LIE, candidates
from regproxy.policy.routing import Host, Trust

MIRROR = Host("https://mirror.example", trust=frozenset({Trust.PULL}))
SECOND = Host("https://second.example", trust=frozenset({Trust.PULL}))
ORIGIN = Host("https://registry.example")
HOSTS = [MIRROR, SECOND, ORIGIN]


@pytest.mark.parametrize(
    ("need", "resting", "asked"),
    [
        pytest.param(Trust.PULL, set(), [MIRROR, SECOND, ORIGIN], id="content, from all in their order"),
        pytest.param(Trust.RESOLVE, set(), [ORIGIN], id="a tag, from the one that is believed"),
        pytest.param(Trust.PULL, {MIRROR}, [SECOND, ORIGIN, MIRROR], id="content, from the one that rests last"),
        pytest.param(Trust.PULL, {MIRROR, ORIGIN}, [SECOND, MIRROR, ORIGIN], id="content, from those that rest last, in their order"),
        pytest.param(Trust.PULL, {MIRROR, SECOND, ORIGIN}, [MIRROR, SECOND, ORIGIN], id="content, although all rest"),
        pytest.param(Trust.RESOLVE, {ORIGIN}, [ORIGIN], id="a tag, although the only one believed rests"),
    ],
)
def test_hosts_are_asked_in_their_order_and_those_that_failed_last(need: Trust, resting: set[Host], asked: list[Host]) -> None:
    assert candidates(HOSTS, need, resting) == asked


def test_a_plain_mirror_is_never_asked_what_a_tag_means() -> None:
    assert candidates([MIRROR, SECOND], Trust.RESOLVE, {SECOND}) == []


@given(st.permutations(HOSTS), st.sampled_from(Trust), st.sets(st.sampled_from(HOSTS)))
def test_no_host_that_may_answer_is_left_out(hosts: list[Host], need: Trust, resting: set[Host]) -> None:
    assert set(candidates(hosts, need, resting)) == {host for host in hosts if need in host.trust}


def test_a_lie_is_resented_longer_than_a_hiccup() -> None:
    assert 0 < REST_AFTER_FAILURE < REST_AFTER_LIE
