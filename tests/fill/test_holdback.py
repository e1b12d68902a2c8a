from regproxy.fill.holdback import HoldbackBudget


def test_a_ward_is_never_fuller_than_it_may_be() -> None:
    budget = HoldbackBudget(free=10)
    assert budget.take(7)
    assert not budget.take(4)
    assert budget.take(3)
    budget.give_back(7)
    assert budget.take(7)
    assert not budget.take(1)
