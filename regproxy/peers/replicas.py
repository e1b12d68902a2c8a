"""What the members of a fleet share without Redis: tokens, what tags mean, and locks (port Replicas).

Each value and each lock is kept by one member, which a hash of its name chooses, and which can read neither: values open only for who has
the key and knows what they are about. It makes us faster, never right: a member that does not answer is left alone until it does, another
one takes its place, and at worst two ask upstream for the same.

Of upstreams that clients have to show their own credentials (`access: proven`) neither tags nor proofs are shared: a key that lies on
every node must not open to one of them what clients of another have shown. Their tokens are, which open only for who knows the credential.
"""

import asyncio
import logging
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar

from cachetools import LRUCache

from regproxy.fleet.encryption import Encryption
from regproxy.fleet.sealed import SealedFleet
from regproxy.oci.reference import Reference
from regproxy.peers.client import PeerClient
from regproxy.peers.key_values import RemoteKeyValues
from regproxy.peers.reply import BusyError, PeerError
from regproxy.policy.clients.proof import Proof
from regproxy.policy.clock import MonotonicClock, WallClock
from regproxy.policy.fleet.owners import group_of, owners
from regproxy.policy.fleet.ring import Ring
from regproxy.policy.freshness import TagAnswer
from regproxy.policy.tag_history import History
from regproxy.ports import KeyValueStore
from regproxy.telemetry import metrics
from regproxy.telemetry.log import fields

_UNSHARED = frozenset({"access", "proof"})  # kinds of locks whose holders tell nothing beyond their machine
_LEASE = 5  # timeouts that a lock is held for if it is not renewed
_RENEWALS = 3  # of them in that time
_LONGEST_WAIT = 15  # timeouts; a holder whose way upstream is broken must not hold up all others, one after the other
_PROBE = 0.5  # seconds between two tries to reach members that did not answer
_MAX_REMOTES = 1000  # members, of whom it is known what they answered
_MAX_BEHIND = 1000  # calls that nobody waits for, at once

Result = TypeVar("Result")

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class FleetLink:
    """How the members of a ring are asked: by *client*, each within *timeout* seconds."""

    ring: Callable[[], Ring]
    client: PeerClient
    encryption: Encryption
    is_shared: Callable[[str], bool]  # whether members share what tags of an upstream mean
    timeout: float
    remotes: LRUCache[str, KeyValueStore] = field(default_factory=lambda: LRUCache(_MAX_REMOTES))

    @property
    def us(self) -> str:
        return self.ring().us

    def remote(self, member: str) -> KeyValueStore:
        if (found := self.remotes.get(member)) is None:
            found = self.remotes[member] = RemoteKeyValues(self.client, member, self.timeout)
        return found


