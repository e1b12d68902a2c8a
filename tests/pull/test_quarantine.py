from regproxy.pull.quarantine import Ward


def test_a_ward_is_never_fuller_than_it_may_be() -> None:
    ward = Ward(free=10)
    assert ward.take(7)
    assert not ward.take(4)
    assert ward.take(3)
    ward.give_back(7)
    assert ward.take(7)
    assert not ward.take(1)
