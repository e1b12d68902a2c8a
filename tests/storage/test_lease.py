"""Who copies which content in: one holder at a time, and nobody is taken for another."""

import os
from pathlib import Path

import pytest

from regproxy.oci.digest import Digest
from regproxy.storage.lease import Lease, path_of, taken, watched

DIGEST = Digest.of(b"a layer")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "leases").mkdir()
    return tmp_path


def held(root: Path) -> Lease:
    lease = taken(root, DIGEST, "library/app")
    assert lease is not None
    return lease


def die(lease: Lease) -> None:
    """Let go of a lease as the kernel does for a process that was killed: the file stays, the lock does not."""
    os.close(lease._descriptor)  # no living holder does this


def test_a_lease_has_one_holder_until_it_is_released(root: Path) -> None:
    lease = held(root)
    assert taken(root, DIGEST, "library/app") is None
    lease.release()
    assert list((root / "leases").iterdir()) == []
    held(root).release()


def test_who_watches_hears_each_line_once_it_is_whole(root: Path) -> None:
    lease = held(root)
    watch = watched(root, DIGEST)
    assert watch is not None
    assert watch.facts() == {"repository": "library/app"}
    lease.note(file="a", size=3)
    assert watch.facts() == {"repository": "library/app", "file": "a", "size": 3}
    os.write(lease._descriptor, b'{"end": "ke')  # a write that the disk took half of
    assert watch.facts() == {"repository": "library/app", "file": "a", "size": 3}
    os.write(lease._descriptor, b'pt"}\n')
    assert watch.facts() == {"repository": "library/app", "file": "a", "size": 3, "end": "kept"}
    lease.release()
    watch.close()


def test_who_watches_a_dead_holder_does_not_hear_its_successor(root: Path) -> None:
    """The successor may write another file: what it says of that one must not be believed of the first."""
    first = held(root)
    first.note(file="a", size=3)
    watch = watched(root, DIGEST)
    assert watch is not None
    die(first)
    second = held(root)
    second.note(file="b", size=3, end="kept")
    assert watch.facts() is None
    second.release()
    assert watch.facts() is None
    watch.close()


def test_what_a_holder_said_last_is_heard_after_its_end(root: Path) -> None:
    lease = held(root)
    watch = watched(root, DIGEST)
    assert watch is not None
    lease.note(end="kept")
    lease.release()
    assert watch.facts() == {"repository": "library/app", "end": "kept"}
    watch.close()


def test_a_lease_nobody_has_cannot_be_watched(root: Path) -> None:
    assert watched(root, DIGEST) is None
    held(root).release()
    assert watched(root, DIGEST) is None


def test_a_link_is_no_lease(root: Path, tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_bytes(b"precious")
    path_of(root, DIGEST).symlink_to(victim)
    with pytest.raises(OSError, match="symbolic links"):
        taken(root, DIGEST, "library/app")
    assert victim.read_bytes() == b"precious"
