"""A store is recognised, and what a crash left is cleared away."""

import os
from pathlib import Path

import pytest

from regproxy.ports import StoreError
from regproxy.storage.disk import DiskStore
from tests.storage.stored import BODY, DIGEST


async def test_what_a_crash_left_long_ago_is_cleared_away(store: DiskStore, tmp_path: Path) -> None:
    """Except what a living process is still writing: the kernel knows, because it holds the lock."""
    alive = await store.ingest(DIGEST, len(BODY))
    orphan = tmp_path / "store" / "ingest" / "dead.1234"
    orphan.write_bytes(b"half a blob")
    os.utime(orphan, (0, 0))
    again = DiskStore(tmp_path / "store")
    await again.prepare()
    assert not orphan.exists()
    await alive.write([BODY])
    await alive.commit()
    alive.close()
    assert await again.read(DIGEST, len(BODY)) == BODY
    again.close()


@pytest.mark.parametrize(
    "found", [{"important.txt": "mine"}, {"layout": "regproxy store, layout 99\n"}], ids=["not ours", "another layout"]
)
async def test_a_directory_that_is_no_store_of_ours_is_refused(tmp_path: Path, found: dict[str, str]) -> None:
    for name, text in found.items():
        (tmp_path / name).write_text(text)
    store = DiskStore(tmp_path)
    with pytest.raises(StoreError, match=str(tmp_path)):
        await store.prepare()
    store.close()


async def test_readiness_reads_for_real(store: DiskStore, tmp_path: Path) -> None:
    assert await store.check() is None
    (tmp_path / "store" / "layout").unlink()
    with pytest.raises(StoreError):
        await store.check()
