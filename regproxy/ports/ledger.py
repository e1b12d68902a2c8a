"""What the store holds, and what may go."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from regproxy.oci.descriptor import Descriptor
from regproxy.oci.digest import Digest
from regproxy.oci.reference import Reference
from regproxy.policy.fleet.decisions import Decision
from regproxy.policy.freezing import Freeze
from regproxy.policy.freshness import TagRecord
from regproxy.policy.store.eviction import Candidate, RecentHistory, Shares
from regproxy.ports.index import Kind


@dataclass(frozen=True, slots=True)
class Census:
    """How many manifests and blobs the store holds, and how many bytes."""

    count: int
    shares: Shares

    @property
    def size(self) -> int:
        return self.shares.once + self.shares.often


@dataclass(frozen=True, slots=True)
class Record:
    """What content is, and what it needs."""

    kind: Kind
    descriptor: Descriptor
    children: tuple[Digest, ...] = ()


@dataclass(frozen=True, slots=True)
class Image:
    """An image that no kept index lists: what it costs with all its parts, and alone, without what others share; in bytes."""

    digest: Digest
    names: tuple[str, ...]
    size: int
    alone: int
    used_at: float
    is_pinned: bool
    is_frozen: bool


@dataclass(frozen=True, slots=True)
class ImageTags:
    """An image, how often it was pulled, and the first of its tags, each with when upstream was last asked about it."""

    image: Image
    pulls: int
    tags: tuple[tuple[str, float], ...]


@dataclass(frozen=True, slots=True)
class Part:
    """A manifest or blob of an image, and how many listings it has beside that one."""

    digest: Digest
    media_type: str
    size: int
    shared_with: int


@dataclass(frozen=True, slots=True)
class OperatorDecisions:
    """What operators want kept: pins, freezes that were set at run time, and what frozen tags mean where their freeze does not say it."""

    pins: tuple[Digest, ...] = ()
    freezes: tuple[Freeze, ...] = ()
    tags: tuple[tuple[Reference, TagRecord], ...] = ()


class Decisions(Protocol):
    """What operators decided, here or at another member of the fleet, with when. Raises `StoreError`."""

    async def all(self) -> list[Decision]: ...

    async def adopt(self, decisions: Sequence[Decision]) -> None:
        """Record what was decided elsewhere, and have it count here, unless something later is on record."""


@dataclass(frozen=True, slots=True)
class Meaning:
    """What a tag meant from *since* on, in epoch seconds, until its next meaning; *is_here* tells whether that manifest is stored.

    No *digest*: upstream had no such tag.
    """

    digest: Digest | None
    since: float
    is_here: bool


class ClientShares(Protocol):
    """Whose pulls brought content in. Every method raises `StoreError`."""

    async def claim(self, client: str, digest: Digest, size: int, most: int, now: float) -> int:
        """Record that *client* brings in *digest*, unless it would then have more than *most* bytes; return by how much."""

    async def release(self, digest: Digest) -> None:
        """Forget who began to bring in *digest* and did not."""

    async def release_abandoned(self, client: str, busy: Collection[Digest], now: float) -> None:
        """Forget what *client* began to bring in and did not, but for what is *busy*."""

    async def idlest_of(self, client: str, since: float, most: int) -> list[Candidate]:
        """List what *client* brought in, nobody needs and nobody used since then; the longest unused first."""


class Ledger(ClientShares, Protocol):
    """What the store holds, what of it is needed, and when it was used. Every method raises `StoreError`."""

    async def census(self) -> Census: ...

    async def touch(self, manifests: Collection[Digest], blobs: Collection[Digest], now: float) -> None:
        """Record uses; one of a manifest is one of all that it lists, and of what lists it."""

    async def count_pulls(self, pulls: Mapping[Digest, int]) -> None:
        """Add to how often manifests were pulled."""

    async def idlest(self, most: int, *, often: bool, spared: RecentHistory | None = None, brought_by: str = "") -> list[Candidate]:
        """List what neither a kept manifest nor an operator needs, of what was used often or was not; the longest unused first.

        Nothing that is *spared* is listed, nor what lists that; *brought_by* leaves what that client brought in.
        """

    async def forget(self, *digests: Digest, brought_by: str | None = None) -> list[Digest]:
        """Drop the records of content and of what only it needed; list whose. Many at once void what is remembered only once.

        Of what only it needed, others' stays where the content is dropped that one client brought in.
        """

    async def images(self) -> list[Image]:
        """List all images."""

    async def page(self, search: str, offset: int, limit: int) -> tuple[int, list[ImageTags]]:
        """Count the images whose tag, repository or digest contains *search*, and list some, the most recently used first."""

    async def image(self, name: str) -> Image | None:
        """Find an image by its full name with a tag or digest, or by its digest alone."""

    async def meanings(self, reference: Reference) -> list[Meaning]:
        """List what a tag meant, the last first."""

    async def parts(self, image: Digest) -> list[Part]:
        """List an image, and all it needs that is here."""

    async def unused(self, since: float) -> list[Candidate]:
        """List content that neither a stored manifest nor an operator needs, unused since then."""

    async def recorded(self, shard: str) -> dict[str, int]:
        """List the sizes of all content whose digest begins with the two digits *shard*, by digests as text."""

    async def adopt(self, record: Record, used_at: float) -> None:
        """Record content of unknown repositories."""

    async def lose(self, digests: Collection[Digest]) -> int:
        """Drop the records of content that is not there, and of nothing else; return how many bytes on the disk they stood for."""

    async def pin(self, digest: Digest, *, pinned: bool) -> None:
        """Keep content, and all it needs, whatever else goes; or no longer."""

    async def decisions(self) -> OperatorDecisions:
        """List what operators decided."""

    async def decide(self, decisions: OperatorDecisions) -> None:
        """Add *decisions* to those that there are, all of them or none; what a tag or a pattern means is replaced."""
