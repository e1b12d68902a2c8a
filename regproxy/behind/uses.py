"""What was used, written to an object store once a day at most: what nobody used for longest goes first where room is short there."""

import asyncio
import logging

from regproxy.policy.store import objects
from regproxy.ports import ObjectStore, StoreError, UploadQueue
from regproxy.telemetry.log import fields

_DAY = 86_400.0
_AT_ONCE = 500
_EVERY = 60.0  # seconds
_TIMEOUT = 30.0

_log = logging.getLogger(__name__)


class Uses:
    """The uses that this machine knows of."""

    def __init__(self, queue: UploadQueue, remote: ObjectStore) -> None:
        """Write what *queue* knows of to *remote*."""
        self._queue = queue
        self._remote = remote

    async def run(self) -> None:
        """Write now and then, for ever."""
        while True:
            try:
                while await self.tell():
                    pass
            except (StoreError, TimeoutError) as error:
                _log.info("cannot write uses to the object store", extra=fields(reason=str(error)))
            await asyncio.sleep(_EVERY)

    async def tell(self) -> int:
        """Write some uses that are news by a day, and return how many; raise `StoreError` or `TimeoutError`."""
        found = await self._queue.used(_DAY, _AT_ONCE)
        for digest, used_at in found:
            async with asyncio.timeout(_TIMEOUT):
                await self._remote.put(objects.use(digest), objects.MARK)
                if await self._remote.head(objects.blob(digest)) is None:  # it was evicted there, and is wanted again
                    await self._queue.put_again(digest)
            await self._queue.put_used(digest, used_at)
        return len(found)
