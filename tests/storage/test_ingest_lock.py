"""Who copies which content in: one holder at a time, and nobody is taken for another."""

import contextlib
import os
from pathlib import Path

import pytest

from regproxy.oci.digest import Digest
from regproxy.ports import StoreError
from regproxy.storage import ingest_lock
from regproxy.storage.ingest_lock import IngestLocks, LockName, Watched
from tests.fakes.volume import tmpfs

DIGEST = Digest.of(b"a layer")
NAME = LockName(DIGEST, "docker.io")


class Process(IngestLocks):
    """One of several that share locks."""

    def view(self) -> Watched:
        watched = self.take(NAME, "library/other")
        assert watched is not None
        return watched

    def die(self) -> None:
        """Let go as the kernel does for a process that was killed: the files stay, the locks do not."""
        for ours in self._ours.values():
            os.close(ours._descriptor)


def test_a_lease_has_one_holder_until_it_is_released(tmp_path: Path) -> None:
    one, other = Process(tmp_path), Process(tmp_path)
    assert one.take(NAME, "library/app") is None
    other.view().close()
    assert one.all() == other.all() == {DIGEST}
    one.release(NAME)
    assert one.all() == set()
    assert other.take(NAME, "library/app") is None
    other.release(NAME)


def test_n12_02_each_upstream_has_a_lock_of_its_own(tmp_path: Path) -> None:
    """One that hangs or refuses would otherwise make each process fetch another's content for itself."""
    one, other = Process(tmp_path), Process(tmp_path)
    quay = LockName(DIGEST, "quay.io")
    assert one.take(NAME, "docker.io/library/app") is None
    assert other.take(quay, "quay.io/library/app") is None
    assert one.all() == {DIGEST}
    one.release(NAME)
    assert one.all() == {DIGEST}
    other.release(quay)
    assert one.all() == set()


def test_who_watches_hears_each_line_once_it_is_whole(tmp_path: Path) -> None:
    one, other = Process(tmp_path), Process(tmp_path)
    one.take(NAME, "library/app")
    view = other.view()
    assert view.facts() == {"repository": "library/app"}
    one.note(NAME, file="a", size=3)
    assert view.facts() == {"repository": "library/app", "file": "a", "size": 3}
    with (tmp_path / str(NAME)).open("ab", buffering=0) as file:
        file.write(b'{"end": "ke')
        assert view.facts() == {"repository": "library/app", "file": "a", "size": 3}
        file.write(b'pt"}\n')
    assert view.facts() == {"repository": "library/app", "file": "a", "size": 3, "end": "kept"}
    view.close()
    one.release(NAME)


def test_who_watches_a_dead_holder_does_not_hear_its_successor(tmp_path: Path) -> None:
    """The successor may write another file: what it says of that one must not be believed of the first."""
    one, other, third = (Process(tmp_path) for _ in range(3))
    one.take(NAME, "library/app")
    one.note(NAME, file="a", size=3)
    view = other.view()
    one.die()
    third.take(NAME, "library/app")
    third.note(NAME, file="b", size=3, end="kept")
    assert view.facts() is None
    third.release(NAME)
    assert view.facts() is None
    view.close()


def test_what_a_holder_said_last_is_heard_after_its_end(tmp_path: Path) -> None:
    one, other = Process(tmp_path), Process(tmp_path)
    one.take(NAME, "library/app")
    view = other.view()
    one.note(NAME, end="kept")
    one.release(NAME)
    assert view.facts() == {"repository": "library/app", "end": "kept"}
    view.close()


def test_who_shares_nothing_copies_what_he_likes() -> None:
    alone = IngestLocks()
    assert alone.take(NAME, "library/app") is None
    alone.note(NAME, end="kept")
    alone.release(NAME)
    assert alone.all() == set()


def test_what_dead_processes_left_is_gone_after_a_start(tmp_path: Path) -> None:
    one = Process(ingest_lock.place(tmp_path))
    one.take(NAME, "library/app")
    one.die()
    ingest_lock.reset(tmp_path)
    assert IngestLocks(ingest_lock.place(tmp_path)).all() == set()


def test_a_link_is_no_lease(tmp_path: Path) -> None:
    victim, place = tmp_path / "victim", tmp_path / "locks"
    victim.write_bytes(b"precious")
    place.mkdir()
    (place / str(NAME)).symlink_to(victim)
    with pytest.raises(StoreError, match="symbolic links"):
        IngestLocks(place).take(NAME, "library/app")
    assert victim.read_bytes() == b"precious"


def test_n13_23_who_watches_tells_that_a_client_waits(tmp_path: Path) -> None:
    one, other, third = Process(tmp_path), Process(tmp_path), Process(tmp_path)
    one.take(NAME, "library/app")
    view, another = other.view(), third.view()
    one.note(NAME, file="a")
    assert not one.is_wanted(NAME)
    sizes = []
    for each in (view, another, view):
        each.want()
        sizes.append((tmp_path / str(NAME)).stat().st_size)
    assert one.is_wanted(NAME)
    assert len(set(sizes)) == 1, "once is enough, however many watch"
    one.note(NAME, end="kept")
    assert view.facts() == another.facts() == {"repository": "library/app", "file": "a", "end": "kept", "is_wanted": True}
    assert not other.is_wanted(NAME)
    one.release(NAME)
    for each in (view, another):
        each.close()


def test_n12_02_a_lease_whose_first_line_cannot_be_written_is_given_back(tmp_path: Path) -> None:
    """Held by nobody who copies, it would keep the others waiting for as long as its process lives."""
    with tmpfs(tmp_path / "full", "size=64k") as full:
        with contextlib.suppress(OSError), (full / str(Digest.of(b"another"))).open("wb", buffering=0) as file:
            while file.write(b"x" * 4096):
                pass
        one, other = Process(full), Process(full)
        with pytest.raises(StoreError, match="No space"):
            one.take(NAME, "library/app")
        (full / str(Digest.of(b"another"))).unlink()
        assert other.take(NAME, "library/app") is None
        other.release(NAME)
