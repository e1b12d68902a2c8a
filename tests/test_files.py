"""Files beside the path of a hit, on a real disk."""

import os
import threading
from pathlib import Path

import pytest

from regproxy import files


async def test_a_file_is_read_whole(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"abc")
    assert await files.read_bytes(path) == b"abc"


async def test_a_file_that_is_missing_raises_os_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        await files.read_bytes(tmp_path / "file")
    with pytest.raises(FileNotFoundError):
        await files.version(tmp_path / "file")


async def test_a_file_that_is_replaced_has_another_version(tmp_path: Path) -> None:
    path, new = tmp_path / "file", tmp_path / "new"
    path.write_bytes(b"abc")
    first = await files.version(path)
    assert await files.version(path) == first
    new.write_bytes(b"abc")
    new.replace(path)
    assert await files.version(path) != first


async def test_a_part_is_read_without_moving_the_position(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"abcdef")
    with path.open("rb", buffering=0) as file:
        assert await files.read_at(file.fileno(), 2, 3) == b"de"
        assert file.tell() == 0


async def test_files_are_read_by_threads_of_their_own() -> None:
    """Neither the default ones, where DNS lookups run, nor the loop's wait for a mount that hangs."""
    name = await files.call(lambda: threading.current_thread().name)
    assert name.startswith("files")
    assert await files.call(os.path.join, "a", "b") == "a/b"
