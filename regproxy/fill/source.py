"""A blob as its upstream sends it: what was said of its size, who sent which bytes, and whether to ask once more."""

import logging
import time
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Protocol

from regproxy.oci.digest import Digest
from regproxy.oci.reference import Repository
from regproxy.ports import BlobBody, Corrupt, Unavailable, UpstreamError
from regproxy.telemetry import metrics
from regproxy.telemetry.log import fields

_MOST_FUTILE = 5  # attempts in a row that bring nothing; with their pauses about as long as a client is made to wait

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ReceivedRange:
    """Bytes *start* to *stop*, and who sent them."""

    start: int
    stop: int
    body: BlobBody


class Sender(Protocol):
    """The part of an upstream that sends blobs (of port Registry)."""

    @property
    def is_near(self) -> bool: ...

    def may_repeat(self) -> bool: ...

    def has_others(self, repository: Repository) -> bool: ...

    def blob(
        self, repository: Repository, digest: Digest, start: int = 0, stop: int | None = None, last: str | None = None
    ) -> AbstractAsyncContextManager[BlobBody]: ...


class Late(Unavailable):
    """A part that takes much longer than others do: another host is asked for the rest of it."""


class Source:
    """One blob of one upstream."""

    def __init__(self, sender: Sender, repository: Repository, digest: Digest) -> None:
        """Ask nothing yet."""
        self.digest = digest
        self.has_answered = False
        self.answered_in = 0.0  # seconds, the first time
        self.size: int | None = None  # None after an answer that did not tell
        self.segments: list[ReceivedRange] = []
        self._sender = sender
        self._repository = repository

    @property
    def is_near(self) -> bool:
        return self._sender.is_near

    @property
    def has_others(self) -> bool:
        """Whether more than one host may send it now."""
        return self._sender.has_others(self._repository)

    @asynccontextmanager
    async def body(self, start: int, stop: int | None, last: str | None) -> AsyncIterator[BlobBody]:
        """Open a part, at the host called *last* only if no other has it; raise `UpstreamError`."""
        asked_at = time.monotonic()
        async with self._sender.blob(self._repository, self.digest, start, stop, last) as body:
            if not self.has_answered:
                self.answered_in = time.monotonic() - asked_at
            self._agree(body)
            yield body

    def may_go_on(self, futile: int) -> bool:
        """Whether to ask again after so many attempts in a row that brought nothing: a blob that never began is for others to judge."""
        return self.has_answered and futile < _MOST_FUTILE and (not futile or self._sender.may_repeat())

    def tell_resume(self, offset: int, error: UpstreamError) -> None:
        reason = _reason(error)
        metrics.RESUMES.labels(reason).inc()
        told = fields(repository=str(self._repository), digest=str(self.digest), offset=offset, reason=reason, error=str(error))
        _log.info("resuming", extra=told)

    def _agree(self, body: BlobBody) -> None:
        """Set the size from the first answer, and require it of all others."""
        if not self.has_answered:
            self.has_answered, self.size = True, body.size
        elif body.size != self.size and None not in (body.size, self.size):
            body.suspect()
            raise Corrupt(f"{body} says that {self.digest} has {body.size} bytes, others said {self.size}")


def _reason(error: UpstreamError) -> str:
    if isinstance(error, Late):
        return "late"
    if isinstance(error, Unavailable):
        return "silence" if error.timed_out else "broken"
    return type(error).__name__.lower()
