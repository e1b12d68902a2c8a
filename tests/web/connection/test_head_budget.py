"""Large heads in memory."""

from regproxy.policy.clients.sharing import Share
from regproxy.web.connection.head_budget import HeadBudget


def test_a_head_that_ended_is_counted_no_longer() -> None:
    budget = HeadBudget(Share.of(1000))
    for _ in range(100):
        assert budget.resize("10.0.0.1", 0, 100)
        assert budget.resize("10.0.0.1", 100, 0)
    assert repr(budget) == "<HeadBudget 0/1000>"


def test_one_client_leaves_room_for_others_by_whatever_address_of_its_network() -> None:
    budget = HeadBudget(Share.of(1000))
    taken = [budget.resize(f"2001:db8::{number:x}", 0, 100) for number in range(1, 11)]
    assert (taken[0], taken[-1]) == (True, False)
    assert budget.resize("10.0.0.1", 0, 100)


def test_what_is_refused_changes_nothing_and_less_is_never_refused() -> None:
    budget = HeadBudget(Share.of(1000))
    assert budget.resize("10.0.0.1", 0, 300)
    before = repr(budget)
    assert not budget.resize("10.0.0.1", 300, 3000)
    assert repr(budget) == before
    assert budget.resize("10.0.0.1", 300, 200)
