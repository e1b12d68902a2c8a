"""Row S37: who guesses names is not asked about upstream for ever."""

import pytest

from regproxy.oci.errors import RegistryError, blob_unknown
from regproxy.policy.clients.token_bucket import Rate
from regproxy.web.not_found_limiter import NotFoundLimiter, Reservation

RATE = Rate(per_second=10, burst=5)


@pytest.fixture
def now() -> list[float]:
    return [0.0]


@pytest.fixture
def limiter(now: list[float]) -> NotFoundLimiter:
    return NotFoundLimiter(RATE, lambda: now[0])


def _asked(limiter: NotFoundLimiter, client: str, name: str) -> Reservation:
    asked = limiter.ask(client, name)
    assert isinstance(asked, Reservation)
    return asked


def test_s37_a_client_has_its_own_allowance(limiter: NotFoundLimiter) -> None:
    for number in range(5):
        _asked(limiter, "a", f"/{number}").end(missing=True)
    refusal = limiter.ask("a", "/5")
    assert isinstance(refusal, RegistryError)
    assert (refusal.status, refusal.headers) == (503, {"Retry-After": "1"})
    _asked(limiter, "b", "/6")


def test_s37_a_name_that_many_ask_for_costs_one_of_them(limiter: NotFoundLimiter) -> None:
    for _ in range(100):
        _asked(limiter, "a", "mistyped").end(missing=True)
    _asked(limiter, "a", "other")


def test_n12_15_what_is_asked_at_once_cannot_be_more_than_the_allowance(limiter: NotFoundLimiter) -> None:
    asked = [limiter.ask("a", f"/{number}") for number in range(400)]
    assert sum(isinstance(each, Reservation) for each in asked) == 5


def test_n12_15_what_was_not_in_vain_is_given_back(limiter: NotFoundLimiter) -> None:
    for number in range(100):
        _asked(limiter, "a", f"/{number}").end()
    asked = [limiter.ask("a", f"/{number}") for number in range(6)]
    assert sum(isinstance(each, Reservation) for each in asked) == 5


def test_n12_15_who_leaves_before_the_answer_has_asked(limiter: NotFoundLimiter) -> None:
    for number in range(5):
        _asked(limiter, "a", f"/{number}").leave()
    assert isinstance(limiter.ask("a", "/5"), RegistryError)


def test_n12_15_that_there_is_no_such_thing_is_remembered_for_a_moment(limiter: NotFoundLimiter, now: list[float]) -> None:
    _asked(limiter, "a", "blob").end(missing=True, answer=blob_unknown("there is none"))
    again = limiter.answer("blob")
    assert again is not None
    assert (again.status, again.message) == (404, "there is none")
    assert again is not limiter.answer("blob"), "an exception that is raised twice grows"
    now[0] = 6.0
    assert limiter.answer("blob") is None


def test_n12_15_a_name_costs_again_once_it_is_forgotten(now: list[float]) -> None:
    slow = NotFoundLimiter(Rate(per_second=0.001, burst=5), lambda: now[0])
    for number in range(5):
        now[0] = 10.0 * number
        _asked(slow, "a", "mistyped").end(missing=True)
    now[0] = 50.0
    assert isinstance(slow.ask("a", "mistyped"), RegistryError)
