"""Content that another process of this machine copies in, or has copied in: read as its file grows."""

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from io import FileIO
from pathlib import Path
from typing import Any, BinaryIO

from regproxy.oci.digest import Digest
from regproxy.policy.store.looking import pause
from regproxy.policy.store.runs import Runs
from regproxy.ports import Extent, IngestStage, IngestStatus, StoreError, decoded_error
from regproxy.storage.blob_files import open_plain, origin_of, path_of
from regproxy.storage.ingest_lock import Watched
from regproxy.storage.partial_file import written
from regproxy.storage.threads import Runner


class Reading:
    """A file that another process writes, or has written (port Incoming)."""

    is_whole = True

    def __init__(self, file: BinaryIO, size: int | None) -> None:
        """Own *file*, of content of *size* bytes."""
        self._file = file
        self._size = size
        self._runs = Runs()
        self.look()

    @property
    def origin(self) -> object:
        return origin_of(self._file)

    def look(self) -> Runs:
        """Look what is written."""
        if (found := written(self._file.fileno(), self._size)) is not None:  # else a record is just being written
            self._runs = found.runs
        return self._runs

    def reach(self, start: int) -> int:
        return self._runs.reach(start)

    def extent(self, start: int, stop: int) -> Extent:
        return Extent(self._file, start, stop - start)

    def follow(self, slowest: Callable[[], int | None]) -> None:
        """Ignore readers: a file waits for none."""

    def moved(self) -> None:
        """Need not know either."""

    def close(self) -> None:
        self._file.close()


class WatchedIngest:
    """A copy in the hands of another process (port PeerIngest)."""

    def __init__(self, root: Path, digest: Digest, watched: Watched, run: Runner) -> None:
        """Own *watched*, whose holder writes below *root*; disk calls go through *run*."""
        self.incoming: Reading | None = None
        self._root = root
        self._digest = digest
        self._watched = watched
        self._run = run
        self._last: IngestStatus | None = None
        self._name = ""
        self._began = time.monotonic()

    async def status(self) -> IngestStatus | None:
        while (facts := self._watched.facts()) is not None:
            # Before the first line nobody knows for whom the holder copies: it must not be taken for another repository's.
            if "repository" in facts:
                progress = await self._look(facts)
                if progress is None or progress != self._last:
                    self._last = progress
                    return progress
            await asyncio.sleep(pause(time.monotonic() - self._began))  # a look is a few system calls that never touch the disk
        return None

    def want(self) -> None:
        with suppress(StoreError):
            self._watched.want()

    def want_part(self, start: int, stop: int) -> bool:
        try:
            return self._watched.want_part(start, stop)
        except StoreError:
            return False

    def close(self) -> None:
        self._watched.close()

    async def _look(self, facts: dict[str, Any]) -> IngestStatus | None:
        if "file" in facts and (self.incoming is None or facts["file"] != self._name):
            self._name = facts["file"]  # another one where it was begun anew
            try:
                self.incoming = Reading(await self._run(self._open, self._name, undo=FileIO.close), facts.get("size"))
            except StoreError:
                return None  # it is gone, and so is whoever wrote it
            self._last = None
        return _progress(facts, self.incoming)

    def _open(self, name: str) -> BinaryIO:
        """Open what is being written, wherever it lies by now."""
        try:
            return open_plain(self._root / "ingest" / Path(name).name)
        except FileNotFoundError:
            return open_plain(path_of(self._root, self._digest))


def _progress(facts: dict[str, Any], incoming: Reading | None) -> IngestStatus:
    runs = Runs() if incoming is None else incoming.look()
    stage = IngestStage(facts.get("end", IngestStage.ASKING if incoming is None else IngestStage.COPYING))
    error = decoded_error(facts) if stage is IngestStage.FAILED else None
    return IngestStatus(stage, facts.get("repository", ""), facts.get("size"), runs.reach(0), error, tuple(runs))
