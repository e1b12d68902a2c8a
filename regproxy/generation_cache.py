"""A cache whose values are valid until a process of this machine begins another generation.

A repeated hit must read no database, yet another process may have removed what this one remembers. So everything is remembered under the
generation it was learnt in (ports.Index), and forgotten with it: comparing two numbers is all that being right costs. What is remembered
longest goes first where there is too much; moving what was used to the end at every hit would cost more than asking again once.
"""

from collections.abc import Callable
from typing import Generic, TypeVar

Key = TypeVar("Key")
Value = TypeVar("Value")


class Memory(Generic[Key, Value]):
    """Values of the present generation, of a limited weight together."""

    def __init__(self, most: int, generation: Callable[[], int], weight: Callable[[Value], int] = lambda _: 1) -> None:
        """Hold *most* bytes, as *weight* counts them, while *generation* returns the same number."""
        self._most = most
        self._present = generation
        self._weight = weight
        self._generation = generation()
        self._values: dict[Key, Value] = {}
        self._total = 0

    def get(self, key: Key) -> Value | None:
        self._renew()
        return self._values.get(key)

    def put(self, key: Key, value: Value, generation: int) -> None:
        """Remember what was learnt since the generation was *generation*, if it still is."""
        self._renew()
        if generation != self._generation:
            return
        self.pop(key)
        self._values[key] = value
        self._total += self._weight(value)
        while self._total > self._most:
            self.pop(next(iter(self._values)))

    def pop(self, key: Key) -> None:
        if key in self._values:
            self._total -= self._weight(self._values.pop(key))

    def clear(self) -> None:
        self._values.clear()
        self._total = 0

    def _renew(self) -> None:
        if (present := self._present()) != self._generation:
            self.clear()
            self._generation = present
