"""What was learnt and is true until somebody on this machine says otherwise.

A repeated hit must read no database, yet another process may have removed what this one remembers. So everything is remembered under the
generation it was learnt in (ports.Index), and forgotten with it: comparing two numbers is all that being right costs.
"""

from collections.abc import Callable
from typing import Generic, TypeVar

from cachetools import LRUCache

Key = TypeVar("Key")
Value = TypeVar("Value")


class Memory(Generic[Key, Value]):
    """At most so many values, all of the present generation."""

    def __init__(self, most: int, generation: Callable[[], int]) -> None:
        """Take the bound, and who tells the generation."""
        self._values: LRUCache[Key, Value] = LRUCache(most)
        self._present = generation
        self._generation = generation()

    def get(self, key: Key) -> Value | None:
        self._renew()
        return self._values.get(key)

    def put(self, key: Key, value: Value, generation: int) -> None:
        """Remember what was learnt since the generation was *generation*, if it still is."""
        self._renew()
        if generation == self._generation:
            self._values[key] = value

    def pop(self, key: Key) -> None:
        self._values.pop(key, None)

    def _renew(self) -> None:
        if (present := self._present()) != self._generation:
            self._values.clear()
            self._generation = present
