"""Lists of tags and referrers: asked of upstream each time, remembered for when it is out of reach."""

import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar

from regproxy.oci import errors
from regproxy.oci.digest import Digest
from regproxy.oci.errors import RegistryError
from regproxy.oci.manifest import OCI_INDEX
from regproxy.oci.reference import Tag
from regproxy.policy.routing import Route
from regproxy.ports import Corrupt, Index, NotFound, Registry, TagPage, Throttled, Unavailable
from regproxy.pull.keeping import kept
from regproxy.pull.manifests import Manifests
from regproxy.pull.provenance import Provenance

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class ListedTags:
    """A page of tags and where it came from."""

    page: TagPage
    provenance: Provenance


@dataclass(frozen=True, slots=True)
class ListedReferrers:
    """An image index of referrers and where it came from."""

    body: bytes
    provenance: Provenance


class Listings:
    """Answers listings."""

    def __init__(self, registries: Mapping[str, Registry], index: Index, manifests: Manifests) -> None:
        """Take the ports, and the manifests for referrers that are kept under a tag."""
        self._registries = registries
        self._index = index
        self._manifests = manifests

    async def tags(self, route: Route, last: str, most: int | None) -> ListedTags:
        """List the tags after *last*, at most *most*; raise `RegistryError` or `UpstreamError`."""
        if most == 0:
            return ListedTags(TagPage((), has_more=False), Provenance.HIT)  # distribution-spec: an empty list and no Link
        registry, repository = self._registries[route.upstream.name], route.repository

        async def ask() -> str:
            page = await registry.tags(repository, last, most)
            return json.dumps([page.tags, page.has_more])

        try:
            text, provenance = await self._remembered(f"tags {repository} {most} {last}", ask)
        except NotFound as error:
            raise errors.name_unknown(str(error)) from error
        tags, has_more = json.loads(text)
        return ListedTags(_page(tags, last, most, has_more=has_more), provenance)

    async def referrers(self, route: Route, digest: Digest, artifact_type: str | None) -> ListedReferrers:
        """List what refers to *digest* as an image index, of one *artifact_type* if given."""

        async def ask() -> str:
            return json.dumps(await self._referrers(route, digest))

        text, provenance = await self._remembered(f"referrers {route.repository} {digest}", ask)
        found = [item for item in json.loads(text) if not artifact_type or item.get("artifactType") == artifact_type]
        index = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": found}
        return ListedReferrers(json.dumps(index).encode(), provenance)

    async def _referrers(self, route: Route, digest: Digest) -> list[object]:
        """Ask the API, else read the index that clients keep under a tag where there is none (Referrers Tag Schema)."""
        listed = await self._registries[route.upstream.name].referrers(route.repository, digest)
        if listed is not None:
            return list(listed)
        try:
            pulled = await self._manifests.get(route, Tag(f"{digest.algorithm[:32]}-{digest.hex[:64]}"))
        except RegistryError as error:
            if error.status == 404:
                return []
            raise
        found = pulled.manifest.document.get("manifests")
        return [item for item in found if isinstance(item, dict)] if isinstance(found, list) else []

    async def _remembered(self, key: str, ask: Callable[[], Awaitable[str]]) -> tuple[str, Provenance]:
        """Ask upstream, or recall its last answer where it is out of reach."""
        try:
            text = await ask()
        except (Throttled, Unavailable, Corrupt):
            known = await self._index.listing(key)
            if known is None:
                raise
            return known.decode(), Provenance.STALE
        await kept(self._index.put_listing(key, text.encode()), key)
        return text, Provenance.MISS


def _page(tags: list[str], last: str, most: int | None, *, has_more: bool) -> TagPage:
    """Cut a list to the page asked for: some registries ignore `last` and `n`."""
    after = sorted(tag for tag in tags if tag > last)
    page = after if most is None else after[:most]
    return TagPage(tuple(page), has_more=has_more or len(page) < len(after))
