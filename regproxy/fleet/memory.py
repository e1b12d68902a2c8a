"""Adapters of the port Fleet in memory: shared by nothing, or by the workers of one machine."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from regproxy.oci.reference import Reference
from regproxy.policy.clients.proof import Proof, newer
from regproxy.policy.credential import Secret
from regproxy.policy.freshness import TagAnswer, TagRecord
from regproxy.policy.tag_history import History
from regproxy.policy.upstream.tokens import Token
from regproxy.ports import KeyValueStore, Replicas
from regproxy.sized_cache import SizedCache

LONGEST_WAIT = 10.0  # seconds for somebody else's lock: whoever has it is alive, but may be stuck
_MAX_TOKENS_BYTES = _MAX_TAGS_BYTES = 16 * 1024 * 1024  # a token is about 3 KiB, a tag less than one
_MAX_PROOFS_BYTES = 32 * 1024 * 1024  # 40,000 of them
_ENTRY = 512  # bytes of one beside its texts


class NullFleet:
    """Shares nothing, and never waits."""

    async def token(self, key: Secret) -> Token | None:  # noqa: ARG002
        return None

    def put_token(self, key: Secret, token: Token) -> None: ...

    async def tag(self, reference: Reference) -> TagAnswer | None:  # noqa: ARG002
        return None

    def put_tag(self, reference: Reference, record: TagAnswer) -> None: ...

    async def history(self, reference: Reference) -> History:  # noqa: ARG002
        return ()

    def put_history(self, reference: Reference, history: History) -> None: ...

    async def proof(self, key: str) -> Proof | None:  # noqa: ARG002
        return None

    async def put_proof(self, key: str, proof: Proof) -> None: ...

    def end_proofs(self) -> None: ...

    async def end_count(self) -> int | None:
        return None

    @asynccontextmanager
    async def lock(self, name: str) -> AsyncIterator[None]:  # noqa: ARG002
        yield

    async def claim(self, name: str, seconds: float) -> bool:  # noqa: ARG002
        return True

    async def close(self) -> None: ...


class SharedFleet:
    """Values shared by one machine, and beyond it by the other replicas. Values from there come first: they are as new or newer."""

    def __init__(self, beyond: Replicas, key_values: KeyValueStore | None = None) -> None:
        """Start empty; *beyond* is asked first, and closed with this. The *key_values* are what this machine keeps for others."""
        self.key_values = key_values
        self._beyond = beyond
        self._tokens: SizedCache[Secret, Token] = SizedCache(_MAX_TOKENS_BYTES)
        self._tags: SizedCache[Reference, TagAnswer] = SizedCache(_MAX_TAGS_BYTES)
        self._proofs: SizedCache[str, Proof] = SizedCache(_MAX_PROOFS_BYTES)
        self._locks: dict[str, asyncio.Event] = {}

    async def token(self, key: Secret) -> Token | None:
        return await self._beyond.token(key) or self._tokens.get(key)

    def put_token(self, key: Secret, token: Token) -> None:
        self._tokens.put(key, token, len(key.value) + len(token.value.value) + _ENTRY)
        self._beyond.put_token(key, token)

    async def tag(self, reference: Reference) -> TagAnswer | None:
        return await self._beyond.tag(reference) or self._tags.get(reference)

    def put_tag(self, reference: Reference, record: TagAnswer) -> None:
        said = record.descriptor.media_type if isinstance(record, TagRecord) else record.reason
        self._tags.put(reference, record, len(str(reference)) + len(said) + _ENTRY)
        self._beyond.put_tag(reference, record)

    async def history(self, reference: Reference) -> History:
        """Return what is known beyond this machine: here all have the same index."""
        return await self._beyond.history(reference)

    def put_history(self, reference: Reference, history: History) -> None:
        self._beyond.put_history(reference, history)

    async def proof(self, key: str) -> Proof | None:
        """Return what was asked last, here or beyond: an end counts here before it is written there."""
        beyond = await self._beyond.proof(key)
        return newer(self._proofs.get(key), beyond)

    async def put_proof(self, key: str, proof: Proof) -> None:
        if newer(self._proofs.get(key), proof) is proof:
            self._proofs.put(key, proof, len(key) + len(proof.thing) + len(proof.reason) + _ENTRY)
        await self._beyond.put_proof(key, proof)

    def end_proofs(self) -> None:
        self._beyond.end_proofs()

    async def end_count(self) -> int | None:
        return await self._beyond.end_count()

    @asynccontextmanager
    async def lock(self, name: str) -> AsyncIterator[None]:
        """Hold the lock, or wait until its holder has released it, as all other waiters do.

        They find what was found. Where nothing was, each asks by itself: one after the other, each would wait for all before it.
        """
        if (ended := self._locks.get(name)) is not None:
            await _within(LONGEST_WAIT, ended)
            yield
            return
        ended = self._locks[name] = asyncio.Event()
        try:
            async with self._beyond.lock(name):
                yield
        finally:
            del self._locks[name]
            ended.set()

    async def claim(self, name: str, seconds: float) -> bool:
        return await self._beyond.claim(name, seconds)

    async def close(self) -> None:
        await self._beyond.close()


async def _within(seconds: float, event: asyncio.Event) -> None:
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        pass
