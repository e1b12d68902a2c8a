"""Content by digest: where its bytes lie, and how it is read."""

from dataclasses import dataclass
from typing import BinaryIO, Protocol

from regproxy.oci.digest import Digest


@dataclass(frozen=True, slots=True)
class Extent:
    """Where bytes lie: a file, an offset in it, how many, and whether they stay as they are."""

    file: BinaryIO
    offset: int
    length: int
    is_lasting: bool = True  # else they must be copied: what sendfile has sent refers to its pages until the client has it


class Content(Protocol):
    """Bytes that lie in files, all of them or those that have arrived; release it when done."""

    @property
    def size(self) -> int: ...

    @property
    def is_kept(self) -> bool:
        """Whether it is in the store, as it was when it was opened."""

    async def extent(self, start: int, stop: int) -> Extent:
        """Wait for bytes from *start* on, and return where some of those before *stop* lie that may be sent.

        Asking says that what is before *start* will not be asked for again. Raise what keeps the bytes from coming.
        """

    async def spoiled(self) -> None:
        """Put it aside: its bytes cannot be read."""

    def release(self) -> None: ...


class ContentReader(Protocol):
    """Reads what is stored; nothing in a store is unverified."""

    async def open(self, digest: Digest, size: int) -> Content | None:
        """Open content of exactly *size* bytes, as is on record; None where there is none such, whatever lies in its place."""

    async def read(self, digest: Digest, size: int) -> bytes | None:
        """Read and verify small content; None where there is none such. The *size* may be a stranger's word."""
