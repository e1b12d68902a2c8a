"""Values that go with those of another mapping, and live no longer than they do."""

from collections.abc import Callable, Iterator, Mapping
from typing import Generic, TypeVar

Source = TypeVar("Source")
Value = TypeVar("Value")


class Derived(Mapping[str, Value], Generic[Source, Value]):
    """What is made of the values of another mapping, each when it is asked for; anew where the other's value has become another one."""

    def __init__(
        self, source: Mapping[str, Source], make: Callable[[str, Source], Value], has: Callable[[str], bool] = lambda _: True
    ) -> None:
        """Make values of those of *source* with *make*, where it *has* their names."""
        self._source = source
        self._make = make
        self._has = has
        self._made: dict[str, tuple[Source, Value]] = {}  # no more than the source has, and one that it had

    def __getitem__(self, name: str) -> Value:
        if not self._has(name):
            raise KeyError(name)
        of = self._source[name]
        known = self._made.get(name)
        if known is None or known[0] is not of:
            listed = set(self._source)
            self._made = {each: made for each, made in self._made.items() if each in listed}
            known = self._made[name] = of, self._make(name, of)
        return known[1]

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and self._has(name) and name in self._source

    def __iter__(self) -> Iterator[str]:
        return filter(self._has, self._source)

    def __len__(self) -> int:
        return sum(1 for _ in self)
