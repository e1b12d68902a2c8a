"""Upstreams that keep a question about a tag waiting: who asks next is not to wait as long again."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager


class Overdue:
    """The upstreams whose answer is overdue, until any answer of theirs comes. One question at a time then finds out whether it does."""

    def __init__(self, answer: type[Exception]) -> None:
        """Count exceptions that are an *answer* as such: upstream said no."""
        self._answer = answer
        self._overdue: set[str] = set()
        self._asked: Counter[str] = Counter()

    def __contains__(self, upstream: str) -> bool:
        return upstream in self._overdue

    def add(self, upstream: str) -> None:
        """Note that somebody has waited in vain."""
        self._overdue.add(upstream)

    def may_ask(self, upstream: str) -> bool:
        """Report whether to ask behind an answer: not while a question to an upstream that is overdue is out."""
        return upstream not in self._overdue or not self._asked[upstream]

    @contextmanager
    def asking(self, upstream: str) -> Iterator[None]:
        """Ask; whatever is answered, a refusal too, ends that it is overdue."""
        self._asked[upstream] += 1
        try:
            yield
        except self._answer:
            self._overdue.discard(upstream)
            raise
        else:
            self._overdue.discard(upstream)
        finally:
            self._asked[upstream] -= 1
