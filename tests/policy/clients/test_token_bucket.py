"""A token bucket that is spent, and grows again."""

from regproxy.policy.clients.token_bucket import Rate, TokenBucket

RATE = Rate(per_second=2, burst=3)


def test_it_is_spent_and_grows_again() -> None:
    bucket = TokenBucket(3, 0.0)
    pauses = []
    for _ in range(4):
        pauses.append(bucket.pause(RATE, 0.0))
        bucket.spend(RATE, 0.0)
    assert pauses == [0, 0, 0, 0.5]
    assert bucket.pause(RATE, 1.0) == 0


def test_it_grows_no_further_than_the_burst() -> None:
    bucket = TokenBucket(3, 0.0)
    for _ in range(3):
        bucket.spend(RATE, 1000.0)
    assert bucket.pause(RATE, 1000.0) == 0.5


def test_what_is_overspent_is_soon_made_good() -> None:
    bucket = TokenBucket(3, 0.0)
    for _ in range(1000):
        bucket.spend(RATE, 0.0)
    assert bucket.pause(RATE, 0.0) == 1.0


def test_n12_15_what_is_given_back_is_no_more_than_the_burst() -> None:
    bucket = TokenBucket(3, 0.0)
    bucket.spend(RATE, 0.0)
    for _ in range(3):
        bucket.give_back(RATE, 0.0)
    assert bucket.left == 3


def test_n16_05_what_is_owed_is_waited_for_by_who_comes_later_too() -> None:
    bucket = TokenBucket(3, 0.0)
    assert [bucket.owe(RATE, 0.0, 3), bucket.owe(RATE, 0.0, 2), bucket.owe(RATE, 0.0, 2)] == [0, 1, 2]
    bucket.give_back(RATE, 0.0, 2)
    assert bucket.owe(RATE, 1.0, 0) == 0
