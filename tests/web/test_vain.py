"""Row S37: who guesses names is not asked about upstream for ever."""

from regproxy.policy.allowance import Rate
from regproxy.web.vain import VainQuestions


def test_s37_a_client_has_its_own_allowance() -> None:
    vain = VainQuestions(Rate(10, 5), lambda: 0.0)
    for number in range(5):
        assert vain.refusal("a") is None
        vain.charge("a", f"/{number}")
    refusal = vain.refusal("a")
    assert refusal is not None
    assert (refusal.status, refusal.headers) == (503, {"Retry-After": "1"})
    assert vain.refusal("b") is None


def test_s37_a_name_that_many_ask_for_costs_one_of_them() -> None:
    vain = VainQuestions(Rate(10, 5), lambda: 0.0)
    for _ in range(100):
        vain.charge("a", "/v2/mistyped/manifests/1")
    assert vain.refusal("a") is None
