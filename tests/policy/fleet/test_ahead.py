from regproxy.policy.fleet.ahead import LEAST, WINDOW, adapted


def after(most: int, waited: float, times: int, readers: int = 1) -> int:
    for _ in range(times):
        most = adapted(most, waited, readers)
    return most


def test_n17_13_more_pieces_are_brought_at_once_as_long_as_they_come_soon() -> None:
    assert adapted(LEAST, 0.0, 1) == LEAST + 1
    assert after(LEAST, 0.5, 20) == WINDOW


def test_n17_13_readers_share_them_and_each_has_some() -> None:
    assert after(LEAST, 0.0, 20, readers=3) == WINDOW // 3
    assert after(WINDOW, 0.0, 20, readers=100) == LEAST
    assert after(LEAST, 0.0, 20, readers=0) == WINDOW, "who reads may have left meanwhile"


def test_n17_13_on_a_slow_line_they_come_one_after_the_other() -> None:
    assert adapted(WINDOW, 4.0, 1) == WINDOW // 2
    assert after(WINDOW, 4.0, 20) == 1
    assert after(1, 0.0, 2) == LEAST
