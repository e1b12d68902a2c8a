"""A cache that is bounded by the bytes in it: what others choose the size of must not decide how much memory we need."""

from collections import OrderedDict
from collections.abc import Hashable
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


class SizedCache(Generic[Key, Value]):
    """Keeps what was used last, up to a number of bytes."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._entries: OrderedDict[Key, tuple[Value, int]] = OrderedDict()
        self.bytes = 0

    def get(self, key: Key) -> Value | None:
        found = self._entries.get(key)
        if found is None:
            return None
        self._entries.move_to_end(key)
        return found[0]

    def put(self, key: Key, value: Value, size: int) -> None:
        """Keep *value*, which takes *size* bytes with its key; one that is larger than everything is not kept."""
        self.pop(key)
        if size > self._max_bytes:
            return
        self._entries[key] = (value, size)
        self.bytes += size
        while self.bytes > self._max_bytes:
            _, (_, least) = self._entries.popitem(last=False)
            self.bytes -= least

    def pop(self, key: Key) -> None:
        if (found := self._entries.pop(key, None)) is not None:
            self.bytes -= found[1]

    def __len__(self) -> int:
        return len(self._entries)
