"""A blob on its way out of an object store: verified piece by piece, so that nothing wrong gets as far as a fill (port BlobBody)."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Protocol

from regproxy.oci.digest import Digest
from regproxy.policy.store.pieces import PieceSums
from regproxy.ports import Gone, StoreError, Unavailable
from regproxy.telemetry import metrics

NAME = "the object store"
_SILENCE = 5.0  # seconds without a byte, after which others are asked for the rest


class Reporter(Protocol):
    """Who is told what became of it."""

    def report_damaged(self, digest: Digest, reason: str) -> None: ...

    def report_late(self, digest: Digest, reason: str) -> None: ...


class ObjectBody:
    """Bytes *start* to *stop* of a blob."""

    is_untrusted = False  # no byte is given that was not verified

    def __init__(self, reporter: Reporter, digest: Digest, sums: PieceSums, start: int, stop: int, chunks: AsyncIterator[bytes]) -> None:
        """Take *chunks*, which begin and end with the pieces that *start* and *stop* lie in."""
        self.start = start
        self.stop = stop
        self.size = sums.size
        self._reporter = reporter
        self._digest = digest
        self._sums = sums
        self._received = chunks

    def __str__(self) -> str:
        return NAME

    async def chunks(self, ahead: int | None = None) -> AsyncGenerator[bytes, None]:  # noqa: ARG002 -- a piece is as much as it takes
        """Yield the bytes as their pieces are verified, one piece in memory; raise `Unavailable` where one is wrong or does not come."""
        position, end = self._sums.bounds(self.start, self.stop)
        waiting = bytearray()
        for length in self._sums.lengths(position, end):
            while len(waiting) < length:
                waiting += await self._next()
            with memoryview(waiting) as all_of_it:
                piece = bytes(all_of_it[:length])
            del waiting[:length]
            if not await asyncio.to_thread(self._sums.is_right, position, piece):
                self._reporter.report_damaged(self._digest, f"wrong bytes from {position} to {position + length}")
                raise Unavailable(f"{self} has wrong bytes for {self._digest}, and nobody was given them")
            wanted = piece[max(self.start - position, 0) : self.stop - position]
            metrics.OBJECT_STORE_READ_BYTES.inc(len(wanted))
            yield wanted
            position += length

    async def _next(self) -> bytes:
        try:
            async with asyncio.timeout(_SILENCE):
                chunk = await anext(self._received, b"")
        except TimeoutError as error:
            self._reporter.report_late(self._digest, f"no byte came for {_SILENCE:g} s")
            raise Unavailable(f"{self} sent no byte of {self._digest} for {_SILENCE:g} s", timed_out=True) from error
        except Gone as error:
            self._reporter.report_damaged(self._digest, str(error))
            raise Unavailable(f"{self} has {self._digest} no longer") from error
        except StoreError as error:
            self._reporter.report_late(self._digest, str(error))
            raise Unavailable(f"{self} broke off: {error}") from error
        if not chunk:
            self._reporter.report_late(self._digest, "it ended short")
            raise Unavailable(f"{self} ended {self._digest} short")
        return chunk

    def pause(self) -> None:
        """Nothing is read ahead of a piece."""

    def confirm(self) -> None:
        """Each piece was verified."""

    def reject(self) -> None:
        self._reporter.report_damaged(self._digest, "all of it does not match its digest")

    def suspect(self) -> None:
        """Each piece was verified: it is not this one that was wrong."""
