"""A store and its index, for the tests of what tends them."""

from dataclasses import dataclass
from pathlib import Path

from regproxy.fill.fills import BLOB_TYPE
from regproxy.index.ledger import SqliteLedger
from regproxy.index.sqlite import SqliteIndex
from regproxy.maintenance.reconciler import Reconciler
from regproxy.oci.descriptor import Descriptor
from regproxy.oci.digest import Digest
from regproxy.oci.reference import Repository
from regproxy.ports import Kind
from regproxy.storage.blob_files import path_of
from regproxy.storage.disk import DiskStore

LAYER = b"layer " * 1000


@dataclass
class Kept:
    """A store and its index."""

    root: Path
    store: DiskStore
    index: SqliteIndex
    ledger: SqliteLedger

    async def take_stock(self) -> tuple[int, int, int]:
        """Take it as another process would that starts now."""
        self.store.opened_at = float("inf")
        taking = Reconciler(self.store, self.ledger)
        await taking.run()
        return taking.adopted, taking.lost, taking.damaged

    async def put(self, body: bytes) -> Digest:
        """Store a blob, and record it."""
        digest = Digest.of(body)
        await self.store.write(digest, body)
        await self.record(body)
        return digest

    async def record(self, body: bytes) -> None:
        await self.index.put(Kind.BLOB, Repository("docker.io", "library/app"), Descriptor(BLOB_TYPE, Digest.of(body), len(body)))

    def damage(self, digest: Digest) -> None:
        """Flip bits of a blob on the disk."""
        with path_of(self.root, digest).open("r+b") as file:
            file.write(b"L")
