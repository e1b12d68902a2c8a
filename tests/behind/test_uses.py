"""What is used here is told there, once a day, and written again where it was evicted."""

from pathlib import Path

from obstore.store import MemoryStore

from regproxy.behind.uses import Uses
from regproxy.index.sqlite import SqliteIndex
from regproxy.objects.bucket import Bucket
from regproxy.oci.descriptor import Descriptor
from regproxy.oci.digest import Digest
from regproxy.oci.reference import Repository
from regproxy.policy.store import objects
from regproxy.ports import Kind

THERE, GONE = Digest.of(b"there"), Digest.of(b"gone")
NOW = 1_785_585_600.0
APP = Repository("docker.io", "library/app")


async def test_n17_04_uses_are_told_once_a_day_and_what_was_evicted_is_written_again(tmp_path: Path) -> None:
    memory = MemoryStore()
    remote = Bucket(memory, memory, "memory")
    index = await SqliteIndex.open(tmp_path / "index.db", lambda: NOW)
    for digest in (THERE, GONE):
        await index.put(Kind.BLOB, APP, Descriptor("application/octet-stream", digest, 5))
    await remote.put(objects.blob(THERE), b"there")
    uses = Uses(index.uploads(), remote)
    assert await uses.tell() == 2
    assert [await remote.get(objects.use(digest), 10) for digest in (THERE, GONE)] == [objects.MARK, objects.MARK]
    assert [each.name for each in await index.uploads().due(NOW, 10)] == [f"blob {APP} {GONE}"]
    await index.ledger().touch((), [THERE], NOW + 80_000)
    assert await uses.tell() == 0
    await index.ledger().touch((), [THERE], NOW + 90_000)
    assert await uses.tell() == 1
    await index.close()
