"""What counts against a host, and what does not."""

import pytest

from regproxy.policy.routing import Host, Trust, Upstream
from regproxy.policy.upstream.failover import BACKOFF_AFTER_CORRUPT
from regproxy.ports import (
    Corrupt,
    InvalidContent,
    LocalResourceError,
    NotFound,
    Refused,
    Rejected,
    Throttled,
    Unavailable,
    UnexpectedResponse,
    UpstreamError,
)
from regproxy.upstream.health import Health

HOST, OTHER = Host("https://one.test"), Host("https://two.test")
NO_FAULT = [
    NotFound("404"),
    Refused("403"),
    Rejected("451", 451),
    InvalidContent("odd"),
    UnexpectedResponse("a page"),
    LocalResourceError("we"),
]


class Clock:
    """Seconds that pass when told."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def health(clock: Clock) -> Health:
    return Health(Upstream("docker.io", (HOST, OTHER)), clock)


def _rest(health: Health) -> float:
    return next(status.backoff_seconds for status in health.statuses() if status.url == HOST.url)


@pytest.mark.parametrize("error", NO_FAULT, ids=lambda error: type(error).__name__)
def test_n12_10_an_answer_about_one_thing_puts_no_host_to_rest(health: Health, error: UpstreamError) -> None:
    health.failed(HOST, error)
    assert not health.is_backing_off(HOST)


@pytest.mark.parametrize(
    ("error", "rest"),
    [
        pytest.param(Unavailable("500"), 10.0, id="an outage"),
        pytest.param(Throttled("429", 77.0), 77.0, id="as long as it asked"),
        pytest.param(Corrupt("wrong"), BACKOFF_AFTER_CORRUPT, id="wrong bytes"),
    ],
)
def test_n12_10_what_does_not_work_rests(health: Health, error: UpstreamError, rest: float) -> None:
    health.failed(HOST, error)
    assert _rest(health) == rest


@pytest.mark.parametrize("error", NO_FAULT[:4], ids=lambda error: type(error).__name__)
def test_n12_10_a_host_that_answers_no_has_come_back(health: Health, clock: Clock, error: UpstreamError) -> None:
    health.failed(HOST, Unavailable("500"))
    clock.now += 10
    health.asked(HOST)
    assert health.is_backing_off(HOST), "the probe is under way"
    health.failed(HOST, error)
    assert not health.is_backing_off(HOST)


def test_n12_10_a_no_does_not_make_up_for_wrong_bytes(health: Health) -> None:
    health.failed(HOST, Corrupt("wrong"))
    health.failed(HOST, NotFound("404"))
    assert health.is_backing_off(HOST)


def test_n12_10_a_page_makes_others_come_first(health: Health) -> None:
    assert health.candidates(Trust.PULL)[0] is HOST
    health.failed(HOST, UnexpectedResponse("a page"))
    assert health.candidates(Trust.PULL)[0] is OTHER


def _elsewhere(error: UpstreamError, origin: str = "https://cdn.test") -> UpstreamError:
    error.origin = origin
    return error


@pytest.mark.parametrize("error", [Unavailable("500"), Throttled("429", 77.0), Corrupt("wrong")], ids=lambda error: type(error).__name__)
def test_n12_11_who_is_redirected_to_rests_for_blobs_alone(health: Health, error: UpstreamError) -> None:
    health.failed(HOST, _elsewhere(error))
    assert not health.is_backing_off(HOST)
    assert health.candidates(Trust.PULL, for_blob=True)[0] is OTHER
    assert health.candidates(Trust.RESOLVE)[0] is HOST
    assert health.has_others(OTHER) is False
    assert health.senders() == [OTHER]


def test_n12_11_a_host_that_redirects_to_others_is_good_for_blobs_again(health: Health) -> None:
    health.failed(HOST, _elsewhere(Unavailable("500")))
    health.led(HOST, "https://other-cdn.test")
    assert health.candidates(Trust.PULL, for_blob=True)[0] is HOST


def test_n12_11_wrong_bytes_from_elsewhere_make_a_host_unproven(health: Health) -> None:
    health.proven(HOST)
    health.failed(HOST, _elsewhere(Corrupt("wrong")))
    assert not health[HOST].is_proven


def test_n12_11_what_is_remembered_of_origins_is_bounded(health: Health) -> None:
    for number in range(10_000):
        health.failed(HOST, _elsewhere(Unavailable("500"), f"https://{number}.test"))
    assert len(health._elsewhere) <= 256


def test_who_is_trusted_with_tags_alone_sends_nothing() -> None:
    tags_alone = Host("https://three.test", trust=frozenset({Trust.RESOLVE}))
    health = Health(Upstream("docker.io", (tags_alone, HOST)))
    assert health.senders() == [HOST]
    assert not health.has_others(HOST)
