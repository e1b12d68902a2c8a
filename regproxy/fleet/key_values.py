"""What this machine keeps in memory for the other members of its fleet (port KeyValueStore)."""

import asyncio
import time
from collections import Counter, OrderedDict
from dataclasses import dataclass, field

from regproxy.policy.clock import MonotonicClock

_MAX_BYTES = 32 * 1024 * 1024  # of values, of all members
_MAX_MEMBER_BYTES = 8 * 1024 * 1024  # of them, of one member: thousands of tags and tokens
_ENTRY = 512  # bytes of a value beside its own
_MAX_LOCKS = 20_000
_MAX_MEMBER_LOCKS = 2_000
_MAX_WAITERS = 20_000
_MAX_MEMBER_WAITERS = 2_000


@dataclass(frozen=True, slots=True)
class _Value:
    """Bytes until when they count, and whose they are."""

    value: bytes
    until: float
    member: str

    @property
    def size(self) -> int:
        return len(self.value) + _ENTRY


@dataclass(slots=True)
class _Lock:
    """A lock as long as it is renewed, and who waits for its release."""

    ticket: str
    until: float
    member: str
    released: asyncio.Event = field(default_factory=asyncio.Event)


class MemoryKeyValues:
    """Values and locks, bounded in all and for each member: where there is no room, nothing is kept, and nobody waits."""

    def __init__(self, clock: MonotonicClock = time.monotonic) -> None:
        """Keep nothing yet."""
        self._clock = clock
        self._values: dict[str, _Value] = {}
        self._names: dict[str, OrderedDict[str, None]] = {}  # of each member's values, the one first that was put longest ago
        self._bytes: Counter[str] = Counter()  # of each member
        self._locks: dict[str, _Lock] = {}
        self._held: Counter[str] = Counter()  # locks of each member
        self._waiters: Counter[str] = Counter()

    @property
    def bytes_kept(self) -> int:
        """Count what values take in memory."""
        return self._bytes.total()

    async def get(self, name: str) -> bytes | None:
        found = self._values.get(name)
        if found is not None and found.until <= self._clock():
            self._drop(name)
            return None
        return found.value if found is not None else None

    async def put(self, name: str, value: bytes, life: float, member: str) -> None:
        """Keep *value*, and for it as many fewer of the oldest of the same *member* as it takes."""
        self._drop(name)
        added = _Value(value, self._clock() + life, member)
        if added.size > _MAX_MEMBER_BYTES:
            return
        while self._bytes[member] + added.size > _MAX_MEMBER_BYTES:
            self._drop(next(iter(self._names[member])))
        while self.bytes_kept + added.size > _MAX_BYTES:
            most, _ = self._bytes.most_common(1)[0]
            self._drop(next(iter(self._names[most])))
        self._values[name] = added
        self._names.setdefault(member, OrderedDict())[name] = None
        self._bytes[member] += added.size

    async def take(self, name: str, ticket: str, life: float, member: str) -> bool:
        """Take a lock; beyond the limits each believes that it has it."""
        now = self._clock()
        lock = self._locks.get(name)
        if lock is not None and lock.ticket == ticket:
            lock.until = now + life
            return True
        if lock is not None and lock.until > now:
            return False
        if lock is not None:
            self._end(name, lock)
        if len(self._locks) >= _MAX_LOCKS or self._held[member] >= _MAX_MEMBER_LOCKS:
            for each, old in [(each, old) for each, old in self._locks.items() if old.until <= now]:
                self._end(each, old)
        if len(self._locks) < _MAX_LOCKS and self._held[member] < _MAX_MEMBER_LOCKS:
            self._locks[name] = _Lock(ticket, now + life, member)
            self._held[member] += 1
        return True

    async def wait(self, name: str, seconds: float, member: str) -> bool:
        """Wait for a lock's release, or its end where it is not renewed; where too many wait, for nothing."""
        if self._waiters.total() >= _MAX_WAITERS or self._waiters[member] >= _MAX_MEMBER_WAITERS:
            return True
        deadline = self._clock() + seconds
        self._waiters[member] += 1
        try:
            while (lock := self._locks.get(name)) is not None:
                left = min(lock.until, deadline) - self._clock()
                if left <= 0:
                    return False
                if await _is_set(lock.released, left):
                    return True
            return True
        finally:
            self._waiters[member] -= 1
            if not self._waiters[member]:
                del self._waiters[member]

    async def release(self, name: str, ticket: str) -> None:
        lock = self._locks.get(name)
        if lock is not None and lock.ticket == ticket:
            self._end(name, lock)
            lock.released.set()

    def _end(self, name: str, lock: _Lock) -> None:
        del self._locks[name]
        self._held[lock.member] -= 1
        if not self._held[lock.member]:
            del self._held[lock.member]

    def _drop(self, name: str) -> None:
        found = self._values.pop(name, None)
        if found is None:
            return
        names = self._names[found.member]
        del names[name]
        self._bytes[found.member] -= found.size
        if not names:
            del self._names[found.member], self._bytes[found.member]


async def _is_set(event: asyncio.Event, seconds: float) -> bool:
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return event.is_set()
    return True
