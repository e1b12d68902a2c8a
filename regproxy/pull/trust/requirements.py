"""Serve what is signed as the configuration requires.

What was found is remembered by digest and policy, so that another rule or another key is another question. A signature proves a digest,
wherever it comes from and whatever tag means it: content that is stale, frozen, imported or was asked of a peer is no exception.
"""

import asyncio
import logging
from contextlib import aclosing, suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeAlias, assert_never

from cachetools import TTLCache

from regproxy import large
from regproxy.asker import Asker, asker
from regproxy.flights import Flights
from regproxy.generation_cache import Memory
from regproxy.oci import errors
from regproxy.oci.digest import Digest
from regproxy.oci.document import parse_json
from regproxy.oci.errors import RegistryError
from regproxy.oci.manifest import Manifest, parse_descriptor
from regproxy.oci.reference import Reference, Repository, Target
from regproxy.policy.clock import WallClock
from regproxy.policy.requirement import Exemption, RequireMode, exemption, layers_of, requirement_of
from regproxy.policy.routing import Route
from regproxy.ports import Index, UpstreamError
from regproxy.pull.manifest_cache import Pulled
from regproxy.pull.trust.keyring import AcceptedKeys, KeyRing
from regproxy.pull.trust.signatures import MAX_SIGNATURES, Fetch, Search, Signatures, SignedPayload
from regproxy.telemetry import metrics
from regproxy.telemetry.log import fields
from regproxy.trust.bundle import MAX_BUNDLE_BYTES, Bundle, verify_bundle
from regproxy.trust.signed_json import InvalidSignature
from regproxy.trust.simple_signing import verify_payload

_MAX_REMEMBERED = 100_000  # digests that were found to be signed, some 30 MB
_MAX_REFUSED = 10_000  # digests
_REFUSED_FOR = 10.0  # seconds until signatures are looked for again: what was signed a moment ago is to be served soon
_RETRY_AFTER = 5  # seconds
_SEARCH_TIMEOUT = 60.0  # seconds for all signatures of a digest: a registry may list many, and give each slowly
_UNREACHABLE_FOR = 5.0  # seconds that nobody waits once more for an upstream that did not answer
_MAX_PARENTS = 4  # indexes that may have brought a manifest
_MAX_FOUND = 3  # of what was found that a client is told
_MAX_REASON = 300  # characters

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Signed:
    """It may be served, as what it lists may be, and why."""

    why: str


@dataclass(frozen=True, slots=True)
class Exempt:
    """It may be served, as nothing runs it; it proves nothing of what it lists."""

    why: str


@dataclass(frozen=True, slots=True)
class Unsigned:
    """No signature is right; what was found instead."""

    found: str


@dataclass(frozen=True, slots=True)
class Unverifiable:
    """Nobody can tell now: upstream did not give its signatures."""

    reason: str


Verdict: TypeAlias = Signed | Exempt | Unsigned | Unverifiable
_Key: TypeAlias = tuple[Repository, Digest, str, bool, Asker | None]  # whether as an index that may sign what it lists; for whom


