"""What is to be written to an object store behind the disk, in order; it outlives a restart."""

from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from regproxy.oci.descriptor import Descriptor
from regproxy.oci.digest import Digest
from regproxy.oci.reference import Reference, Repository
from regproxy.policy.access import Access
from regproxy.policy.freezing import Freeze
from regproxy.policy.freshness import TagRecord
from regproxy.policy.tag_history import History
from regproxy.ports.index import Kind


class UploadKind(Enum):
    """What an entry of the queue is about."""

    LINK = "link"  # content, and that a repository holds it
    TAG = "tag"
    ACCESS = "access"  # whether a repository is closed
    REPAIR = "repair"  # content that lies there and is wrong, or is there no more
    PIN = "pin"
    FREEZE = "freeze"
    ALL = "all"  # everything from here on is to be put into the queue


@dataclass(frozen=True, slots=True)
class Upload:
    """An entry: its number in the queue, what it is about by name, how many bytes that has, how often it failed."""

    number: int
    kind: UploadKind
    name: str
    size: int = 0
    tries: int = 0


@dataclass(frozen=True, slots=True)
class Pending:
    """What waits in the queue."""

    count: int
    size: int


class UploadQueue(Protocol):
    """The queue of a machine, and what its entries are about. Every method raises `StoreError`."""

    async def due(self, now: float, most: int) -> list[Upload]:
        """List what is to be written now, the first first."""

    async def done(self, upload: Upload) -> None:
        """Take an entry out, unless it was put in again since."""

    async def postpone(self, upload: Upload, until: float) -> None:
        """Count a failure, and let the entry wait *until* then, in epoch seconds."""

    async def pending(self) -> Pending: ...

    async def remaining(self) -> Pending:
        """Count what waits, and what an entry `ALL` has yet to put in."""

    async def put_all(self) -> None:
        """Have everything that is here written that is not there."""

    async def put_more(self, upload: Upload) -> None:
        """Put in the next part of everything, after which an entry `ALL` goes on."""

    async def put_again(self, digest: Digest) -> None:
        """Have content that is here written once more, with who holds it."""

    async def repair(self, digest: Digest) -> None:
        """Have content written again, from the disk or once it is there."""

    async def link(self, kind: Kind, repository: Repository, digest: Digest) -> Descriptor | None:
        """Describe content that is here and that *repository* holds, closed or not."""

    async def content(self, digest: Digest) -> tuple[Kind, Descriptor] | None:
        """Describe what is here: as a blob, where it is a manifest too."""

    async def tag(self, reference: Reference) -> tuple[TagRecord, History] | None:
        """Return what a tag means and has meant."""

    async def put_tag_uploaded(self, reference: Reference, record: TagRecord) -> None:
        """Record which meaning was written, so that the same one is not written at each revalidation."""

    async def access(self, repository: Repository) -> Access: ...

    async def is_pinned(self, digest: Digest) -> bool: ...

    async def frozen_to(self, pattern: str) -> str | None:
        """Return the digest that a pattern is frozen to, empty where none is named; None where it is not frozen."""

    async def adopt_pin(self, digest: Digest, *, pinned: bool, at: float) -> bool:
        """Do as another replica wrote *at* epoch seconds, and report True, unless it was decided here and that is yet to be written."""

    async def adopt_freeze(self, pattern: str, freeze: Freeze | None, at: float) -> bool:
        """Do as another replica wrote of *pattern*, None: that it is lifted; *at* and the report are as those of `adopt_pin`."""

    async def used(self, since: float, most: int) -> list[tuple[Digest, float]]:
        """List content and when it was used, where that is later than what `put_used` said by *since* seconds."""

    async def put_used(self, digest: Digest, used_at: float) -> None: ...
