"""The watch over secrets finds what it should: a watch that hears nothing would pass everything."""

import base64
import os
import subprocess
import sys
from pathlib import Path
from urllib.parse import quote

import pytest

from tests.canary import found_below, told

SECRET = "canary-password-7f3a"


@pytest.mark.parametrize("user", ["", "u", "us", "use"])
def test_a_secret_is_found_in_plain_and_in_base64_after_any_user(user: str) -> None:
    assert told(f"x{SECRET}x")
    assert told(base64.b64encode(f"{user}:{SECRET}".encode()))
    assert told(base64.urlsafe_b64encode(f'{{"{user}": "{SECRET}"}}'.encode()))
    assert told(quote(f"?password={SECRET}"))


def test_other_text_is_no_secret() -> None:
    assert told("a can of sardines, a Canadian, " + base64.b64encode(b"cannery row, cans").decode()) is None


def test_a_secret_in_a_store_or_a_log_is_found(tmp_path: Path) -> None:
    store = tmp_path / "store"
    (store / "blobs").mkdir(parents=True)
    (store / "index.db").touch()
    (tmp_path / "config.yaml").write_text(SECRET)
    assert found_below(tmp_path) == []
    (store / "blobs" / "ab").write_text(SECRET)
    (tmp_path / "regproxy.log").write_text(SECRET)
    assert [found.partition(":")[0] for found in found_below(tmp_path)] == ["in regproxy.log", "in store/blobs/ab"]
    for path in (store / "blobs" / "ab", tmp_path / "regproxy.log"):
        path.unlink()


def test_what_is_logged_or_printed_fails_the_test_that_did(tmp_path: Path) -> None:
    inner = tmp_path / "test_inner.py"
    inner.write_text(
        """
import logging

def test_logs(): logging.getLogger("regproxy.x").debug("%s", "can" + "ary-1")
def test_prints(): print("can" + "ary-2")
def test_neither(): pass
"""
    )
    plain = ["-c", os.devnull, "--rootdir", str(tmp_path), "-rf", str(inner)]
    command = [sys.executable, "-m", "pytest", "-p", "tests.canaries", *plain]
    done = subprocess.run(command, cwd=Path(__file__).parents[1], capture_output=True, text=True, check=False)
    assert "2 failed, 1 passed" in done.stdout
    assert all(f"test_inner.py::{name}" in done.stdout for name in ("test_logs", "test_prints"))
    assert done.stdout.count("a secret was told (S26)") >= 2
