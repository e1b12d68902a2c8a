"""One piece on its way here, or here: brought once by this process, and read by any number while it grows."""

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

from regproxy.notify import Notifier
from regproxy.peers.names import PieceName
from regproxy.peers.pieces.cache import Hold, PieceFile
from regproxy.policy.fleet.signed_hash import SignedHash
from regproxy.ports import Extent, StoreError, UpstreamError, detached
from regproxy.storage.threads import DiskThreads

EVERY = 0.25  # seconds between two signs that somebody is at work on a piece of which nothing comes


class UnservedError(Exception):
    """A piece that members cannot bring, through no word of upstream: whoever wants it asks upstream by itself.

    Where *is_cut_off*, it is this member that does not reach upstream, and others may.
    """

    def __init__(self, reason: str, *, is_cut_off: bool = False) -> None:
        super().__init__(reason)
        self.is_cut_off = is_cut_off


class OtherSizeError(UnservedError):
    """Two of those who sent a piece say that the blob has different sizes: one of them is wrong."""


class Piece:
    """Bytes of a piece, as far as they have come."""

    def __init__(self, name: PieceName, *, is_checked: bool = True) -> None:
        """Have nothing yet; where it is not *checked* as it comes, nobody but members reads it before it is."""
        self.name = name
        self.is_checked = is_checked
        self.signed: SignedHash | None = None
        self.attempt = 0  # how often it was wrong
        self.size: int | None = None  # of the blob
        self.length = 0  # of the piece, once the size is known
        self.written = 0
        self.readers = 0
        self.beats = 0  # how often whoever brings it has shown that it is at work
        self._file: PieceFile | None = None
        self._given_up: list[PieceFile] = []  # files that were read from before; a read of one may be on its way, by its descriptor
        self._error: Exception | None = None
        self._is_over = False
        self._notifier = Notifier()

    def __repr__(self) -> str:
        return f"<Piece {self.name}: {self.written} of {self.length} bytes>"

    @property
    def stop(self) -> int:
        """Where in the blob it ends."""
        return self.name.cut.start + self.length

    @property
    def is_whole(self) -> bool:
        return self.size is not None and self.written == self.length

    def begin(self, file: PieceFile, size: int, length: int) -> None:
        """Record how long the blob and this piece of it are; it is read from *file*.

        Raise `OtherSizeError` where another size was said before: readers know that one.
        """
        if self.size not in {None, size}:
            raise OtherSizeError(f"two sizes are said of {self.name.blob.digest}: {self.size} and {size}")
        if self._file is file:
            return
        if self._file is not None:
            self._given_up.append(self._file)
        self._file, self.size, self.length = file, size, length
        self._notifier.tell()

    def restart(self) -> None:
        """Begin anew: who brought it gave up, and took its file along."""
        self.written = 0

    def reach(self, written: int) -> None:
        """Record that the first *written* bytes can be read."""
        self.written = written
        self._notifier.tell()

    def fail(self, error: Exception) -> None:
        self._error = detached(error)
        self._notifier.tell()

    def end(self) -> None:
        """Record that nothing more will happen to it."""
        self._is_over = True
        self._notifier.tell()
        self._close_unread()

    def reads(self, file: PieceFile) -> bool:
        """Whether it is read from *file*, or was, and closes it in the end."""
        return any(each is file for each in (self._file, *self._given_up))

    def join(self) -> None:
        self.readers += 1

    def leave(self) -> None:
        self.readers -= 1
        self._close_unread()

    def reject(self) -> None:
        """Begin anew: it was wrong, and so may be all that was said of it."""
        if self._file is not None:
            self._given_up.append(self._file)
        self._file, self.size, self.length, self.written = None, None, 0, 0
        self.attempt += 1
        self._notifier.tell()

    def approve(self, signed: SignedHash | None) -> None:
        """Record that it is right, as far as anybody can tell, and by which *signed* hash."""
        self.is_checked, self.signed = True, signed
        self._notifier.tell()

    async def checked(self) -> int:
        """Wait until it was checked, and return the size of the blob; raise as `head`."""
        while not self.is_checked or self.size is None:
            self._check()
            await self._notifier.wait()
        return self.size

    async def stands(self, attempt: int) -> bool:
        """Wait until it was checked, and report whether what was read of an *attempt* was right; raise as `head`."""
        while not self.is_checked and attempt == self.attempt:
            self._check()
            await self._notifier.wait()
        return attempt == self.attempt

    async def head(self) -> int:
        """Wait for the size of the blob; raise `UpstreamError`, or `UnservedError`."""
        while self.size is None:
            self._check()
            await self._notifier.wait()
        return self.size

    async def extent(self, start: int, stop: int, attempt: int | None = None) -> Extent:
        """Wait for bytes of the blob from *start* on, and return where some of those before *stop* lie; raise as `head`.

        Raise `UnservedError` too where what was read of an *attempt* is wrong.
        """
        begin = start - self.name.cut.start
        while (is_over := attempt not in {None, self.attempt}) or self.size is None or self.written <= begin:
            self._check()
            if is_over:
                raise UnservedError(f"what was sent of {self.name} is wrong")
            await self._notifier.wait()
        if self._file is None:
            raise UnservedError(f"{self.name} is closed")
        return Extent(self._file.file, self._file.offset + begin, min(self.written, stop - self.name.cut.start) - begin)

    def _check(self) -> None:
        if self._error is not None:
            raise detached(self._error) if isinstance(self._error, UpstreamError | StoreError | UnservedError) else self._error
        if self._is_over:
            raise UnservedError(f"{self.name} ended short")

    def _close_unread(self) -> None:
        if self._is_over and not self.readers:
            for file in [*self._given_up, *filter(None, [self._file])]:
                file.close()
            self._given_up, self._file = [], None


class AtWork:
    """The pieces that this process gets from members or from upstream: whoever waits for them is shown that somebody is at it."""

    def __init__(self, run: DiskThreads) -> None:
        """Show other processes of this machine too, through *run*; while the disk hangs, nobody is shown anything."""
        self._run = run
        self._files: dict[Piece, PieceFile] = {}

    @contextmanager
    def on(self, piece: Piece, file: PieceFile) -> Iterator[None]:
        """Be at work on *piece*, if the file is ours to write."""
        if file.hold is Hold.OURS:
            self._files[piece] = file
        try:
            yield
        finally:
            self._files.pop(piece, None)

    async def show(self) -> None:
        """Show it again and again, for ever, of pieces that do not grow."""
        seen: dict[Piece, int] = {}
        while True:
            still = [(piece, file) for piece, file in self._files.items() if seen.get(piece) == piece.written]
            seen = {piece: piece.written for piece in self._files}
            with suppress(StoreError):
                if still:
                    await self._run(_touch, [file for _, file in still])
                for piece, _ in still:
                    piece.beats += 1
            await asyncio.sleep(EVERY)


def _touch(files: Sequence[PieceFile]) -> None:
    for each in files:
        each.touch()
