"""A file without a name: what is in it is read anywhere, and all of it goes with it."""

from pathlib import Path

import pytest

from regproxy.policy.store.quota import Limits
from regproxy.ports import Full
from regproxy.storage.disk import DiskStore


async def test_what_was_written_is_read_anywhere_and_gone_when_it_is_closed(store: DiskStore, tmp_path: Path) -> None:
    spool = await store.spool(10)
    for chunk in (b"hello ", b"world"):
        await spool.write(chunk)
    spool.file.seek(6)
    assert spool.file.read() == b"world"
    assert list((tmp_path / "store" / "ingest").iterdir()) == [], "it has no name that a crash could leave"
    assert store.quota.promised + store.quota.held > 0
    spool.close()
    assert store.quota.promised == store.quota.held == 0


async def test_a_spool_takes_no_more_than_there_is_room_for(store: DiskStore) -> None:
    store.limit(Limits(max_size=64 * 1024))
    with pytest.raises(Full):
        await store.spool(1024 * 1024)
    spool = await store.spool(0)
    with pytest.raises(Full):
        await spool.write(bytes(1024 * 1024))
    spool.close()
    assert store.quota.promised == store.quota.held == 0
