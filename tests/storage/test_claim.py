"""One process per store."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from regproxy.ports import StoreError
from regproxy.storage.claim import claimed


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
