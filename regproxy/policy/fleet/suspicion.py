"""Which members are left alone for a while, because they did not answer, were slow or sent wrong bytes; seconds are the caller's."""

import math
from collections.abc import Collection
from dataclasses import dataclass, field

SUSPECTED_FOR = 30.0  # seconds after a member did not answer; twice as long each time that it does not again
CORRUPT_FOR = 600.0  # seconds after it sent wrong bytes: that is no hiccup
_MAX_DOUBLINGS = 3


@dataclass(slots=True)
class _Record:
    until: float = 0.0
    in_a_row: int = 0
    corrupt: int = 0
    reason: str = ""


@dataclass(slots=True)
class Suspicions:
    """What one member holds against others."""

    _records: dict[str, _Record] = field(default_factory=dict)
    _served_at: dict[str, float] = field(default_factory=dict)

    def is_suspected(self, member: str, now: float) -> bool:
        record = self._records.get(member)
        return record is not None and now < record.until

    def reasons(self, now: float) -> dict[str, str]:
        """Return why each member is left alone that is."""
        return {member: record.reason for member, record in self._records.items() if now < record.until}

    def failed(self, member: str, reason: str, now: float) -> bool:
        """Record that *member* did not do what it was asked for, and report whether that is news."""
        record = self._records.setdefault(member, _Record())
        is_news = now >= record.until
        if is_news:
            record.reason = reason
            record.until = now + SUSPECTED_FOR * 2**record.in_a_row
            record.in_a_row = min(record.in_a_row + 1, _MAX_DOUBLINGS)
        return is_news

    def has_served(self, member: str, since: float) -> bool:
        """Whether *member* gave anything *since* then."""
        return self._served_at.get(member, -math.inf) >= since

    def sent_corrupt(self, member: str, now: float) -> None:
        record = self._records.setdefault(member, _Record())
        record.corrupt += 1
        record.reason = "it sent wrong bytes"
        record.until = now + CORRUPT_FOR

    def served(self, member: str, now: float) -> None:
        """Record that *member* gave what it was asked for: it is trusted from now on, unless that is about wrong bytes."""
        self._served_at[member] = now
        record = self._records.get(member)
        if record is not None and not record.corrupt:
            del self._records[member]

    def retain(self, members: Collection[str]) -> None:
        """Forget who is no longer a member."""
        for known in (self._records, self._served_at):
            for gone in known.keys() - set(members):
                del known[gone]
