"""What a replica shares when there is nobody to share with (port Fleet)."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from regproxy.oci.reference import Reference
from regproxy.policy.freshness import TagRecord
from regproxy.policy.routing import Secret
from regproxy.policy.tokens import Token


class Alone:
    """Knows nothing from others, and waits for nobody."""

    async def token(self, key: Secret) -> Token | None:  # noqa: ARG002
        return None

    def put_token(self, key: Secret, token: Token) -> None: ...

    async def tag(self, reference: Reference) -> TagRecord | None:  # noqa: ARG002
        return None

    def put_tag(self, reference: Reference, record: TagRecord) -> None: ...

    @asynccontextmanager
    async def turn(self, name: str) -> AsyncIterator[None]:  # noqa: ARG002
        yield

    async def close(self) -> None: ...
