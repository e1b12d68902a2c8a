"""Heads of requests in memory that are large, over all connections of a worker: bounded in all and for each client.

A head that is not large is part of what a connection costs, whose number is bounded. A large one counts from its first bytes until its
request is answered; parsed, it takes some three times its size.
"""

from collections import Counter

from regproxy.policy.clients.sharing import Share, client_key

LARGE = 4 * 1024  # bytes; clients of registries send 200 to 500, and a token has two thousand
_MAX_BYTES = Share.of(16 * 1024 * 1024)  # of a worker: 256 heads of the largest kind


class HeadBudget:
    """The bytes of large heads, by client."""

    def __init__(self, share: Share = _MAX_BYTES) -> None:
        self._share = share
        self._taken = 0
        self._held: Counter[str] = Counter()

    def __repr__(self) -> str:
        return f"<HeadBudget {self._taken}/{self._share.most}>"

    def resize(self, address: str, before: int, after: int) -> bool:
        """Change what the client at *address* holds from *before* to *after* bytes; return False, and change nothing, if too much."""
        owner = client_key(address)
        if after > before and not self._share.may_take(self._taken, self._held.get(owner, 0), after - before):
            return False
        self._taken += after - before
        self._held[owner] += after - before
        if not self._held[owner]:
            del self._held[owner]
        return True
