"""An object store: bytes under paths, kept by somebody else."""

from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class StoredObject:
    """What lies in an object store: its path, its size in bytes, when it was written, in epoch seconds of that store."""

    path: str
    size: int
    modified_at: float


class ObjectStore(Protocol):
    """Objects by path. What is written is there whole or not at all. Every method raises `StoreError`."""

    @property
    def place(self) -> str:
        """Where it is, for people."""

    async def get(self, path: str, most: int) -> bytes | None:
        """Read a small object; None where there is none. Raise `TooLong` for one of more than *most* bytes."""

    def stream(self, path: str, start: int, stop: int) -> AbstractAsyncContextManager[AsyncIterator[bytes]]:
        """Read bytes *start* to *stop*; raise `Gone` where there is no such object, or it is shorter."""

    async def put(self, path: str, body: bytes) -> None:
        """Write a small object, in place of any that is there."""

    async def create(self, path: str, body: bytes) -> bool:
        """Write a small object where there is none, and report whether that was so."""

    async def upload(self, path: str, chunks: AsyncIterator[bytes]) -> None:
        """Write an object of any size; what *chunks* raises is raised, and then nothing was written."""

    async def head(self, path: str) -> StoredObject | None:
        """Describe an object; None where there is none."""

    async def delete(self, path: str) -> None:
        """Remove an object, if there is one."""

    def list(self, prefix: str) -> AsyncIterator[Sequence[StoredObject]]:
        """List the objects below *prefix*, in pages."""

    async def sign(self, path: str, seconds: float) -> str:
        """Return a URL by which whoever has it may GET an object for so many seconds."""
