"""What has to lie on the disk for a while to be read here and there, such as a tar that comes over the network."""

import tempfile
from pathlib import Path
from typing import BinaryIO

from regproxy.storage.quota import Reservation
from regproxy.storage.threads import Runner


class Spool:
    """A file without a name and the room it takes: both are gone when it is closed, and when we die (port Spool)."""

    def __init__(self, folder: Path, reservation: Reservation, run: Runner) -> None:
        """Create the file in *folder*; raise `OSError`."""
        self.file: BinaryIO = tempfile.TemporaryFile(dir=folder, buffering=0)  # noqa: SIM115 -- closed by whoever holds us
        self._reservation = reservation
        self._run = run

    async def write(self, chunk: bytes) -> None:
        await self._reservation.use(len(chunk))
        await self._run(self._append, chunk)

    def close(self) -> None:
        self.file.close()
        self._reservation.release()

    def _append(self, chunk: bytes) -> None:
        view = memoryview(chunk)
        while view:
            view = view[self.file.write(view) :]
