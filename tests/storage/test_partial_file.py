"""What a process left half written, and what another is writing."""

import asyncio
from pathlib import Path

import pytest

from regproxy.oci.digest import Digest
from regproxy.ports import Gone
from regproxy.storage.disk import DiskStore
from tests.storage.stored import BODY, DIGEST, path


async def test_a_file_that_somebody_writes_is_nobody_elses(store: DiskStore) -> None:
    alive = await store.ingest(DIGEST, len(BODY))
    await alive.write([BODY])
    with pytest.raises(Gone, match="are gone"):
        await store.ingest(DIGEST, len(BODY), 4)
    await alive.discard()
    alive.close()


async def test_who_brings_the_same_content_at_once_gets_in_nobodys_way(store: DiskStore, tmp_path: Path) -> None:
    """Fills of several repositories do: each removes what others have left unfinished, which they may just be renaming."""
    for number in range(40):
        body = b"layer %d" % number
        digest = Digest.of(body)
        await asyncio.gather(*(store.write(digest, body) for _ in range(8)))
        assert path(tmp_path, digest).read_bytes() == body
    assert list((tmp_path / "store" / "ingest").iterdir()) == []
    assert store.trouble is None


async def test_n12_02_what_is_being_written_is_not_resumed(store: DiskStore, tmp_path: Path) -> None:
    """Another upstream's fill of the same digest would have its bytes asked for a second time, in vain."""
    other = DiskStore(tmp_path / "store")
    await other.join()
    ingest = await store.ingest(DIGEST, len(BODY))
    await ingest.write([BODY[:1000]])
    assert await other.resumable(DIGEST) == 0
    ingest.leave()
    await ingest.discard()
    ingest.close()
    assert await other.resumable(DIGEST) == 999
    other.close()
