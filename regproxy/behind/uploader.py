"""Works off the queue of what is to be written to an object store, behind everything else, and goes on with it after a restart."""

import asyncio
import logging
import random

from regproxy.behind.content import Unreadable
from regproxy.behind.writer import Writer
from regproxy.policy.clock import WallClock
from regproxy.ports import StoreError, Upload, UploadKind, UploadQueue
from regproxy.telemetry import metrics
from regproxy.telemetry.log import fields

MAX_UPLOADS = 4  # at once; each has two parts of 8 MiB in flight, and one in memory: 96 MiB in all
_LOOK = 0.5  # seconds between two looks into an empty queue
_TELL_EVERY = 5.0  # seconds
_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 60.0  # seconds after a failure
_LONGEST_DELAY = 3600.0  # seconds that one entry waits which fails again and again

_log = logging.getLogger(__name__)


class Uploader:
    """Works off the queue of one machine."""

    def __init__(self, queue: UploadQueue, writer: Writer, clock: WallClock, pause: float = 1.0) -> None:
        """Have *writer* write what is in *queue*; *clock* returns epoch seconds. *pause* times as long as usual is waited."""
        self._queue = queue
        self._writer = writer
        self._clock = clock
        self._pause = pause
        self._busy: set[str] = set()
        self._ended: set[Upload] = set()  # since the queue was looked into last
        self._turn = asyncio.Lock()
        self._failures = 0
        self._rests_until = 0.0
        self.trouble: str | None = None  # why nothing is written at the moment

    async def run(self) -> None:
        """Write, for ever."""
        async with asyncio.TaskGroup() as group:
            for _ in range(MAX_UPLOADS):
                group.create_task(self._work())
            group.create_task(self._report())

    async def _work(self) -> None:
        while True:
            upload = await self._next()
            try:
                await self._do(upload)
            finally:
                self._busy.discard(_about(upload))
                self._ended.add(upload)

    async def _next(self) -> Upload:
        """Wait for what is to be written next, and claim it; one looks for all."""
        async with self._turn:
            while True:
                if (rest := self._rests_until - asyncio.get_running_loop().time()) > 0:
                    await asyncio.sleep(rest)
                if (upload := await self._look()) is not None:
                    self._busy.add(_about(upload))
                    return upload
                await asyncio.sleep(_LOOK * self._pause)

    async def _look(self) -> Upload | None:
        self._ended.clear()
        try:
            due = await self._queue.due(self._clock(), MAX_UPLOADS + 1)
        except StoreError as error:
            _log.warning("cannot read the queue to the object store", extra=fields(reason=str(error)))
            return None
        return next((upload for upload in due if _about(upload) not in self._busy and upload not in self._ended), None)

    async def _do(self, upload: Upload) -> None:
        try:
            try:
                outcome = await self._writer.write(upload)
            except Unreadable as error:
                _log.warning("not written to the object store", extra=fields(what=upload.name, reason=str(error)))
                outcome = "unreadable"
            if outcome == "later":
                await self._queue.postpone(upload, self._clock() + self._delay(upload))
                return
            if upload.kind is not UploadKind.ALL:
                await self._queue.done(upload)
                metrics.OBJECT_STORE_UPLOADS.labels(outcome).inc()
            self._succeeded()
        except (StoreError, TimeoutError) as error:
            await self._failed(upload, str(error) or "no answer in time")
        except Exception as error:
            _log.exception("upload failed: internal error", extra=fields(what=upload.name))
            await self._failed(upload, repr(error))

    def _succeeded(self) -> None:
        if self.trouble is not None:
            _log.info("object store takes content again")
        self._failures, self.trouble = 0, None
        metrics.OBJECT_STORE_DOWN.set(0)

    async def _failed(self, upload: Upload, reason: str) -> None:
        """Let everything rest, for it is rarely about one object; that one goes to the end of the queue all the same."""
        if self.trouble is None:
            _log.warning("cannot write to the object store: content waits on the disk", extra=fields(what=upload.name, reason=reason))
        self.trouble = reason
        metrics.OBJECT_STORE_DOWN.set(1)
        metrics.OBJECT_STORE_UPLOADS.labels("error").inc()
        rest = min(_FIRST_PAUSE * 2**self._failures, _LONGEST_PAUSE) * random.uniform(0.5, 1.0) * self._pause  # noqa: S311 -- jitter
        self._failures = min(self._failures + 1, 10)
        self._rests_until = asyncio.get_running_loop().time() + rest
        try:
            await self._queue.postpone(upload, self._clock() + self._delay(upload))
        except StoreError as error:
            _log.warning("cannot write the queue to the object store", extra=fields(reason=str(error)))

    def _delay(self, upload: Upload) -> float:
        return min(2.0 ** min(upload.tries, 12), _LONGEST_DELAY) * self._pause

    async def _report(self) -> None:
        while True:
            try:
                pending = await self._queue.pending()
                metrics.OBJECT_STORE_PENDING.set(pending.count)
                metrics.OBJECT_STORE_PENDING_BYTES.set(pending.size)
            except StoreError as error:
                _log.warning("cannot read the queue to the object store", extra=fields(reason=str(error)))
            await asyncio.sleep(_TELL_EVERY)


def _about(upload: Upload) -> str:
    """Return what no two write at once: content by its digest, whoever holds it."""
    return upload.name.rpartition(" ")[2]
