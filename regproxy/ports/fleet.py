"""What replicas share: it makes us faster, never right."""

from contextlib import AbstractAsyncContextManager
from typing import Protocol

from regproxy.oci.reference import Reference
from regproxy.policy.credential import Secret
from regproxy.policy.freshness import TagAnswer
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


class Locks(Protocol):
    """Whose lock it is. It never raises, and at worst two do the same."""

    def lock(self, name: str) -> AbstractAsyncContextManager[None]:
        """Hold the lock *name*, waiting a limited time for it."""


class Fleet(TokenCache, TagCache, Locks, Protocol):
    """All that replicas share."""

    async def close(self) -> None: ...
