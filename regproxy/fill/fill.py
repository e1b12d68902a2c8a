"""One blob being copied into the store for one repository, read along by any number of clients.

Only those who ask for it under that very repository follow it: what upstream gives to one it may keep from another. A fill of another
repository reads along what this one copies once upstream has confirmed that it may.

Its followers read the growing file at their own speed. None of them gets the last byte of its response before the digest is right, so a
response that was wrong never looks complete.
"""

import asyncio
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from regproxy.fill.follower import Follower
from regproxy.fill.part import Bringer, Part, Scattered, Want
from regproxy.notify import Notifier
from regproxy.oci.digest import Digest
from regproxy.oci.reference import Repository
from regproxy.policy.upstream.plan import FIRST
from regproxy.ports import Corrupt, DownloadStatus, Extent, Incoming, StoreError, Unavailable, UpstreamError, detached

_STARTS_SOON = 0.5  # seconds
_ENDS_SOON = 0.1  # seconds after that: on a line where it takes longer a part alone is much sooner


class Fill:
    """A copy in progress, with followers."""

    def __init__(self, digest: Digest, repository: Repository, may_share: bool | None, wake: Callable[[], None]) -> None:  # noqa: FBT001 -- three values
        """Describe what is copied; `Fills` drives it. *wake* is called when a client begins to wait for it."""
        self.digest = digest
        self.repository = repository
        self.may_share = may_share  # whether upstream lets this repository have what was brought for others; None: it was not asked
        self._sources: list[Incoming] = []  # parts are read from the last one; others may still be sent from those before
        self._is_wrong = False  # what the last one has
        self._incoming: Incoming | None = None  # what is read in order
        self._promised: int | None = None
        self._began = time.monotonic()
        self.written = 0
        self._readers = 1  # the copy itself; the others follow
        self._followers: set[Follower] = set()
        self._asking = 0
        self._wants: dict[Want, None] = {}  # in the order in which they came
        self._bringer: Bringer | None = None
        self._told: int | None = None  # the size, which is promised to followers only once there is something to read
        self._wake = wake
        self._verified = False
        self.is_over = False  # what it has brought is in the store, or nowhere
        self._error: Exception | None = None
        self._news = Notifier()

    def __repr__(self) -> str:
        of = "?" if self._promised is None else f"{self._promised / 1e6:.0f}"
        return f"<Fill {str(self.digest)[:15]}... {self.written / 1e6:.0f}/{of} MB, {self._readers - 1} followers>"

    def status(self) -> DownloadStatus:
        """Describe how far it is, for operators."""
        followers, seconds = len(self._followers), time.monotonic() - self._began
        return DownloadStatus(str(self.repository), str(self.digest), self.written, self._promised, followers, round(seconds, 1))

    @property
    def size(self) -> int:
        if self._promised is None:
            raise RuntimeError("a fill has no size before it started")
        return self._promised

    @property
    def has_begun(self) -> bool:
        """Whether there is something to read."""
        return self._incoming is not None

    @property
    def is_seen(self) -> bool:
        """Whether a client may have some of it: none is given any before the size is known."""
        return bool(self._promised and self.written)

    @property
    def is_followed(self) -> bool:
        """Whether a client reads all of it, or is about to."""
        return bool(self._followers or self._asking)

    @property
    def is_wanted(self) -> bool:
        """Whether a client waits for what is fetched in order."""
        return self.is_followed or any(want.is_in_order for want in self._wants)

    @contextmanager
    def _asked(self) -> Iterator[None]:
        self._asking += 1
        self._wake()
        try:
            yield
        finally:
            self._asking -= 1

    def reads(self, incoming: Incoming) -> bool:
        return self._incoming is incoming

    async def ends_soon(self, stop: int) -> bool:
        """Whether all of it comes with what is being asked for anyway: it has *stop* bytes at least. Raise as `started`.

        That part of it is here helps nobody before: the last byte of a part, too, waits until all of it is verified. On a link that is
        shared with other fills that may take seconds; then a part is there sooner by itself.
        """
        if stop > FIRST and not self.has_begun:
            return False
        try:
            with self._asked():
                async with asyncio.timeout(_STARTS_SOON) as deadline:
                    await self.started()
                    if self.size > self.written + FIRST:
                        return False
                    deadline.reschedule(asyncio.get_running_loop().time() + _ENDS_SOON)
                    while not self._verified and self._error is None:
                        await self._news.wait()
        except TimeoutError:
            return False
        return True

    async def started(self) -> None:
        """Wait until the size is known, or raise what keeps the blob from coming.

        An empty blob has no last byte to hold back, so it starts when it is verified (distribution #4191: empty bodies served for years).
        """
        with self._asked():
            while not self._promised and not self._verified:
                self.check()
                await self._news.wait()

    async def extent(self, start: int, stop: int) -> Extent:
        """Wait for bytes from *start* on, and return where they lie; raise what keeps them from coming."""
        while True:
            upto = min(self.written, stop) if self._verified else min(self.written, stop - 1)
            if upto > start and self._incoming is not None:
                return self._incoming.extent(start, upto)
            self.check()
            if self._verified:
                raise Unavailable(f"{self.digest} is shorter than upstream promised")
            await self._news.wait()

    async def over(self) -> None:
        """Wait until all that is to be kept is kept, or raise what keeps the blob from coming."""
        while not self.is_over:
            await self._news.wait()
        self.check()

    @property
    def is_whole(self) -> bool:
        """Whether a follower that joins now can have all of it."""
        return self._incoming is None or self._incoming.is_whole

    def follow(self) -> Follower:
        """Read along until `release`."""
        self._readers += 1
        follower = Follower(self)
        self._followers.add(follower)
        self._wake()
        self.moved()
        return follower

    def leave(self, follower: Follower) -> None:
        self._followers.discard(follower)
        self.moved()
        self.release()

    def moved(self) -> None:
        """Notify the ingest that a reader has moved on or left."""
        if self._incoming is not None:
            self._incoming.moved()

    def slowest(self) -> int | None:
        return min((follower.position for follower in self._followers), default=None)

    def release(self) -> None:
        self._readers -= 1
        if not self._readers:
            for incoming in self._sources:
                incoming.close()

    @property
    def told(self) -> int:
        """The size, as parts need it."""
        if self._told is None:
            raise RuntimeError("a part has no size before it started")
        return self._told

    def part(self, places: Sequence[tuple[int, int]], stall_timeout: float, end: Callable[[], None]) -> Part:
        """Read *places* ahead of their turn until `release`, which calls *end*."""
        self._readers += 1
        return Part(self, places, stall_timeout, end)

    def want(self, want: Want) -> None:
        """Have a part brought ahead of its turn, until `unwant`."""
        self._wants[want] = None
        if self._bringer is not None:
            self._bringer.take(want)

    def unwant(self, want: Want) -> None:
        if want in self._wants:
            del self._wants[want]
            if self._bringer is not None:
                self._bringer.leave(want)

    def wait_in_order(self, want: Want, *, is_in_order: bool) -> None:
        """Record whether some of a part comes with what is fetched in order, which is waited for then."""
        is_new, want.is_in_order = is_in_order and not want.is_in_order, is_in_order
        if is_new:
            self._wake()

    def bring_by(self, bringer: Bringer | None) -> None:
        """Have *bringer* bring all parts that are wanted, from now on; None: nobody."""
        self._bringer = bringer
        if bringer is not None:
            for want in list(self._wants):
                bringer.take(want)

    def is_brought_by(self, bringer: Bringer) -> bool:
        return self._bringer is bringer

    @property
    def has_wants(self) -> bool:
        return bool(self._wants)

    def reaches(self, start: int) -> bool:
        """Whether a part that begins at *start* can be read, or is known to be none."""
        return not self._is_wrong and self._told is not None and (start >= self._told or self._sources[-1].reach(start) > start)

    def scattered(self, start: int, stop: int) -> Scattered | None:
        """Return where some bytes from *start* on lie, verified or not; None where there are none yet."""
        if self._is_wrong or not self._sources or (reached := self._sources[-1].reach(start)) <= start:
            return None
        return Scattered(self._sources[-1].extent(start, min(reached, stop)), self._sources[-1].origin)

    async def changed(self) -> None:
        """Wait for something to have changed."""
        await self._news.wait()

    def tell(self) -> None:
        """Wake all who wait for something to change."""
        self._news.tell()

    def scatter(self, incoming: Incoming, size: int) -> None:
        """Read parts from *incoming* from now on, of a blob of *size* bytes; it is closed with the fill."""
        self._sources.append(incoming)
        self._told, self._is_wrong = size, False
        self._news.tell()

    def reject(self) -> None:
        """Give parts no more of what came so far, because it is wrong."""
        self._is_wrong = True

    def begin(self, incoming: Incoming, promised: int | None, written: int) -> None:
        """Read from *incoming* from now on; raise `Unavailable` where that is not what has been sent so far."""
        before, self._incoming = self._incoming, incoming
        if not self._sources or self._sources[-1] is not incoming:
            self._sources.append(incoming)
            self._is_wrong = False
        if before is not None and self.is_seen and before.origin != incoming.origin:
            raise Unavailable(f"whoever copied {self.digest} died, and so did what was copied")
        self._promised = self._told = promised
        self.written = written
        incoming.follow(self.slowest)
        self._news.tell()

    def advance(self, count: int) -> None:
        self.reach(self.written + count)

    def reach(self, written: int) -> None:
        """Record that the first *written* bytes can be read."""
        self.written = written
        self._news.tell()

    def verified(self) -> None:
        """Release the last bytes: all of them are verified."""
        self._promised = self._told = self.written
        self._verified = True
        self._news.tell()

    def fail(self, error: Exception) -> None:
        """Fail all followers with a copy of *error*, whose traceback would keep this fill, and so itself, in memory."""
        self._error = detached(error) if isinstance(error, UpstreamError | StoreError) else error
        self._is_wrong = self._is_wrong or isinstance(error, Corrupt)
        self._news.tell()

    def check(self) -> None:
        """Raise what keeps the blob from coming."""
        if isinstance(self._error, UpstreamError | StoreError):
            raise detached(self._error)
        if self._error is not None:
            raise self._error

    def end(self) -> None:
        """Mark the end: nothing more will happen."""
        if self._error is None and not self._verified:
            self.fail(Unavailable(f"the copy of {self.digest} was given up"))
        self.is_over = True
        self._news.tell()
        self.release()