class Requirements:
    """Judges manifests by the rules for their repositories."""

    def __init__(self, keyring: KeyRing, signatures: Signatures, index: Index, clock: WallClock) -> None:
        """Judge by the keys of *keyring*; *index* remembers what was found; *clock* returns epoch seconds."""
        self._keyring = keyring
        self._signatures = signatures
        self._index = index
        self._known: Memory[tuple[Digest, str], Signed | Exempt] = Memory(_MAX_REMEMBERED, lambda: index.generation)
        self._refused: TTLCache[_Key, Unsigned] = TTLCache(_MAX_REFUSED, _REFUSED_FOR, clock)
        self._unreachable: TTLCache[_Key, Unverifiable] = TTLCache(_MAX_REFUSED, _UNREACHABLE_FOR, clock)
        self._flights: Flights[_Key, Verdict] = Flights()

    async def close(self) -> None:
        """End what is asked of upstream."""
        await self._flights.close()

    async def check(self, route: Route, target: Target, pulled: Pulled, fetch: Fetch) -> Pulled:
        """Return *pulled* where it may be served, with a warning where a rule only warns; raise `RegistryError`.

        *fetch* pulls manifests of signatures.
        """
        rule = requirement_of(route.upstream.require, route.repository.name)
        if rule is None:
            return pulled
        verdict = await self.judge(route, pulled.manifest, fetch)
        if isinstance(verdict, Signed | Exempt):
            return pulled
        reference, is_unsigned = Reference(route.repository, target), isinstance(verdict, Unsigned)
        found = verdict.found if isinstance(verdict, Unsigned) else verdict.reason
        details = fields(reference=str(reference), digest=str(pulled.manifest.descriptor.digest), found=found, demanded=str(rule))
        is_served = rule.mode is RequireMode.WARN
        outcome = "warned" if is_served else "refused" if is_unsigned else "unreachable"
        metrics.SIGNATURES.labels(route.upstream.name, outcome).inc()
        if is_unsigned:
            message = f"{reference} is not signed as configured: demanded is {rule}; found: {found}"
        else:
            message = f"the signature of {reference} cannot be verified: upstream does not give it: {found}"
        if is_served:
            _log.warning("served without a valid signature", extra=details)
            return replace(pulled, warning=f"{pulled.warning}; {message}" if pulled.warning else message)
        _log.warning("refused without a valid signature", extra=details)
        raise errors.denied(message) if is_unsigned else errors.unavailable(message, _RETRY_AFTER)

    async def judge(self, route: Route, manifest: Manifest, fetch: Fetch) -> Verdict:
        """Return whether a manifest may be served; one of a repository without a rule may be."""
        rule = requirement_of(route.upstream.require, route.repository.name)
        while rule is not None:
            accepted = self._keyring.accepted(rule)
            verdict = await self._judged(route, accepted, manifest, fetch)
            if self._keyring.accepted(rule) is accepted:  # no key was revoked meanwhile
                return verdict
        return Exempt("no rule requires a signature")

    async def _judged(self, route: Route, accepted: AcceptedKeys, manifest: Manifest, fetch: Fetch, *, is_parent: bool = False) -> Verdict:
        digest, generation = manifest.descriptor.digest, self._index.generation
        known = self._known.get((digest, accepted.policy))
        if known is not None and not (is_parent and isinstance(known, Exempt)):
            return known
        key: _Key = (route.repository, digest, accepted.policy, is_parent, asker.get())
        verdict: Verdict
        if (parent := await self._index.signed(digest, accepted.policy)) is not None:
            verdict = Signed("its signature was verified" if parent == digest else f"{parent}, which lists it, is signed")
            await self._put_signed(parent, accepted, manifest)
        elif (refused := self._refused.get(key) or self._unreachable.get(key)) is not None:
            return refused
        elif is_parent:
            verdict = await self._look(route, accepted, manifest, fetch, is_parent=True)
        else:
            verdict = await self._flights.join(key, lambda: self._look(route, accepted, manifest, fetch))
        match verdict:
            case Signed() | Exempt():
                self._known.put((digest, accepted.policy), verdict, generation)
            case Unsigned():
                self._refused[key] = verdict
            case Unverifiable():
                self._unreachable[key] = verdict
            case _ as never:
                assert_never(never)
        return verdict

    async def _look(self, route: Route, accepted: AcceptedKeys, manifest: Manifest, fetch: Fetch, *, is_parent: bool = False) -> Verdict:
        """Look for what makes a manifest one that may be served: its kind, a signature, an index that is signed."""
        digest, outcomes, search = manifest.descriptor.digest, partial(metrics.SIGNATURES.labels, route.upstream.name), Search()
        if not is_parent and await self._is_exempt(route, manifest, search):
            outcomes("exempt").inc()
            return Exempt("it is a signature, an attestation or another referrer, and cannot be run")
        if (signer := await self._signer(route, accepted, manifest, fetch, search)) is not None:
            outcomes("verified").inc()
            await self._put_signed(digest, accepted, manifest)
            return Signed(f"signed by {signer}")
        for parent in () if is_parent else await self._parents(route, digest, fetch):
            verdict = await self._judged(route, accepted, parent, fetch, is_parent=True)
            if isinstance(verdict, Signed) and digest in await large.parsed(parent.descriptor.size, partial(_listed, parent)):
                outcomes("inherited").inc()
                await self._put_signed(parent.descriptor.digest, accepted, manifest)
                return Signed(f"{parent.descriptor.digest}, which lists it, is signed")
        return Unverifiable(search.unreachable[:_MAX_REASON]) if search.unreachable is not None else Unsigned(_told(search.found))

    async def _signer(self, route: Route, accepted: AcceptedKeys, manifest: Manifest, fetch: Fetch, search: Search) -> str | None:
        digest = manifest.descriptor.digest
        try:
            async with asyncio.timeout(_SEARCH_TIMEOUT), aclosing(self._signatures.of(route, digest, fetch, search)) as candidates:
                async for candidate in candidates:
                    try:
                        return await asyncio.to_thread(_verified, candidate, accepted, digest, manifest.body)
                    except InvalidSignature as error:
                        search.found.append(str(error))
        except TimeoutError:
            search.unreachable = f"its signatures were not read within {_SEARCH_TIMEOUT:g} s"
        return None

    async def _parents(self, route: Route, digest: Digest, fetch: Fetch) -> list[Manifest]:
        """Find indexes that list a manifest: they may have come without being served, by an import or before there was a rule."""
        found: list[Manifest] = []
        for parent in await self._index.parents(route.repository, digest, _MAX_PARENTS):
            with suppress(RegistryError, UpstreamError):
                found.append((await fetch(route, parent)).manifest)
        return found

    async def _put_signed(self, parent: Digest, accepted: AcceptedKeys, manifest: Manifest) -> None:
        """Record that a manifest, and what it lists, are signed by the signature of *parent*."""
        size = manifest.descriptor.size
        async with large.recorded(size):
            listed = await large.parsed(size, partial(_listed, manifest))
            await self._index.put_signed(parent, accepted.policy, [manifest.descriptor.digest, *listed])

    async def _is_exempt(self, route: Route, manifest: Manifest, search: Search) -> bool:
        kind = await large.parsed(manifest.descriptor.size, partial(exemption, manifest))
        if kind is not Exemption.IF_JSON:
            return kind is Exemption.ATTACHED
        layers = layers_of(manifest)
        if len(layers) > MAX_SIGNATURES:
            return False
        try:
            for layer in layers:
                parse_json(await self._signatures.documents.read(route.repository, layer, MAX_BUNDLE_BYTES))
        except (UpstreamError, InvalidSignature) as error:
            search.note(error, str(manifest.descriptor.digest))
            return False
        except ValueError:
            return False
        return True


def _verified(candidate: Bundle | SignedPayload, accepted: AcceptedKeys, digest: Digest, body: bytes) -> str:
    """Return who signed the manifest of *digest* and *body*; raise `InvalidSignature`."""
    if isinstance(candidate, SignedPayload):
        return str(verify_payload(candidate.payload, candidate.signature, digest, accepted.keys))
    if candidate.is_keyless and accepted.keyless is not None:
        accepted.keyless.verify(candidate, digest, body)
        return "one of the identities"
    return str(verify_bundle(candidate, digest, body, accepted.keys))


def _listed(manifest: Manifest) -> list[Digest]:
    """List the manifests that an index lists."""
    listed = manifest.document.get("manifests")
    found = (parse_descriptor(item) for item in (listed if isinstance(listed, list) else ()))
    return [each.digest for each in found if each is not None]


def _told(found: list[str]) -> str:
    """Say what was found, in the words of a client's error."""
    if not found:
        return "no signature"
    kinds = list(dict.fromkeys(found))
    more = f" and {len(kinds) - _MAX_FOUND} others" if len(kinds) > _MAX_FOUND else ""
    return f"{', '.join(kinds[:_MAX_FOUND])[:_MAX_REASON]}{more}"
