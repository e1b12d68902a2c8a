"""What replicas share: it makes us faster, never right."""

from contextlib import AbstractAsyncContextManager
from typing import Protocol

from regproxy.oci.reference import Reference
from regproxy.policy.clients.proof import Proof
from regproxy.policy.credential import Secret
from regproxy.policy.freshness import TagAnswer
from regproxy.policy.tag_history import History
from regproxy.policy.upstream.tokens import Token


class TokenCache(Protocol):
    """Tokens that other replicas asked for. It never raises and is never needed."""

    async def token(self, key: Secret) -> Token | None: ...

    def put_token(self, key: Secret, token: Token) -> None:
        """Share a token, behind the answer."""


class TagCache(Protocol):
    """What other replicas found tags to mean. It never raises and is never needed."""

    async def tag(self, reference: Reference) -> TagAnswer | None: ...

    def put_tag(self, reference: Reference, record: TagAnswer) -> None:
        """Share what upstream said, behind the answer."""


class HistoryCache(Protocol):
    """What other replicas have seen tags mean. It never raises and is never needed."""

    async def history(self, reference: Reference) -> History: ...

    def put_history(self, reference: Reference, history: History) -> None:
        """Share what a tag meant, behind the answer."""


class ProofCache(Protocol):
    """What other workers and replicas found credentials to open. It never raises and is never needed."""

    async def proof(self, key: str) -> Proof | None: ...

    async def put_proof(self, key: str, proof: Proof) -> None:
        """Share what upstream answered, unless something later is known; whoever asks after the return finds it."""

    def end_proofs(self) -> None:
        """Tell other replicas, behind the answer, that a proof was ended, so that they look again before they believe one."""

    async def end_count(self) -> int | None:
        """Return a number that changes when a proof was ended; None where that is not known, or others look for it."""


class Locks(Protocol):
    """Whose lock it is. It never raises, and at worst two do the same."""

    def lock(self, name: str) -> AbstractAsyncContextManager[None]:
        """Hold the lock *name*, waiting a limited time for it."""


class Claims(Protocol):
    """Who of several replicas does what is to be done once. It never raises, and at worst several do it."""

    async def claim(self, name: str, seconds: float) -> bool:
        """Report whether *name* is for the caller to do; for the next *seconds* it is for no other replica."""


class Fleet(TokenCache, TagCache, HistoryCache, ProofCache, Locks, Protocol):
    """All that replicas share."""

    async def close(self) -> None: ...


class Replicas(Fleet, Claims, Protocol):
    """All that a whole replica, and none of its workers, shares with others."""


class KeyValueStore(Protocol):
    """What a member of a fleet keeps for the others, under names and as bytes that tell it nothing.

    A lock is held for as long as it is renewed by the *ticket* that it was taken with. *member* is who asks, for the limits of each.
    """

    async def get(self, name: str) -> bytes | None: ...

    async def put(self, name: str, value: bytes, life: float, member: str) -> None:
        """Keep *value* for *life* seconds, if there is room."""

    async def take(self, name: str, ticket: str, life: float, member: str) -> bool:
        """Take the lock *name* for *life* seconds from now on, or hold it for longer; False where another has it."""

    async def wait(self, name: str, seconds: float, member: str) -> bool:
        """Wait for the end of the lock *name*, and report whether it was released; False after *seconds*, or where its holder is gone."""

    async def release(self, name: str, ticket: str) -> None: ...
