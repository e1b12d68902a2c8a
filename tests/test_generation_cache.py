"""What a memory promises: it never answers from another generation."""

from regproxy.generation_cache import Memory


class Counter:
    """A generation that a test ends."""

    def __init__(self) -> None:
        self.now = 0

    def __call__(self) -> int:
        return self.now


def test_what_was_put_is_there() -> None:
    memory: Memory[str, int] = Memory(10, Counter())
    memory.put("a", 1, 0)
    assert memory.get("a") == 1
    assert memory.get("b") is None


def test_everything_is_forgotten_with_its_generation() -> None:
    counter = Counter()
    memory: Memory[str, int] = Memory(10, counter)
    memory.put("a", 1, 0)
    counter.now = 1
    assert memory.get("a") is None
    counter.now = 0
    assert memory.get("a") is None


def test_an_answer_that_was_asked_for_in_an_earlier_generation_is_not_remembered() -> None:
    """It may have been given before what ended that generation."""
    counter = Counter()
    memory: Memory[str, int] = Memory(10, counter)
    counter.now = 1
    memory.put("a", 1, 0)
    assert memory.get("a") is None


def test_a_memory_is_bounded_and_forgets_what_it_remembered_longest() -> None:
    memory: Memory[int, int] = Memory(2, Counter())
    memory.put(1, 1, 0)
    memory.put(2, 2, 0)
    memory.put(1, 1, 0)
    memory.put(3, 3, 0)
    assert (memory.get(1), memory.get(2), memory.get(3)) == (1, None, 3)


def test_values_are_weighed() -> None:
    memory: Memory[int, str] = Memory(10, Counter(), len)
    for number, value in enumerate(["aaaa", "bbbb", "cccccc"]):
        memory.put(number, value, 0)
    assert [memory.get(number) for number in range(3)] == [None, "bbbb", "cccccc"]
    memory.put(3, "too much for it", 0)
    assert [memory.get(number) for number in range(4)] == [None] * 4


def test_what_was_forgotten_weighs_nothing() -> None:
    counter = Counter()
    memory: Memory[int, str] = Memory(4, counter, len)
    memory.put(0, "aaaa", 0)
    counter.now = 1
    memory.put(1, "bbbb", 1)
    memory.pop(1)
    memory.put(2, "cc", 1)
    memory.put(3, "dd", 1)
    assert (memory.get(2), memory.get(3)) == ("cc", "dd")


def test_one_value_can_be_forgotten() -> None:
    memory: Memory[str, int] = Memory(10, Counter())
    memory.put("a", 1, 0)
    memory.pop("a")
    memory.pop("a")
    assert memory.get("a") is None
