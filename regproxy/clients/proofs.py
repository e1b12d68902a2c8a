"""Which credentials open which repositories: asked of upstream once in a while, and known to all workers.

What is public is found out first, by asking as nobody. A credential is shown to upstream only for what is not, and kept nowhere: what is
remembered of it is its HMAC. An outage is no refusal.
"""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from typing import assert_never

from cachetools import LRUCache

from regproxy.asker import Asker, asker
from regproxy.clients.access_tokens import AccessTokens
from regproxy.clients.admission import Unauthenticated
from regproxy.clients.attempts import Attempts
from regproxy.flights import Flights
from regproxy.generation_cache import Memory
from regproxy.oci import errors
from regproxy.oci.reference import Repository
from regproxy.policy.clients.proof import Finding, Proof, ProofTimes, Proven, Refuted, Unproven, judge, newer
from regproxy.policy.clients.token_bucket import Rate
from regproxy.policy.clock import WallClock
from regproxy.policy.credential import Credential
from regproxy.policy.routing import Upstream
from regproxy.ports import Answer, Fleet, InvalidContent, Kind, NotFound, Refused, Rejected, UpstreamError
from regproxy.telemetry import metrics

Question = Callable[[], Awaitable[object]]
Login = Callable[[], Awaitable[bool | None]]

_MAX_PROOFS = 20_000  # of a worker, of credentials and repositories: some 10 MB
_RETRY_AFTER = 15.0  # seconds between questions while upstream gives no answer
_PRIVATE_FOR = 60.0  # seconds until it is asked again whether a private repository has become public
_LOOK_EVERY = 1.0  # seconds
_MAX_REASON = 300  # characters


@dataclass(frozen=True, slots=True)
class Grant:
    """That a repository may be read, by whom upstream is asked for more of it, and for how long nobody has to be asked again."""

    key: str
    asker: Asker
    until: float = 0.0  # epoch seconds
    generation: int = 0


@dataclass(frozen=True, slots=True)
class Wanted:
    """Something of a repository, by a name that is the same however it is asked for, and how upstream is asked whether it may be had."""

    repository: Repository
    thing: str
    ask: Question
    kind: Kind | None = None  # None: a list of tags


