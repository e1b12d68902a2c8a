"""Memory shared by the processes of a store."""

import os
from pathlib import Path

import pytest

from regproxy.shared import forget, shared


def test_a_store_has_one_place_by_whatever_path(tmp_path: Path) -> None:
    store, link = tmp_path / "store", tmp_path / "link"
    store.mkdir()
    link.symlink_to(store)
    assert shared(store) == shared(link)
    assert shared(store).stat().st_mode & 0o777 == 0o700


def test_two_stores_share_nothing(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    assert shared(tmp_path) != shared(tmp_path / "other")


def test_it_lies_on_no_disk(tmp_path: Path) -> None:
    """Else a disk that hangs takes along whoever looks."""
    mounts = [line.split() for line in Path("/proc/mounts").read_text().splitlines()]
    place = shared(tmp_path)
    within = max((words for words in mounts if place.is_relative_to(words[1])), key=lambda words: len(words[1]))
    assert within[2] == "tmpfs"


def test_what_another_user_made_there_is_not_used(tmp_path: Path) -> None:
    os.chown(shared(tmp_path), 12345, 12345)
    with pytest.raises(PermissionError):
        shared(tmp_path)
    forget(tmp_path)


def test_a_link_in_its_place_is_not_followed(tmp_path: Path) -> None:
    place = shared(tmp_path)
    forget(tmp_path)
    place.symlink_to(tmp_path)
    with pytest.raises(PermissionError):
        shared(tmp_path)
    place.unlink()
