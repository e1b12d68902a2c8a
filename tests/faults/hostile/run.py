"""One run of a fuzzer: how long it lasts, where its randomness comes from, and what it found."""

import asyncio
import os
import random
import time
from collections import Counter
from collections.abc import Coroutine, Sequence
from typing import Any

_MAX_FINDINGS = 6  # of one kind, in full


def seconds_of_a_run() -> float:
    """Read how long a fuzzer runs in all; an hour by hand is REGPROXY_HOSTILE_SECONDS=3600."""
    return float(os.environ.get("REGPROXY_HOSTILE_SECONDS", "60"))


def seed_of_a_run() -> str:
    """Read the seed, or draw a new one."""
    return os.environ.get("REGPROXY_HOSTILE_SEED") or str(random.SystemRandom().randrange(10**9))


class Run:
    """Actors that go on until the time is over, and the broken rules that they report.

    Each actor draws from a stream of its own, by the seed and its name: what it chooses does not depend on how the others are scheduled.
    """

    def __init__(self, seed: str, seconds: float) -> None:
        self._seed = seed
        self._seconds = seconds
        self._began = time.monotonic()
        self._findings: dict[str, list[str]] = {}
        self._counts: Counter[str] = Counter()
        self.done: Counter[str] = Counter()  # what the actors did, so that a run that did nothing is noticed

    @property
    def is_over(self) -> bool:
        return self.elapsed >= self._seconds

    @property
    def elapsed(self) -> float:
        return time.monotonic() - self._began

    def random(self, actor: str) -> random.Random:
        return random.Random(f"{self._seed} {actor}")

    def found(self, rule: str, details: str) -> None:
        """Report that *rule* was broken."""
        self._counts[rule] += 1
        kept = self._findings.setdefault(rule, [])
        if len(kept) < _MAX_FINDINGS:
            kept.append(f"at {self.elapsed:.1f} s: {details}")

    async def act(self, actors: Sequence[Coroutine[Any, Any, None]]) -> None:
        """Begin, and run all actors to their end; an actor that raises fails the run."""
        self._began = time.monotonic()
        async with asyncio.TaskGroup() as group:
            for actor in actors:
                group.create_task(actor)

    def check(self) -> None:
        """Fail with all findings and the seed that cache them."""
        did = f"REGPROXY_HOSTILE_SEED={self._seed}: {dict(self.done)}"
        print(did)  # noqa: T201 -- what an hour by hand came to
        lines = [f"{rule} ({self._counts[rule]} times)\n    " + "\n    ".join(found) for rule, found in self._findings.items()]
        assert not lines, "\n".join([did, *lines])
