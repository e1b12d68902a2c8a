"""Replicas that write to one object store."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from regproxy.behind.documents import Signer
from regproxy.behind.writer import Writer
from regproxy.index.sqlite import SqliteIndex
from regproxy.objects.bucket import Bucket
from regproxy.oci.descriptor import Descriptor
from regproxy.oci.digest import Digest
from regproxy.oci.reference import Repository
from regproxy.ports import Kind
from regproxy.storage.disk import DiskStore
from tests.behind_kit import KEY

APP = Repository("docker.io", "library/app")
NOW = 1_785_585_600.0


class Replica:
    """A store and its index, and what writes from them; *now* is what its clock says."""

    def __init__(self, store: DiskStore, index: SqliteIndex, remote: Bucket, keys: str) -> None:
        self.now = NOW
        self.store, self.index, self.queue = store, index, index.uploads()
        self.writer = Writer(self.queue, store, remote, Signer(keys, lambda: self.now), lambda: self.now)

    async def put(self, body: bytes, repository: Repository = APP) -> Digest:
        digest = Digest.of(body)
        await self.store.write(digest, body)
        await self.index.put(Kind.BLOB, repository, Descriptor("application/octet-stream", digest, len(body)))
        return digest

    async def write(self) -> list[str]:
        """Write what is in the queue, and return the outcomes."""
        outcomes = []
        while due := await self.queue.due(self.now, 1):
            outcomes.append(await self.writer.write(due[0]))
            await self.queue.done(due[0])
        return outcomes


@asynccontextmanager
async def replica_at(root: Path, remote: Bucket, keys: str = KEY) -> AsyncIterator[Replica]:
    """Run one with a disk at *root*."""
    store = DiskStore(root)
    await store.prepare()
    made: list[Replica] = []
    index = await SqliteIndex.open(root / "index.db", lambda: made[0].now if made else NOW, is_backed=True)
    try:
        made.append(Replica(store, index, remote, keys))
        yield made[0]
    finally:
        await index.close()
        store.close()