class Proofs:
    """The proofs of all clients."""

    def __init__(
        self,
        called: Callable[[str], Upstream | None],
        fleet: Fleet,
        tokens: AccessTokens,
        generation: Callable[[], int],
        end_generation: Callable[[], None],
        in_vain: Rate,
        logins: Mapping[str, Login],
        clock: WallClock = time.time,
    ) -> None:
        """Share proofs of the upstreams that are *called* so through *fleet*, named by the keys of *tokens*; *clock* returns epoch seconds.

        What this worker remembers counts while *generation* returns the same number; *end_generation* makes all workers look again.
        An address may ask *in_vain* so often. *logins* have an upstream say whether who asks is known there.
        """
        self._called = called
        self._logins = logins
        self._login_flights: Flights[str, bool | None] = Flights()
        self._fleet = fleet
        self._tokens = tokens
        self.generation = self._generation = generation
        self._end_generation = end_generation
        self._clock = clock
        self._until: Memory[str, float] = Memory(_MAX_PROOFS, generation)
        self._proofs: LRUCache[str, Proof] = LRUCache(_MAX_PROOFS)
        self._flights: Flights[tuple[str, str], Proof] = Flights()
        self._attempts = Attempts(in_vain, "too many pulls in vain from this address: wait, and log in with what the registry takes")

    async def prove(self, credential: Credential | None, wanted: Wanted, address: str) -> Grant:
        """Make sure that *wanted* may be had by everybody, or by *credential*.

        Raise `Unauthenticated` where another credential might do, else `RegistryError` or `UpstreamError`.
        """
        public = Grant(self._key(None, wanted.repository), Asker(None))
        own = Grant(self._key(credential, wanted.repository), Asker(credential)) if credential is not None else None
        for grant in (own, public) if own is not None else (public,):
            if (live := self._live(grant)).until:
                return live
        outcome, grant = "error", public
        try:
            generation = self._generation()
            if own is not None and isinstance(self._judged(await self._known(own.key), own, wanted, generation), Proven):
                outcome, grant = "known", own
            else:
                outcome, grant = await self._found(public, own, wanted, address)
        except Unauthenticated:
            outcome = "refused"
            raise
        finally:
            metrics.PROOFS.labels(wanted.repository.registry, outcome).inc()
        return self._live(grant)

    async def login(self, credential: Credential, address: str) -> None:
        """Let the only upstream that wants proofs say whether *credential* is right; raise `Unauthenticated`, or `RegistryError`.

        Of several nobody can tell for which of them it is.
        """
        if len(self._logins) != 1:
            return
        [(name, ask)] = self._logins.items()
        key, now = self._key(credential, name), self._clock()
        judged = judge(await self._known(key), now, self._times(name))
        if isinstance(judged, Unproven):
            self._attempts.check(address)

            async def log_in() -> bool | None:
                asker.set(Asker(credential))  # of this flight
                return await ask()

            found = await self._login_flights.join(key, log_in)
            if found is None:
                return
            if not found:
                self._attempts.charge(address)
            proof = Proof(now, Finding.ALLOWED if found else Finding.WRONG)
            await self._put(key, proof, is_end=False)
            judged = judge(proof, now, self._times(name))
        if isinstance(judged, Refuted):
            raise Unauthenticated(f"{name} refuses this user and password")

    async def refused(self, repository: Repository, error: Answer) -> None:
        """Record that upstream refuses something of *repository* to whom it was asked for: what was proven before has to be shown anew."""
        who = asker.get()
        is_over = isinstance(error, Refused) or (isinstance(error, NotFound) and error.is_repository)
        if who is None or not is_over:
            return
        key = self._key(who.credential, repository)
        known = await self._known(key)
        if known is None or known.finding is Finding.ALLOWED:
            asked_at = self._clock() if known is None else max(self._clock(), known.asked_at)
            await self._put(key, Proof(asked_at, Finding.ENDED), is_end=True)

    async def confirmed(self, repository: Repository, asked_at: float) -> None:
        """Do nothing: what upstream gives to one proves nothing for another."""

    async def run(self, every: float = _LOOK_EVERY) -> None:
        """Look for ever whether another replica has ended a proof; then all workers here look again before they serve anything."""
        known = await self._fleet.end_count()
        while True:
            await asyncio.sleep(every)
            if (count := await self._fleet.end_count()) is None:
                continue
            if known is not None and count != known:
                self._end_generation()
            known = count

    async def close(self) -> None:
        await self._flights.close()
        await self._login_flights.close()

    async def _found(self, public: Grant, own: Grant | None, wanted: Wanted, address: str) -> tuple[str, Grant]:
        """Ask as nobody, and then with the client's credential, as far as what is known does not tell."""
        try:
            proof = await self._asked(public, wanted, address)
            if proof.finding is Finding.ALLOWED:
                return "public", public
        except Rejected:
            raise
        except UpstreamError:  # some registries say of what is private that it does not exist; and a proof may stand in for an outage
            if own is None:
                raise
        if own is None:
            raise Unauthenticated(f"{wanted.repository} is not public: log in with a credential that {wanted.repository.registry} takes")
        proof = await self._asked(own, wanted, address)
        match proof.finding:
            case Finding.ALLOWED:
                return "proven", own
            case Finding.WRONG:
                raise Unauthenticated(f"{wanted.repository.registry} refuses this credential: {proof.reason}")
            case Finding.REFUSED | Finding.ENDED:
                raise errors.denied(f"{wanted.repository} is refused to this credential: {proof.reason}")
            case _ as never:
                assert_never(never)

    async def _asked(self, grant: Grant, wanted: Wanted, address: str) -> Proof:
        """Return what upstream says now, or said a while ago; raise `UpstreamError`."""
        generation, known = self._generation(), await self._known(grant.key)
        if known is not None and not isinstance(self._judged(known, grant, wanted, generation), Unproven):
            return known
        self._attempts.check(address)
        return await self._flights.join((grant.key, wanted.thing), lambda: self._ask(grant, wanted, address))

    async def _ask(self, grant: Grant, wanted: Wanted, address: str) -> Proof:
        asker.set(grant.asker)  # of this flight
        async with self._fleet.lock(f"proof {grant.key}"):
            generation, known = self._generation(), await self._known(grant.key)
            judged = self._judged(known, grant, wanted, generation)
            if known is not None and not isinstance(judged, Unproven):
                return known  # another worker has asked
            asked_at = self._clock()
            finding, reason = Finding.ALLOWED, ""
            try:
                await wanted.ask()
            except InvalidContent:
                pass  # it was given
            except NotFound as error:
                self._attempts.charge(address)
                is_same = known is not None and known.finding is Finding.ALLOWED and known.thing == wanted.thing
                if not error.is_repository and not is_same:
                    raise
                finding, reason = Finding.REFUSED, str(error)
            except Refused as error:
                self._attempts.charge(address)
                finding, reason = Finding.WRONG if error.whatever_asked else Finding.REFUSED, str(error)
            except Answer:
                raise
            except UpstreamError:
                if known is None or not isinstance(judged, Unproven) or not judged.may_stand_in:
                    raise
                self._until.put(grant.key, self._clock() + _RETRY_AFTER, generation)
                return known
            proof = Proof(asked_at, finding, wanted.thing, reason[:_MAX_REASON])
            await self._put(
                grant.key, proof, is_end=finding is not Finding.ALLOWED and known is not None and known.finding is Finding.ALLOWED
            )
            self._judged(proof, grant, wanted, generation)
            return proof

    def _times(self, registry: str, *, is_public: bool = False) -> ProofTimes:
        """Return for how long proofs of a registry count; those of one that is configured no more do not."""
        upstream = self._called(registry)
        if upstream is None:
            return ProofTimes(0.0, 0.0)
        return ProofTimes(upstream.public_for if is_public else upstream.proof_for, upstream.proof_stale_for)

    def _live(self, grant: Grant) -> Grant:
        """Return for how long *grant* counts without asking anybody: until 0 where it does not."""
        generation, until = self._generation(), self._until.get(grant.key)
        return replace(grant, until=until, generation=generation) if until is not None and self._clock() < until else grant

    def _judged(self, proof: Proof | None, grant: Grant, wanted: Wanted, generation: int) -> Proven | Refuted | Unproven:
        """Judge a proof that was looked up since *generation*, and remember one that counts, unless some proof was ended since."""
        is_public = grant.asker.credential is None
        registry, now = wanted.repository.registry, self._clock()
        if is_public and proof is not None and proof.finding is Finding.REFUSED and 0 <= now - proof.asked_at < _PRIVATE_FOR:
            return Refuted(proof)
        judged = judge(proof, now, self._times(registry, is_public=is_public))
        if isinstance(judged, Proven):
            self._until.put(grant.key, judged.until, generation)
        return judged

    async def _known(self, key: str) -> Proof | None:
        return newer(self._proofs.get(key), await self._fleet.proof(key))

    async def _put(self, key: str, proof: Proof, *, is_end: bool) -> None:
        """Share a proof; where it ends another one, every worker looks again before it serves anything."""
        if newer(self._proofs.get(key), proof) is proof:
            self._proofs[key] = proof
        await self._fleet.put_proof(key, proof)
        if is_end:
            self._end_generation()
            self._fleet.end_proofs()

    def _key(self, credential: Credential | None, repository: Repository | str) -> str:
        """Name a credential and a repository, or all of a registry, so that nobody can tell which credential that is."""
        who = [credential.kind.value, credential.username, credential.password.value] if credential is not None else []
        return f"{self._tokens.fingerprint(json.dumps(who).encode())} {repository}" if who else f"public {repository}"
