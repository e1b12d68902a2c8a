"""Warm-ups that outlive a restart."""

from collections.abc import Sequence
from typing import Protocol


class WarmJobs(Protocol):
    """The jobs that were asked for, each a document by its number. Every method raises `StoreError`."""

    async def all(self) -> Sequence[tuple[int, str]]:
        """List all documents, by number."""

    async def put(self, number: int, document: str) -> None: ...

    async def drop(self, number: int) -> None: ...
