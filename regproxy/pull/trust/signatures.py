"""Signatures of a digest as a registry keeps them: bundles that refer to it, and those under the tag that cosign makes of it."""

import json
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from regproxy.oci.descriptor import Descriptor
from regproxy.oci.digest import Digest
from regproxy.oci.errors import RegistryError
from regproxy.oci.manifest import Manifest, parse_descriptor
from regproxy.oci.reference import Tag, Target
from regproxy.policy.routing import Route
from regproxy.ports import Answer, ContentStore, Index, NotFound, Refused, Registry, UpstreamError
from regproxy.pull.manifest_cache import Pulled
from regproxy.pull.trust.documents import Documents
from regproxy.trust.bundle import BUNDLE_TYPES, MAX_BUNDLE_BYTES, Bundle, parse_bundle
from regproxy.trust.signed_json import InvalidSignature
from regproxy.trust.simple_signing import MAX_PAYLOAD_BYTES, signature_tag, signatures_of

MAX_SIGNATURES = 32  # of each kind that are looked at: a registry may list any number
_MAX_BLOBS = 2 * MAX_SIGNATURES  # that are read for a digest, of 1 MiB at most each
_SIGNS = "https://sigstore.dev/cosign/sign/v1"
_PREDICATE = "dev.sigstore.bundle.predicateType"
_LISTED_AS = (
    None,
    *BUNDLE_TYPES,
    "application/vnd.oci.empty.v1+json",  # of a client that lists them by the type of their config
    "application/vnd.dev.cosign.artifact.sig.v1+json",  # of cosign 2 with --registry-referrers-mode=oci-1-1
)

Fetch: TypeAlias = Callable[[Route, Target], Awaitable[Pulled]]


@dataclass(frozen=True, slots=True)
class SignedPayload:
    """A payload and its signature, as cosign 2 keeps them."""

    payload: bytes
    signature: bytes


@dataclass(slots=True)
class Search:
    """What a search found beside candidates: why some are none, and why it could not see all."""

    found: list[str] = field(default_factory=list)
    unreachable: str | None = None
    blobs: int = 0  # that were read

    def note(self, error: Exception, what: str) -> None:
        """Record that *what* could not be read."""
        match error:
            case Refused(whatever_asked=True) | RegistryError(status=500 | 502 | 503 | 504 | 508):
                self.unreachable = f"{what}: {error}"
            case NotFound() | RegistryError(status=404):
                pass
            case Answer() | RegistryError() | InvalidSignature():
                self.found.append(f"{what}: {error}")
            case _:
                self.unreachable = f"{what}: {error}"


class Signatures:
    """Looks for signatures; what it reads is kept."""

    def __init__(self, registries: Mapping[str, Registry], store: ContentStore, index: Index) -> None:
        self._registries = registries
        self._index = index
        self.documents = Documents(registries, store, index)

    async def of(self, route: Route, digest: Digest, fetch: Fetch, search: Search) -> AsyncGenerator[Bundle | SignedPayload, None]:
        """Yield signatures that may be right for *digest*, most likely ones first; *fetch* pulls manifests."""
        for referrer in await self._referrers(route, digest, fetch, search):
            if (manifest := await self._manifest(route, referrer, fetch, search)) is None:
                continue
            async for bundle in self._bundles(route, manifest, search):
                yield bundle
            async for payload in self._payloads(route, manifest, search):
                yield payload
        tag = signature_tag(digest)
        if tag is not None and (manifest := await self._manifest(route, tag, fetch, search)) is not None:
            async for payload in self._payloads(route, manifest, search):
                yield payload

    async def _referrers(self, route: Route, digest: Digest, fetch: Fetch, search: Search) -> list[Digest]:
        """List what may be a signature that refers to *digest*: what says that it is something else comes last."""
        listed = await self._listed(route, digest, fetch, search)
        ranked: list[tuple[int, Digest]] = []
        for item in listed:
            described = parse_descriptor(item)
            kind, notes = item.get("artifactType"), item.get("annotations")
            if described is None or kind not in _LISTED_AS:
                continue
            predicate = notes.get(_PREDICATE) if isinstance(notes, dict) else None
            ranked.append((0 if predicate == _SIGNS else 1 if predicate is None else 2, described.digest))
        return [each for _, each in sorted(ranked, key=lambda pair: pair[0])[:MAX_SIGNATURES]]

    async def _listed(self, route: Route, digest: Digest, fetch: Fetch, search: Search) -> list[dict[str, Any]]:
        """Ask upstream, else take its last answer."""
        key = f"referrers {route.repository} {digest}"
        try:
            listed = await self._registries[route.upstream.name].referrers(route.repository, digest)
        except UpstreamError as error:
            search.note(error, "the list of referrers")  # an earlier one may lack the right signature
            if (known := await self._index.listing(key)) is None:
                return []
            return [item for item in json.loads(known) if isinstance(item, dict)]
        if listed is not None:
            await self._index.put_listing(key, json.dumps(listed).encode())
            return listed
        manifest = await self._manifest(route, Tag(f"{digest.algorithm[:32]}-{digest.hex[:64]}"), fetch, search)
        entries = manifest.document.get("manifests") if manifest is not None else None
        return [item for item in entries if isinstance(item, dict)] if isinstance(entries, list) else []

    async def _manifest(self, route: Route, target: Target, fetch: Fetch, search: Search) -> Manifest | None:
        try:
            return (await fetch(route, target)).manifest
        except (RegistryError, UpstreamError) as error:
            search.note(error, str(target))
            return None

    async def _bundles(self, route: Route, manifest: Manifest, search: Search) -> AsyncGenerator[Bundle, None]:
        for layer in manifest.children()[:MAX_SIGNATURES]:
            if layer.media_type in BUNDLE_TYPES and (body := await self._blob(route, layer, MAX_BUNDLE_BYTES, search)) is not None:
                try:
                    yield parse_bundle(body)
                except InvalidSignature as error:
                    search.note(error, str(layer.digest))

    async def _payloads(self, route: Route, manifest: Manifest, search: Search) -> AsyncGenerator[SignedPayload, None]:
        for each in signatures_of(manifest)[:MAX_SIGNATURES]:
            if (body := await self._blob(route, each.payload, MAX_PAYLOAD_BYTES, search)) is not None:
                yield SignedPayload(body, each.signature)

    async def _blob(self, route: Route, blob: Descriptor, most: int, search: Search) -> bytes | None:
        if search.blobs >= _MAX_BLOBS:
            return None
        search.blobs += 1
        try:
            return await self.documents.read(route.repository, blob, most)
        except (InvalidSignature, UpstreamError) as error:
            search.note(error, str(blob.digest))
            return None
