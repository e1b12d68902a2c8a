"""Disk faults that a client must not notice, by row."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.fakes.registry import FakeRegistry
from tests.rig import Rig

NAME = "library/app"
BLOB = os.urandom(200_000)


def _truncate(path: Path) -> None:
    os.truncate(path, 1000)


def _empty(path: Path) -> None:
    os.truncate(path, 0)


def _replace_by_directory(path: Path) -> None:
    path.unlink()
    path.mkdir()


def _replace_by_symlink(path: Path) -> None:
    path.unlink()
    path.symlink_to("/etc/passwd")


def _replace_by_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


DAMAGES = [_truncate, _empty, _replace_by_directory, _replace_by_symlink, _replace_by_pipe, Path.unlink]


@pytest.mark.parametrize("damage", DAMAGES, ids=["d08 truncated", "d08 empty", "d08 directory", "d08 symlink", "d08 pipe", "d09 deleted"])
@pytest.mark.parametrize("kind", ["manifests", "blobs"])
async def test_a_damaged_file_is_fetched_again(
    upstream: FakeRegistry, proxy: Rig, tmp_path: Path, kind: str, damage: Callable[[Path], None]
) -> None:
    upstream.add_image(NAME, "1", [BLOB])
    digest = upstream.repositories[NAME].tags["1"] if kind == "manifests" else upstream.add_blob(NAME, BLOB)
    path = f"/v2/{NAME}/{kind}/{digest}?ns=docker.io"
    good = await proxy.ask(path)
    await proxy.settled()
    (stored,) = (tmp_path / "store" / "blobs").rglob(digest.hex)
    damage(stored)
    for _ in range(2):
        assert (await proxy.ask(path)).body == good.body
    await proxy.settled()
    assert upstream.count("GET", kind) <= 2


async def test_d14_b1_b7_a_manifest_without_its_blob_brings_the_blob_back(upstream: FakeRegistry, proxy: Rig, tmp_path: Path) -> None:
    """Never a 404, never an empty 200 (distribution #2367, open since 2017)."""
    upstream.add_image(NAME, "1", [BLOB])
    digest = upstream.add_blob(NAME, BLOB)
    blob = f"/v2/{NAME}/blobs/{digest}?ns=docker.io"
    assert (await proxy.ask(f"/v2/{NAME}/manifests/1?ns=docker.io")).status == 200
    await proxy.ask(blob)
    await proxy.settled()
    shutil.rmtree(tmp_path / "store" / "blobs" / "sha256" / digest.hex[:2])
    assert (await proxy.ask(f"/v2/{NAME}/manifests/1?ns=docker.io")).status == 200
    assert (await proxy.ask(blob)).body == BLOB
