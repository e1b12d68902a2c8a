"""One image brought in, as a client that pulls all of it would have it brought in, but as a guest.

It fetches with a share of the connections, lets clients' downloads from the same upstream go first, and stops where an upstream that counts
pulls has few left: these are for clients. It counts as no use, and what it brought is on record as its own: that goes before
anything that is used often.
"""

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from weakref import WeakValueDictionary

from regproxy.fill.fills import Fills
from regproxy.oci import errors
from regproxy.oci.digest import Digest
from regproxy.oci.manifest import Manifest, parse_descriptor
from regproxy.oci.reference import Reference, Target
from regproxy.policy.clients.client_quota import StoreShare
from regproxy.policy.freshness import PullPolicy
from regproxy.policy.platform import Platform, fitting, named
from regproxy.policy.routing import Route, Routes
from regproxy.policy.store.eviction import WARMING
from regproxy.ports import DownloadStatus, Full, Watched
from regproxy.pull.blobs import Blobs
from regproxy.pull.freezes import Freezes
from regproxy.pull.manifest_cache import Pulled
from regproxy.pull.manifests import Manifests
from regproxy.store_shares import store_share
from regproxy.warming.job import WarmImage

_LOOK = 0.5  # seconds between two looks at whether clients download
_MAX_YIELD = 20.0  # seconds that clients may keep one layer waiting: where they always download, warming goes on slowly
_FEW_LEFT = 5.0  # seconds between two looks at whether an upstream lets us pull again
_UNBOUNDED = StoreShare(WARMING, 2**62)  # bytes: who brought it is recorded, and that is all
_SHOWN = 8  # platforms of an index, in an error


class Warmer:
    """Brings images into the store."""

    def __init__(
        self,
        routes: Routes,
        manifests: Manifests,
        blobs: Blobs,
        fills: Fills,
        upstreams: Mapping[str, Watched],
        downloads: Callable[[], Sequence[DownloadStatus]],
        freezes: Freezes,
    ) -> None:
        """Pull by *manifests*, *blobs* and *fills* of its own; *upstreams* and *downloads* are what all workers see and do.

        Tags are looked up each time, but those that *freezes* hold and those whose pull policy is never.
        """
        self._freezes = freezes
        self._routes = routes
        self._manifests = manifests
        self._blobs = blobs
        self._fills = fills
        self._upstreams = upstreams
        self._downloads = downloads
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()  # by upstream

    async def warm(self, image: WarmImage, platforms: Collection[Platform]) -> None:
        """Bring in *image* for *platforms* (none: all), and note in it how far it is.

        Raise `RegistryError`, `UpstreamError` or `StoreError`.
        """
        store_share.set(_UNBOUNDED)  # of this task
        route, reference = self._routes.image(image.name)
        top = await self._manifest(route, reference.target, image)
        image.digest = str(top.descriptor.digest)
        await self._bring_in(route, top, platforms, image)

    def written(self, image: WarmImage) -> None:
        """Bring up to date how much of the layers of *image* is here."""
        route, _ = self._routes.image(image.name)
        for layer in image.layers.values():
            if (fill := self._fills.find(route.repository, Digest.parse(layer.digest))) is not None:
                layer.written = min(fill.written, layer.size)

    async def _bring_in(self, route: Route, manifest: Manifest, platforms: Collection[Platform], image: WarmImage) -> None:
        document = manifest.document
        if "manifests" in document:
            for entry in _chosen(document, platforms, image.name):
                if (found := parse_descriptor(entry)) is not None:
                    child = await self._manifest(route, found.digest, image)
                    await self._bring_in(route, child, (), image)
            return
        layers = {each.digest: each for each in manifest.children()}
        for digest, descriptor in layers.items():
            image.expect(str(digest), descriptor.size)
        for digest in layers:
            await self._yield(route, image)
            await self._blobs.bring_in(route, digest)
            if not await self._blobs.holds(route.repository, digest):
                raise Full(f"the store has no room for {digest}, a layer of {image.name}")
            layer = image.layers[str(digest)]
            layer.written = layer.size

    async def _manifest(self, route: Route, target: Target, image: WarmImage) -> Manifest:
        is_here = isinstance(target, Digest) and await self._manifests.holds(route.repository, target)
        pulled = await (self._pulled(route, target) if is_here else self._counted(route, target, image))
        if not await self._manifests.holds(route.repository, pulled.manifest.descriptor.digest):
            raise Full(f"the store has no room for the manifest {Reference(route.repository, target)}")
        return pulled.manifest

    async def _counted(self, route: Route, target: Target, image: WarmImage) -> Pulled:
        """Pull one manifest at a time from an upstream: each response may say that the next one is a client's."""
        turn = self._turns.setdefault(route.upstream.name, asyncio.Lock())
        while True:
            await self._pulls_left(route, image)
            async with turn:
                if not self._upstreams[route.upstream.name].is_scarce:
                    return await self._pulled(route, target)

    async def _pulled(self, route: Route, target: Target) -> Pulled:
        reference = Reference(route.repository, target)
        if isinstance(target, Digest) or route.upstream.tag_policy(route.repository.name, target.name).policy is PullPolicy.NEVER:
            return await self._manifests.get(route, target)
        if await self._freezes.of(reference) is not None:
            return await self._manifests.get(route, target)
        return await self._manifests.refresh(route, reference, target)

    async def _pulls_left(self, route: Route, image: WarmImage) -> None:
        """Wait while upstream has few pulls left for us."""
        while self._upstreams[route.upstream.name].is_scarce:
            image.reason = f"waits: {route.upstream.name} has few pulls left for us, and these are for clients"
            await asyncio.sleep(_FEW_LEFT)
        image.reason = ""

    async def _yield(self, route: Route, image: WarmImage) -> None:
        """Wait while clients wait for downloads from the same upstream, for a while."""
        for _ in range(int(_MAX_YIELD / _LOOK)):
            if not any(each.followers and each.repository.startswith(f"{route.upstream.name}/") for each in self._downloads()):
                break
            image.reason = "waits: clients download from the same upstream"
            await asyncio.sleep(_LOOK)
        image.reason = ""


def _chosen(document: Mapping[str, object], platforms: Collection[Platform], name: str) -> list[Mapping[str, object]]:
    if chosen := fitting(document, platforms):
        return list(chosen)
    there = sorted({text for entry in fitting(document, ()) if (text := named(entry))})
    wanted = ", ".join(map(str, platforms))
    raise errors.manifest_unknown(f"{name} has no image for {wanted}: it has {', '.join(there[:_SHOWN]) or 'none that say what for'}")
