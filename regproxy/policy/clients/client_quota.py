"""What one client may use: bytes a second, connections, a share of the store. Who has no quota uses what there is."""

from collections.abc import Sequence
from dataclasses import dataclass

from regproxy.policy.clients.identity import matches
from regproxy.policy.clients.sharing import client_key
from regproxy.policy.clients.token_bucket import Rate

_MIN_PIECE = 16 * 1024  # bytes; each costs a look at a clock and a lock
_MAX_PIECE = 1024 * 1024
_PIECES = 8  # a second: a client that is slowed down sees bytes come all the time


@dataclass(frozen=True, slots=True)
class ClientQuota:
    """The quota of each client that *match* names; None: no limit. *store* is bytes, or a fraction of what it may hold."""

    match: str
    rate: int | None = None  # bytes per second
    connections: int | None = None
    store: int | float | None = None

    @property
    def bucket(self) -> Rate | None:
        """How its bytes grow: those of a second may be sent at once."""
        return None if self.rate is None else Rate(self.rate, self.rate)

    @property
    def piece(self) -> int:
        """How many bytes are sent between two looks at the balance."""
        return _MAX_PIECE if self.rate is None else min(max(self.rate // _PIECES, _MIN_PIECE), _MAX_PIECE)


@dataclass(frozen=True, slots=True)
class StoreShare:
    """How much of the store the pulls of *client* may fill: bytes, or a fraction of what it may hold."""

    client: str
    part: int | float

    def most(self, ceiling: int) -> int:
        """Return it in bytes, of a store that may hold *ceiling* bytes."""
        return round(self.part * ceiling) if isinstance(self.part, float) else self.part


@dataclass(frozen=True, slots=True)
class QuotaHolder:
    """Whose quota it is: a client by its name, or whoever comes from an address where nobody has said who it is."""

    text: str
    has_name: bool

    @classmethod
    def of(cls, name: str, address: str) -> "QuotaHolder":
        return cls(name, has_name=True) if name else cls(client_key(address), has_name=False)

    def __str__(self) -> str:
        return f"{'client' if self.has_name else 'address'} {self.text}"


def find_quota(quotas: Sequence[ClientQuota], holder: QuotaHolder) -> ClientQuota | None:
    """Return the first of *quotas* that names *holder*."""
    return next((each for each in quotas if matches((each.match,), holder.text)), None)
