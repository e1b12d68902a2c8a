"""What operators want kept in an object store, whatever goes: what any member pinned or froze, and all it needs."""

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

from regproxy.behind import documents
from regproxy.behind.documents import Signer
from regproxy.oci.digest import Digest, InvalidDigest
from regproxy.oci.manifest import LIMIT, InvalidManifest, Manifest
from regproxy.policy.freezing import Freeze, covers
from regproxy.policy.store import objects
from regproxy.ports import ObjectStore

_MAX_KEPT = 200_000  # digests, some 40 MB: who pins more evicts nothing


class TooMuch(Exception):
    """More is to be kept than is looked at: nothing goes."""


class Retention:
    """Pins and freezes, read anew each time."""

    def __init__(self, remote: ObjectStore, signer: Signer, configured: Sequence[Freeze]) -> None:
        """Read them from *remote*, beside those *configured* here."""
        self._remote = remote
        self._signer = signer
        self._configured = configured

    async def kept(self) -> set[Digest]:
        """Return all digests that stay; raise `StoreError`, or `TooMuch`."""
        kept: set[Digest] = set()
        roots = await self._pins()
        freezes = [*self._configured, *await self._freezes()]
        roots += [freeze.digest for freeze in freezes if freeze.digest is not None]
        patterns = [freeze.pattern for freeze in freezes if freeze.digest is None]
        roots += await self._frozen_tags(patterns) if patterns else []
        while roots:
            if (digest := roots.pop()) in kept:
                continue
            if len(kept) >= _MAX_KEPT:
                raise TooMuch(f"more than {_MAX_KEPT} pinned or frozen things: nothing is evicted")
            kept.add(digest)
            roots += await self._children(digest)
        return kept

    async def _pins(self) -> list[Digest]:
        return [digest async for path in self._paths(objects.PINS) if (digest := await self._pin(path)) is not None]

    async def _pin(self, path: str) -> Digest | None:
        document = await self._signed(path)
        return objects.digest_of(path) if document is not None else None

    async def _freezes(self) -> list[Freeze]:
        found = []
        async for path in self._paths(objects.FREEZES):
            document = await self._signed(path) or {}
            try:
                found.append(Freeze(str(document["pattern"]), Digest.parse(document["digest"]) if document["digest"] else None))
            except (KeyError, TypeError, InvalidDigest):
                continue
        return found

    async def _frozen_tags(self, patterns: Sequence[str]) -> list[Digest]:
        found = []
        async for path in self._paths(objects.TAGS):
            repository, _, name = path.removeprefix(objects.TAGS).partition("/_/")
            if any(covers(pattern, f"{repository}:{name}") for pattern in patterns):
                tag = documents.tag_with_history_of(await self._signed(path))
                found += [tag.record.descriptor.digest] if tag is not None else []
        return found

    async def _children(self, digest: Digest) -> list[Digest]:
        """Return what a manifest needs; nothing where it is a blob, which has the hashes of its pieces beside it."""
        if await self._remote.head(objects.sums(digest)) is not None:
            return []
        found = await self._remote.head(objects.blob(digest))
        if found is None or found.size > LIMIT:
            return []
        try:
            manifest = Manifest.verify(await self._remote.get(objects.blob(digest), LIMIT) or b"", digest)
        except InvalidManifest:
            return []
        return [child.digest for child in manifest.children()]

    async def _signed(self, path: str) -> Mapping[str, Any] | None:
        return self._signer.verified(path, await self._remote.get(path, documents.MAX_SIZE))

    async def _paths(self, prefix: str) -> AsyncIterator[str]:
        async for page in self._remote.list(prefix):
            for each in page:
                yield each.path
