"""One process per store."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from regproxy.ports import StoreError
from regproxy.storage.claim import claimed
from tests.fakes.volume import tmpfs


def test_d20_a_second_process_is_refused_and_told_who_holds_the_store(tmp_path: Path) -> None:
    code = "import sys, pathlib; from regproxy.storage.claim import claimed; claimed(pathlib.Path(sys.argv[1])).__enter__()"
    with claimed(tmp_path):
        done = subprocess.run([sys.executable, "-c", code, tmp_path], capture_output=True, text=True, check=False)
    assert f"the store at {tmp_path} is in use by process {os.getpid()}" in done.stderr


def test_a_store_is_free_when_its_holder_is_gone(tmp_path: Path) -> None:
    for _ in range(2):
        with claimed(tmp_path):
            pass


def test_a_place_where_nothing_can_be_made_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match="cannot be used"), claimed(tmp_path / "file" / "store"):
        pass


def test_d18_what_is_to_be_on_a_volume_of_its_own_is_not_begun_on_the_system_disk(tmp_path: Path) -> None:
    """A volume that is not mounted leaves an empty directory of the file system of /, which a cache must not fill."""
    nowhere = Path("/regproxy-test-volume/store")
    with pytest.raises(StoreError, match="its volume is not mounted"), claimed(nowhere, own_volume=True):
        pass
    assert not nowhere.parent.exists()
    with tmpfs(tmp_path / "volume", "size=1m") as mounted, claimed(mounted / "store", own_volume=True):
        assert (mounted / "store" / "lock").exists()
