"""A store of content by digest, its space and its maintenance."""

from typing import NamedTuple, Protocol

from regproxy.oci.digest import Digest
from regproxy.ports.content import ContentReader
from regproxy.ports.ingest import Ingester, IngestLocks


class StoredBlob(NamedTuple):
    """What lies in the store: its digest as text, its size in bytes, when it was written, in epoch seconds."""

    name: str
    size: int
    modified_at: float

    @property
    def digest(self) -> Digest:
        return Digest.parse(self.name)


class Space(Protocol):
    """How many bytes a store holds, and how they become fewer."""

    @property
    def counted(self) -> int:
        """The bytes that it counts as stored content, without ingests."""

    def count(self, size: int) -> None:
        """Correct its count by *size* bytes, which may be negative."""

    async def ceiling(self) -> int:
        """Return how many bytes it could hold if nothing else lay on its disk; raise `StoreError`."""

    @property
    def is_waited_for(self) -> bool:
        """Whether an ingest waits for space."""

    async def shortage(self) -> int:
        """Wait until content has to go, and return how many bytes of it."""

    async def look(self) -> None:
        """Look at what others have left of the file system; raise `StoreError`."""

    async def let_go(self) -> None:
        """Notice, for ever, what other processes have removed, so that its room is free."""

    async def remove(self, digest: Digest) -> int:
        """Remove content, and return how many bytes that frees; those who read it read on. Raise `StoreError`."""

    async def remove_abandoned(self, excess: int) -> int:
        """Remove partial files that nobody writes until *excess* bytes are freed, the oldest first, and count what is left of them.

        Return how many bytes went; raise `StoreError`.
        """


class StoreMaintenance(Protocol):
    """What is known of a store as a whole, and how damage is found."""

    @property
    def place(self) -> str:
        """Where it is kept, for people."""

    @property
    def opened_at(self) -> float:
        """When this process began to use the store, in epoch seconds of its file system."""

    @property
    def interrupted_at(self) -> float | None:
        """When the last process to use the store was last seen alive, in epoch seconds, if it did not end in order."""

    async def list_shard(self, shard: str) -> list[StoredBlob]:
        """List all content whose digest begins with the two digits *shard*; raise `StoreError`."""

    async def verify(self, digest: Digest) -> int | None:
        """Read and hash content and return its size; quarantine it and return None where it is corrupt.

        Raise `Gone` where there is none, or `StoreError`.
        """

    def mended(self) -> None:
        """Record that what an interruption may have damaged has been looked at."""

    async def check(self) -> str | None:
        """Read for real, or raise `StoreError`; return why nothing can be kept at the moment."""


class ContentStore(ContentReader, Ingester, IngestLocks, Protocol):
    """All that answers and fills need of a store."""


class BlobStore(ContentStore, Space, StoreMaintenance, Protocol):
    """A whole store."""
