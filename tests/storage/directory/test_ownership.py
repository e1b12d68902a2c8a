"""Row S29: the store is a directory of our own, and nobody else reads it."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from regproxy.config import Settings, load
from regproxy.ports import StoreError
from regproxy.wiring import kept
from tests.fakes.registry import FakeRegistry
from tests.rig import rig


@pytest.fixture
def no_umask() -> Iterator[None]:
    before = os.umask(0)
    yield
    os.umask(before)


def settings(root: Path) -> Settings:
    return load(None, {"REGPROXY__STORE__ROOT": str(root)})


@pytest.mark.usefixtures("no_umask")
async def test_s29_whatever_the_umask_nobody_else_reads_the_store(upstream: FakeRegistry, tmp_path: Path) -> None:
    digest = upstream.add_blob("library/app", b"blob")
    upstream.add_image("library/app", "1", [b"layer"])
    async with rig(tmp_path / "store", {"docker.io": upstream.url}) as proxy:
        assert (await proxy.ask(f"/v2/library/app/blobs/{digest}")).status == 200
        assert (await proxy.ask("/v2/library/app/manifests/1")).status == 200
        await proxy.settled()
        root = tmp_path / "store"
        modes = {path.relative_to(root): path.stat().st_mode for path in [root, *root.rglob("*")]}
    assert {name: oct(mode) for name, mode in modes.items() if stat.S_IMODE(mode) & 0o077} == {}
    assert len(modes) > 10


@pytest.mark.parametrize("place", ["", "blobs", "blobs/sha256", "blobs/sha256/ab", "ingest"], ids=lambda place: place or "root")
async def test_s29_a_link_in_the_place_of_a_directory_is_not_followed(tmp_path: Path, place: str) -> None:
    root, elsewhere = tmp_path / "store", tmp_path / "elsewhere"
    async with kept(settings(root)):
        (root / "blobs" / "sha256" / "ab").mkdir(mode=0o700)
    (root / place).rename(elsewhere)
    (root / place).symlink_to(elsewhere)
    with pytest.raises(StoreError, match="is a symbolic link"):
        async with kept(settings(root)):
            pass


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a directory away")
@pytest.mark.parametrize("place", ["", "blobs/sha256/ab"], ids=lambda place: place or "root")
async def test_s29_a_directory_of_somebody_else_is_not_used(tmp_path: Path, place: str) -> None:
    root = tmp_path / "store"
    async with kept(settings(root)):
        (root / "blobs" / "sha256" / "ab").mkdir(mode=0o700)
    os.chown(root / place, 12345, 12345)
    with pytest.raises(StoreError, match="belongs to user 12345"):
        async with kept(settings(root)):
            pass
