"""Where the layers of an image come from: which members of the fleet ask upstream for them, and whether the object store holds them."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Protocol

from regproxy.oci.descriptor import Descriptor
from regproxy.oci.digest import Digest
from regproxy.oci.reference import Repository
from regproxy.policy.fleet.cut import MAX_COUNTED, MIB
from regproxy.policy.store import objects
from regproxy.ports import ObjectStore, StoreError
from regproxy.pull.explain.steps import Mark, Step
from regproxy.pull.manifests import Manifests

_MAX_BLOBS = 50  # that are told of one by one
_MAX_IMAGES = 50  # of an index
_MAX_NAMED = 4  # members that are named
_TIMEOUT = 5.0  # seconds for all that the object store is asked


class Owners(Protocol):
    """The members of the fleet."""

    def owners(self, repository: Repository, digest: Digest, size: int) -> Mapping[str, int] | None:
        """Count the pieces at the front of a blob that each member asks upstream for; None where members do not exchange it."""


class Layers:
    """Looks at the layers of images that are stored; nothing is fetched for it."""

    def __init__(self, manifests: Manifests, owners: Owners | None, store: ObjectStore | None) -> None:
        """Ask *owners*, if there is a fleet, and *store*, if there is an object store behind the disk."""
        self._manifests = manifests
        self._owners = owners
        self._store = store

    async def steps(self, repository: Repository, digest: Digest | None, *, is_proven: bool = False) -> list[Step]:
        """Describe the blobs below the manifest *digest*, or say why not; nothing where there is neither fleet nor object store."""
        if self._owners is None and self._store is None:
            return []
        blobs = await self._found(repository, digest) if digest is not None else []
        if not blobs:
            return [Step("blobs", Mark.NOTE, "whose they are is told once a manifest that lists them is here")]
        shown = blobs[:_MAX_BLOBS]
        kept = await self._kept(shown)
        steps = [self._step(repository, blob, there, is_proven=is_proven) for blob, there in zip(shown, kept, strict=True)]
        if len(blobs) > len(shown):
            steps.append(Step("blobs", Mark.NOTE, f"and {len(blobs) - len(shown)} more"))
        return steps

    async def _found(self, repository: Repository, digest: Digest) -> list[Descriptor]:
        """List config and layers below *digest*, or below those images of an index that are here."""
        manifest = await self._manifests.stored(repository, digest)
        if manifest is None:
            return []
        if "manifests" not in manifest.document:
            images = [manifest]
        else:
            listed = manifest.children()[:_MAX_IMAGES]
            images = [image for each in listed if (image := await self._manifests.stored(repository, each.digest)) is not None]
        return list({blob.digest: blob for image in images for blob in image.children()}.values())

    async def _kept(self, blobs: Sequence[Descriptor]) -> list[str | None]:
        """Say of each whether the object store holds it; None where there is none."""
        if self._store is None:
            return [None] * len(blobs)
        asked = [asyncio.create_task(_kept(self._store, each.digest)) for each in blobs]
        await asyncio.wait(asked, timeout=_TIMEOUT)
        for each in asked:
            each.cancel()
        found = await asyncio.gather(*asked, return_exceptions=True)
        return [each if isinstance(each, str) else "the object store does not answer" for each in found]

    def _step(self, repository: Repository, blob: Descriptor, there: str | None, *, is_proven: bool) -> Step:
        parts = [f"{blob.size / MIB:.1f} MiB"]
        if self._owners is not None:
            shared = _shared(self._owners.owners(repository, blob.digest, blob.size))
            parts.append(f"{shared}, where it is public" if is_proven else shared)
        if there is not None:
            parts.append(there)
        return Step(f"blob {blob.digest.hex[:12]}", Mark.NOTE, "; ".join(parts))


async def _kept(store: ObjectStore, digest: Digest) -> str:
    try:
        is_there = await store.head(objects.sums(digest)) is not None
    except StoreError as error:
        return f"the object store does not tell whether it has it: {error}"
    return "in the object store" if is_there else "not in the object store"


def _shared(owners: Mapping[str, int] | None) -> str:
    if owners is None:
        return "members do not exchange it"
    ordered = sorted(owners.items(), key=lambda each: (-each[1], each[0]))
    named = [f"{member} ({count})" for member, count in ordered[:_MAX_NAMED]]
    others = sum(count for _, count in ordered[_MAX_NAMED:])
    if others:
        named.append(f"{len(ordered) - _MAX_NAMED} others ({others})")
    total = sum(owners.values())
    count = f"the first {total} pieces" if total >= MAX_COUNTED else f"{total} piece{'' if total == 1 else 's'}"
    return f"{count}, asked of upstream by {', '.join(named)}"
