"""One process per store."""

import os
import pwd
import stat
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path

import pytest

from regproxy.ports import StoreError
from regproxy.storage.directory.layout import prepare
from regproxy.storage.directory.store_lock import claimed
from tests.fakes.volume import tmpfs


def test_d20_a_second_process_is_refused_and_told_who_holds_the_store(tmp_path: Path) -> None:
    code = "import sys, pathlib; from regproxy.storage.directory.store_lock import claimed; claimed(pathlib.Path(sys.argv[1])).__enter__()"
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
    with pytest.raises(StoreError, match="its volume is not mounted"), claimed(nowhere, require_mount=True):
        pass
    assert not nowhere.parent.exists()
    with tmpfs(tmp_path / "volume", "size=1m") as mounted, claimed(mounted / "store", require_mount=True):
        assert (mounted / "store" / "lock").exists()


def test_n12_08_no_file_is_written_by_way_of_a_link(tmp_path: Path) -> None:
    """A root command must not overwrite what a link in a foreign directory leads to."""
    root, victim = tmp_path / "store", tmp_path / "victim"
    root.mkdir(mode=0o700)
    victim.write_text("precious")
    for name in ("lock", "layout.new", "layout", "running", "index.db"):
        (root / name).symlink_to(victim)
        with pytest.raises(StoreError), claimed(root):
            prepare(root)
        (root / name).unlink()
    (root / "lock").hardlink_to(victim)
    with pytest.raises(StoreError, match="not a file of its own"), claimed(root):
        pass
    (root / "lock").unlink()
    os.mkfifo(root / "lock")
    with pytest.raises(StoreError, match="not a file of its own"), claimed(root):
        pass
    assert victim.read_text() == "precious"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give something away")
@pytest.mark.parametrize("what", ["root", "parent", "link", "lock", "index.db", "sticky parent"])
def test_n12_08_nothing_is_written_where_somebody_else_rules(tmp_path: Path, what: str) -> None:
    parent = tmp_path / "parent"
    root = parent / "store"
    root.mkdir(parents=True, mode=0o700)
    match what:
        case "root":
            os.chown(root, 12345, 12345)
        case "parent":
            os.chown(parent, 12345, 12345)
        case "sticky parent":
            os.chown(parent, 12345, 12345)
            parent.chmod(0o1777)
        case "link":
            (tmp_path / "link").symlink_to(parent)
            os.lchown(tmp_path / "link", 12345, 12345)
            root = tmp_path / "link" / "store"
        case name:
            (root / "layout").touch()
            (root / name).touch()
            os.chown(root / name, 12345, 12345)
    before = sorted(root.iterdir())
    with pytest.raises(StoreError, match="belongs to user 12345"), claimed(root):
        pass
    assert sorted(root.iterdir()) == before


@pytest.mark.parametrize("mode", [0o777, 0o770, 0o775, 0o757, 0o1777, 0o2775])
@pytest.mark.parametrize("is_store", [False, True])
def test_n12_08_a_store_that_others_can_write_to_is_refused_and_how_to_mend_it_told(tmp_path: Path, mode: int, *, is_store: bool) -> None:
    root = tmp_path / "store"
    if is_store:
        with claimed(root):
            prepare(root)
    root.mkdir(exist_ok=True)
    root.chmod(mode)
    with pytest.raises(StoreError, match=f"chmod go-w {root}"), claimed(root):
        pass
    root.chmod(mode & ~0o022)
    with claimed(root):
        pass


def test_n12_08_a_directory_on_the_way_that_others_can_write_to_is_refused(tmp_path: Path) -> None:
    parent = tmp_path / "parent"
    parent.mkdir()
    parent.chmod(0o777)
    with pytest.raises(StoreError, match=f"chmod o-w {parent}"), claimed(parent / "store"):
        pass
    assert not (parent / "store").exists()
    parent.chmod(0o1777)  # as /tmp: what is ours there nobody replaces
    with claimed(parent / "store"):
        pass


def _foreign_groups() -> list[int]:
    """List groups that some other user is in."""
    return [user.pw_gid for user in pwd.getpwall() if user.pw_uid not in {0, os.geteuid()} and user.pw_gid]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a directory to a group that it is not in")
@pytest.mark.parametrize("mode", [0o775, 0o2775, 0o770])
def test_n12_08_a_directory_on_the_way_that_a_group_of_others_can_write_to_is_refused(tmp_path: Path, mode: int) -> None:
    parent = tmp_path / "parent"
    parent.mkdir()
    os.chown(parent, 0, _foreign_groups()[0])
    parent.chmod(mode)
    with pytest.raises(StoreError, match=f"chmod g-w {parent}"), claimed(parent / "a" / "store"):
        pass
    assert not (parent / "a").exists()
    parent.chmod(mode & ~0o020)
    with claimed(parent / "a" / "store"):
        pass


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a directory to a group that it is not in")
def test_n12_08_a_volume_that_belongs_to_a_group_of_our_own_is_taken(tmp_path: Path) -> None:
    """Kubernetes' fsGroup, which no list of groups knows, and what an administrator may write to."""
    for group in (54_321, 0):
        volume = tmp_path / f"volume{group}"
        volume.mkdir()
        os.chown(volume, 0, group)
        volume.chmod(0o2775)
        with claimed(volume / "store"):
            pass


def test_n12_08_what_only_our_own_group_can_write_to_is_taken(tmp_path: Path) -> None:
    """Where umask is 002, each user has a group of their own; one that others are in is refused all the same."""
    parent = tmp_path / "parent"
    parent.mkdir()
    parent.chmod(0o775)
    is_shared = parent.stat().st_gid in _foreign_groups()
    with pytest.raises(StoreError, match="chmod g-w") if is_shared else nullcontext(), claimed(parent / "store"):
        pass


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a directory to a group that it is not in")
def test_n12_08_a_sticky_directory_of_a_group_is_taken(tmp_path: Path) -> None:
    """What is ours there nobody replaces."""
    parent = tmp_path / "parent"
    parent.mkdir()
    os.chown(parent, 0, _foreign_groups()[0])
    parent.chmod(0o1775)
    with claimed(parent / "store"):
        pass


def test_links_of_an_administrator_are_followed(tmp_path: Path) -> None:
    """As /home -> /var/home, and in both ways that links are written."""
    (tmp_path / "var" / "home").mkdir(parents=True)
    (tmp_path / "home").symlink_to("var/../var/home")
    (tmp_path / "whole").symlink_to(tmp_path / "home")
    with claimed(tmp_path / "whole" / "a" / "store"):
        pass
    assert (tmp_path / "var" / "home" / "a" / "store" / "lock").exists()
    (tmp_path / "circle").symlink_to("circle")
    with pytest.raises(StoreError, match="symbolic links"), claimed(tmp_path / "circle" / "store"):
        pass


def test_n13_07_a_foreign_directory_keeps_no_lock(tmp_path: Path) -> None:
    (tmp_path / "letter.txt").touch()
    with pytest.raises(StoreError, match="give it a directory of its own"), claimed(tmp_path):
        pass
    assert [each.name for each in tmp_path.iterdir()] == ["letter.txt"]


def test_directories_on_the_way_are_made_for_nobody_else_to_write(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        with claimed(tmp_path / "a" / "b" / "store"):
            pass
    finally:
        os.umask(before)
    assert [stat.S_IMODE((tmp_path / each).stat().st_mode) for each in ("a", "a/b", "a/b/store")] == [0o755, 0o755, 0o700]