class MemberFleet(SealedFleet):
    """The members of the fleet that we have joined; before that, nobody."""

    def __init__(self, key_values: KeyValueStore, clock: WallClock = time.time, monotonic: MonotonicClock = time.monotonic) -> None:
        """Keep in *key_values* what is ours to keep."""
        super().__init__(clock)
        self.key_values = key_values
        self._monotonic = monotonic
        self._link: FleetLink | None = None
        self._known: tuple[Ring, Ring] | None = None  # all members, and those of them that share with us
        self._left_alone: set[str] = set()  # members that did not answer
        self._behind: set[asyncio.Task[None]] = set()
        self._probing: asyncio.Task[None] | None = None

    def join(self, link: FleetLink) -> None:
        """Ask the members of *link* from now on."""
        self._link = link
        self._left_alone.clear()

    async def leave(self) -> None:
        """Ask nobody any more."""
        await self.settled()
        self._link = None
        if self._probing is not None:
            self._probing.cancel()
            await asyncio.gather(self._probing, return_exceptions=True)

    async def settled(self) -> None:
        """Wait until nothing is under way that nobody waits for."""
        if self._behind:
            await asyncio.wait(list(self._behind))

    async def close(self) -> None:
        await self.leave()

    async def tag(self, reference: Reference) -> TagAnswer | None:
        return await super().tag(reference) if self._is_shared(reference) else None

    def put_tag(self, reference: Reference, record: TagAnswer) -> None:
        if self._is_shared(reference):
            super().put_tag(reference, record)

    async def history(self, reference: Reference) -> History:
        return await super().history(reference) if self._is_shared(reference) else ()

    def put_history(self, reference: Reference, history: History) -> None:
        if self._is_shared(reference):
            super().put_history(reference, history)

    async def proof(self, key: str) -> Proof | None:  # noqa: ARG002
        return None

    async def put_proof(self, key: str, proof: Proof) -> None: ...

    def end_proofs(self) -> None: ...

    async def end_count(self) -> int | None:
        """Return None: proofs are not shared."""
        return None

    @asynccontextmanager
    async def lock(self, name: str) -> AsyncIterator[None]:
        """Hold a lock, or wait until its holder has released it, as all other waiters do: they find what was found."""
        link = self._link
        if link is None or not self._is_found_by_all(link, name):
            yield
            return
        place, ticket = link.encryption.names(f"lock {name}")[0], secrets.token_hex(16)
        holding = None
        if (owner := await self._ask(place, partial(self._taken, link, place, ticket), otherwise=None)) is not None:
            holding = asyncio.create_task(self._hold(link, owner, place, ticket), name="fleet lock")
        try:
            yield
        finally:
            if owner is not None and holding is not None:
                holding.cancel()
                before = list(self._behind)  # who waits is to find what was put
                self._go_on(self._released(before, owner, place, ticket))

    async def claim(self, name: str, seconds: float) -> bool:
        """Claim *name* where its owner answers; where it does not, everybody does by itself."""
        if (link := self._link) is None:
            return True
        place, ticket = link.encryption.names(f"claim {name}")[0], secrets.token_hex(16)
        return await self._ask(place, lambda owner: owner.take(place, ticket, seconds, link.us), otherwise=True)

    @property
    def _encryption(self) -> Encryption | None:
        return self._link.encryption if self._link is not None else None

    def _is_found_by_all(self, link: FleetLink, lock: str) -> bool:
        """Report whether what is found under a *lock* is shared: else nobody here would be better off for having waited."""
        kind, _, about = lock.partition(" ")
        return kind not in _UNSHARED and (kind != "tag" or link.is_shared(about.partition("/")[0]))

    def _is_shared(self, reference: Reference) -> bool:
        return self._link is not None and self._link.is_shared(reference.repository.registry)

    def _places(self, encryption: Encryption, kind: str, text: str) -> Sequence[str]:
        return encryption.names(f"{kind} {text}")

    async def _read(self, places: Sequence[str]) -> Sequence[object]:
        return await asyncio.gather(*(self._ask(place, partial(_got, place), otherwise=None) for place in places))

    def _write(self, place: str, sealed: bytes, life: int) -> None:
        if (link := self._link) is not None:
            self._go_on(self._ask(place, lambda owner: owner.put(place, sealed, life, link.us), otherwise=None))

    async def _ask(self, place: str, call: Callable[[KeyValueStore], Awaitable[Result]], *, otherwise: Result) -> Result:
        """Return what the owner of *place* answers; *otherwise* where none does."""
        if (link := self._link) is None:
            return otherwise
        for member in owners(self._group(link.ring()), place, self._left_alone.__contains__):
            if member == link.us:
                return await call(self.key_values)
            try:
                found = await call(link.remote(member))
            except BusyError:
                metrics.FLEET_SHARING.labels("busy").inc()
                return otherwise
            except PeerError as error:
                self._failed(member, error)
            else:
                metrics.FLEET_SHARING.labels("ok").inc()
                return found
        return otherwise

    def _group(self, ring: Ring) -> Ring:
        if self._known is None or self._known[0] is not ring:
            self._known = ring, group_of(ring)
        return self._known[1]

    async def _taken(self, link: FleetLink, place: str, ticket: str, owner: KeyValueStore) -> KeyValueStore | None:
        """Take a lock; None where somebody has released it, or takes too long: then we go on without it."""
        deadline = self._monotonic() + _LONGEST_WAIT * link.timeout
        try:
            while not await owner.take(place, ticket, _LEASE * link.timeout, link.us):
                left = deadline - self._monotonic()
                if left <= 0 or await owner.wait(place, left, link.us):
                    return None
        except BaseException:
            self._go_on(self._released((), owner, place, ticket))  # it may be ours without our knowing
            raise
        return owner

    async def _hold(self, link: FleetLink, owner: KeyValueStore, place: str, ticket: str) -> None:
        """Renew a lock for as long as the member that keeps it answers."""
        is_ours = True
        with suppress(BusyError, PeerError):
            while is_ours:
                await asyncio.sleep(_LEASE * link.timeout / _RENEWALS)
                is_ours = await owner.take(place, ticket, _LEASE * link.timeout, link.us)

    async def _released(self, before: Sequence[asyncio.Task[None]], owner: KeyValueStore, place: str, ticket: str) -> None:
        if before:
            await asyncio.wait(before)
        with suppress(BusyError, PeerError):
            await owner.release(place, ticket)

    def _failed(self, member: str, error: PeerError) -> None:
        """Leave *member* alone until it answers again."""
        if not error.is_suspect:
            return
        metrics.FLEET_SHARING.labels("failed").inc()
        if member not in self._left_alone:
            self._left_alone.add(member)
            _log.warning(
                "a member of the fleet shares no tags and tokens: continuing without it", extra=fields(member=member, reason=str(error))
            )
        if self._probing is None or self._probing.done():
            self._probing = asyncio.create_task(self._probe(), name="fleet probe")

    async def _probe(self) -> None:
        """Try to reach those that are left alone, until nobody is."""
        while self._left_alone and (link := self._link) is not None:
            await asyncio.sleep(_PROBE)
            self._left_alone.intersection_update(link.ring().members)
            for member in sorted(self._left_alone):
                with suppress(BusyError, PeerError):
                    await link.remote(member).get(link.encryption.names("probe")[0])
                    self._left_alone.discard(member)
                    _log.info("a member of the fleet shares tags and tokens again", extra=fields(member=member))

    def _go_on(self, work: Coroutine[Any, Any, None]) -> None:
        """Do *work* that nobody waits for, unless too much of it is under way."""
        if len(self._behind) >= _MAX_BEHIND:
            work.close()
            return
        task = asyncio.create_task(work, name="fleet behind")
        self._behind.add(task)
        task.add_done_callback(self._behind.discard)


async def _got(place: str, owner: KeyValueStore) -> bytes | None:
    return await owner.get(place)
