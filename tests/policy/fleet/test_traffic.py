from regproxy.policy.fleet.traffic import MAX_TAKEN, Traffic


def test_n17_10_what_workers_count_adds_up_and_counts_once() -> None:
    worker, total = Traffic(), Traffic()
    for _ in range(2):
        worker.count("a", received=5)
        worker.count("a", sent=1)
        worker.count("b", sent=7)
        total.add(worker.take())
    total.add(worker.take())
    assert (total.of("a"), total.of("b"), total.of("c")) == ((10, 2), (0, 14), (0, 0))


def test_n17_10_a_report_is_bounded_and_nothing_is_lost() -> None:
    worker = Traffic()
    for number in range(MAX_TAKEN + 1):
        worker.count(str(number), sent=1)
    assert [len(worker.take()) for _ in range(3)] == [MAX_TAKEN, 1, 0]


def test_n17_10_bytes_of_who_left_are_forgotten() -> None:
    total = Traffic()
    total.add({"a": (1, 2), "b": (3, 4)})
    total.retain(["b"])
    assert (total.of("a"), total.of("b")) == ((0, 0), (3, 4))
