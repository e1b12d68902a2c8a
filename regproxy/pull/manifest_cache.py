"""Manifests in memory, and answers to references that need no request: all that a repeated hit uses."""

from dataclasses import dataclass
from weakref import WeakValueDictionary

from cachetools import LRUCache

from regproxy.generation_cache import Memory
from regproxy.oci.digest import Digest
from regproxy.oci.http.cache_status import CacheStatus
from regproxy.oci.manifest import Manifest
from regproxy.oci.reference import Reference, Repository
from regproxy.policy.clock import WallClock
from regproxy.policy.freshness import TagPolicy, TagRecord, is_fresh
from regproxy.ports import Index

_BODIES = 32 * 1024 * 1024  # bytes of manifests; an image's is 2 KiB
_UNWRITTEN = 8 * 1024 * 1024  # bytes of manifests that no disk keeps
_NAMES = 1024  # bytes that an answer takes beside its manifest


@dataclass(frozen=True, slots=True)
class Pulled:
    """A manifest, where it came from, and what the client should be warned of."""

    manifest: Manifest
    cache_status: CacheStatus
    warning: str | None = None


@dataclass(frozen=True, slots=True)
class _Answer:
    """What a reference was answered, and by which record and rule, if those can expire."""

    pulled: Pulled
    record: TagRecord | None
    rule: TagPolicy | None
    until: float  # epoch seconds; from then on upstream is asked whether the repository may still be read

    def is_good(self, now: float) -> bool:
        if now >= self.until:
            return False
        return self.record is None or self.rule is None or is_fresh(self.record, self.rule, now)


class ManifestCache:
    """What one worker remembers of manifests."""

    def __init__(self, index: Index, clock: WallClock) -> None:
        """Answers are valid for the generation of *index*; *clock* returns epoch seconds."""
        self._index = index
        self._clock = clock
        self._given: Memory[Reference, _Answer] = Memory(_BODIES, lambda: index.generation, _weight)
        self._unwritten: Memory[tuple[Repository, Digest], Manifest] = Memory(_UNWRITTEN, lambda: index.generation, _weight_of)
        self._bodies: LRUCache[Digest, Manifest] = LRUCache(_BODIES, getsizeof=lambda manifest: manifest.descriptor.size)
        self._alive: WeakValueDictionary[Digest, Manifest] = WeakValueDictionary()  # those too that are only being sent: each is there once

    def repeated(self, reference: Reference) -> Pulled | None:
        """Return the earlier answer, while it is still valid without a request."""
        answer = self._given.get(reference)
        return answer.pulled if answer is not None and answer.is_good(self._clock()) else None

    def remember(
        self,
        reference: Reference,
        pulled: Pulled,
        generation: int,
        until: float,
        record: TagRecord | None = None,
        rule: TagPolicy | None = None,
    ) -> Pulled:
        """Remember an answer that was found since *generation*, until then, if the store has its manifest.

        One by a *record* holds for no longer than its *rule* calls that fresh.
        """
        if self.unwritten(reference.repository, pulled.manifest.descriptor.digest) is None:
            self._given.put(reference, _Answer(pulled, record, rule, until), generation)
        return pulled

    def forget(self, reference: Reference) -> None:
        self._given.pop(reference)

    def hold(self, repository: Repository, manifest: Manifest) -> None:
        """Hold what is not stored yet, and may never be: registries count who asks again."""
        self._unwritten.put((repository, manifest.descriptor.digest), manifest, self._index.generation)

    def unwritten(self, repository: Repository, digest: Digest) -> Manifest | None:
        """Return what is held of *repository* in memory alone."""
        return self._unwritten.get((repository, digest))

    def release(self, repository: Repository, digest: Digest) -> None:
        """Hold a manifest no longer: it is stored."""
        self._unwritten.pop((repository, digest))

    def release_all(self) -> None:
        self._unwritten.clear()

    def body(self, digest: Digest) -> Manifest | None:
        return self._bodies.get(digest) or self._alive.get(digest)

    def shared(self, manifest: Manifest) -> Manifest:
        """Return the verified manifest of these bytes that is in memory already, else *manifest*, which others then share."""
        return self._alive.setdefault(manifest.descriptor.digest, manifest)

    def keep(self, manifest: Manifest) -> Manifest:
        """Cache a verified manifest; return the one to use."""
        manifest = self.shared(manifest)
        if manifest.descriptor.size <= _BODIES:
            self._bodies[manifest.descriptor.digest] = manifest
        return manifest


def _weight_of(manifest: Manifest) -> int:
    return manifest.descriptor.size + _NAMES


def _weight(answer: _Answer) -> int:
    return _weight_of(answer.pulled.manifest)
