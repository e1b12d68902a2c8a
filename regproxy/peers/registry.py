"""An upstream whose blobs come from the other members of the fleet, where they can (port Registry)."""

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager

from cachetools import TTLCache

from regproxy.asker import Asker, asker
from regproxy.oci.digest import Digest
from regproxy.oci.reference import Repository
from regproxy.peers.exchange import Exchange
from regproxy.peers.names import Blob
from regproxy.peers.pieces.piece import UnservedError
from regproxy.peers.pieces.stream import PieceStream
from regproxy.ports import BlobBody, ForwardingRegistry, Registry, StoreError, Unavailable
from regproxy.telemetry.log import fields

NAME = "fleet"  # what a body from members says of itself
_MAX_DIRECT = 10_000  # blobs
_DIRECT_FOR = 600.0  # seconds that a blob which members do not bring, or brought wrong, is fetched from upstream

_log = logging.getLogger(__name__)


class PeeredRegistry(ForwardingRegistry):
    """Passes every question on, but for blobs."""

    def __init__(self, registry: Registry, exchange: Exchange, public: Asker | None = None) -> None:
        """Wrap *registry*, of which members exchange what it gives where it is asked for the sake of *public*."""
        super().__init__(registry)
        self._exchange = exchange
        self._public = public
        self._direct: TTLCache[Blob, bool] = TTLCache(_MAX_DIRECT, _DIRECT_FOR)
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def is_near(self) -> bool:
        return self._has_peers or self._registry.is_near

    @asynccontextmanager
    async def blob(
        self, repository: Repository, digest: Digest, start: int = 0, stop: int | None = None, last: str | None = None
    ) -> AsyncIterator[BlobBody]:
        """Open a blob as `Registry.blob`; where members are of no help, at upstream."""
        blob = Blob(repository, digest)
        if self._has_peers and blob not in self._direct and last != NAME:
            for _ in range(2):  # once more where it turns out that it is we who do not reach upstream
                stream = PieceStream(self._exchange, blob, start, stop)
                try:
                    if await self._opened(stream, blob):
                        yield FleetBody(self, stream, blob)
                        return
                finally:
                    stream.close()
                if blob in self._direct:
                    break
        async with self._registry.blob(repository, digest, start, stop, last) as body:
            yield body

    async def close(self) -> None:
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._registry.close()

    @property
    def _has_peers(self) -> bool:
        """Whether others may bring it: what a client's own credential opens is for upstream to give."""
        return not self._exchange.membership.is_alone and asker.get() == self._public

    async def _opened(self, stream: PieceStream, blob: Blob) -> bool:
        try:
            await stream.open()
        except (UnservedError, StoreError) as error:
            self.unserved(blob, error)
            return False
        return True

    @property
    def is_untrusted(self) -> bool:
        return not self._exchange.attribution.proof

    def unserved(self, blob: Blob, error: Exception) -> None:
        """Fetch *blob* from upstream for a while: members do not bring it."""
        if isinstance(error, UnservedError) and error.is_cut_off:
            _log.warning("upstream is not reached: other members are asked", extra=fields(digest=str(blob.digest), reason=str(error)))
            return
        self._direct[blob] = True
        _log.warning("the fleet does not bring a blob", extra=fields(digest=str(blob.digest), reason=str(error)))

    def verified(self) -> None:
        self._exchange.attribution.proof.set()

    def corrupt(self, blob: Blob) -> None:
        """Fetch *blob* from upstream, and find out who sent wrong bytes."""
        self._exchange.attribution.proof.clear()
        if blob in self._direct:
            return
        self._direct[blob] = True
        task = asyncio.create_task(self._exchange.corrupt(blob), name=f"fleet corrupt {blob.digest}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


class FleetBody:
    """Bytes of a blob as members send them (port BlobBody)."""

    def __init__(self, registry: PeeredRegistry, stream: PieceStream, blob: Blob) -> None:
        """Read from *stream*, which is open."""
        self.start = stream.start
        self.stop: int | None = stream.stop
        self.size: int | None = stream.size
        self._registry = registry
        self._stream = stream
        self._blob = blob

    def __str__(self) -> str:
        return NAME

    async def chunks(self, ahead: int | None = None) -> AsyncGenerator[bytes, None]:
        """Yield the bytes; *ahead* is kept in files, not in memory."""
        del ahead
        try:
            async for chunk in self._stream.chunks():
                yield chunk
        except (UnservedError, StoreError, OSError) as error:
            self._registry.unserved(self._blob, error)
            raise Unavailable(f"the fleet does not bring {self._blob.digest}: {error}") from error

    def pause(self) -> None:
        """Need not: nothing is read ahead in memory."""

    @property
    def is_untrusted(self) -> bool:
        return self._registry.is_untrusted

    def confirm(self) -> None:
        self._registry.verified()

    def reject(self) -> None:
        self._registry.corrupt(self._blob)

    def suspect(self) -> None:
        self._registry.corrupt(self._blob)
