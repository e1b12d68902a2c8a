"""Memory shared by the processes of a store."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from regproxy.shm import Flag, begin, forget, shared


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


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a directory away")
def test_what_another_user_has_there_is_not_used(tmp_path: Path) -> None:
    os.chown(shared(tmp_path), 12345, 12345)
    with pytest.raises(PermissionError):
        shared(tmp_path)
    forget(tmp_path)


def test_n12_08_nobody_can_know_its_name_beforehand(tmp_path: Path) -> None:
    names = set()
    for _ in range(3):
        names.add(shared(tmp_path))
        forget(tmp_path)
    assert len(names) == 3


def test_n12_08_a_link_in_its_place_is_not_followed(tmp_path: Path) -> None:
    place = shared(tmp_path)
    place.rmdir()
    place.symlink_to(tmp_path)
    with pytest.raises(PermissionError):
        shared(tmp_path)
    place.unlink()
    forget(tmp_path)


@contextmanager
def another_process(root: Path) -> Iterator[tuple[Path, "subprocess.Popen[str]"]]:
    """Have a program of its own use the memory of the store at *root*; give its directory."""
    code = "import pathlib, sys; from regproxy.shm import shared; print(shared(pathlib.Path(sys.argv[1])), flush=True); sys.stdin.read()"
    environment = {name: value for name, value in os.environ.items() if "REGPROXY" not in name}
    command = [sys.executable, "-c", code, str(root)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stdin=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None
        yield Path(process.stdout.readline().strip()), process
        process.kill()


def test_n12_08_a_start_removes_what_a_killed_process_left_and_nothing_of_the_living(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    ours = shared(tmp_path)
    foreign = Path("/dev/shm") / f"regproxy-{os.geteuid()}-of-somebody"
    foreign.mkdir(exist_ok=True)
    with another_process(tmp_path) as (left, _):
        pass
    with another_process(tmp_path / "other") as (living, _):
        begin(tmp_path / "other")
        assert (left.exists(), living.exists(), ours.exists(), foreign.exists()) == (False, True, True, True)
    foreign.rmdir()
    begin(tmp_path / "other")
    assert not living.exists()
    forget(tmp_path)


def test_n12_08_what_processes_inherit_is_taken_only_if_it_is_ours_alone(tmp_path: Path) -> None:
    """The names in the environment may be a stranger's to choose, where a command is run with some of theirs."""
    place = shared(tmp_path)
    name = next(each for each, value in os.environ.items() if value == str(place))
    try:
        (tmp_path / "open").mkdir()
        (tmp_path / "open").chmod(0o755)
        os.environ[name] = str(tmp_path / "open")
        with pytest.raises(PermissionError):
            shared(tmp_path)
    finally:
        os.environ[name] = str(place)
        forget(tmp_path)


def test_a_flag_is_seen_by_all_who_use_the_store(tmp_path: Path) -> None:
    use = "flag = Flag(pathlib.Path(sys.argv[1]), 'said'); print(bool(flag)); flag.set()"
    code = f"import pathlib, sys; from regproxy.shm import Flag; {use}"
    ours = Flag(tmp_path, "said")
    other = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True)
    assert (other.stdout, bool(ours)) == ("False\n", True)
    ours.clear()
    ours.clear()
    assert not ours
    forget(tmp_path)


def test_a_flag_that_cannot_be_kept_is_not_set(tmp_path: Path) -> None:
    flag = Flag(tmp_path, "said")
    forget(tmp_path)
    flag.set()
    assert not flag
