"""Who sent wrong bytes is found out once there are right ones to compare with."""

import asyncio
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import pytest

from regproxy.oci.digest import Digest
from regproxy.oci.reference import Repository
from regproxy.peers.attribution import Attribution, SentRange
from regproxy.peers.names import Blob, PieceName
from regproxy.peers.pieces.cache import PieceCache
from regproxy.policy.fleet.cut import MIB, piece_at
from regproxy.policy.fleet.suspicion import Suspicions
from regproxy.ports import Content, Extent
from regproxy.shm import Flag
from regproxy.storage.threads import DiskThreads

WHOLE = b"right" * 200 + b"and so on" * 200
BLOB = Blob(Repository("docker.io", "library/app"), Digest.of(WHOLE))
NAME = PieceName(BLOB, piece_at(0))


@dataclass
class Stored:
    """A blob in a file."""

    file: BinaryIO
    size: int = len(WHOLE)
    is_kept: bool = True

    async def extent(self, start: int, stop: int) -> Extent:
        return Extent(self.file, start, stop - start)

    async def spoiled(self) -> None:
        raise AssertionError

    def release(self) -> None:
        self.file.close()


async def suspected(root: Path, piece: bytes, *sent: SentRange, is_kept: bool = True, there: bool = True) -> set[str]:
    """Return who is suspected once *piece*, which members *sent*, turns out to be part of a blob that is wrong."""
    run, suspicions = DiskThreads(root, 60.0), Suspicions()
    cache = PieceCache(root / "pieces", 10 * MIB, 600.0)
    cache.prepare()
    file = cache.open(NAME)
    file.begin(len(WHOLE), len(piece))
    file.write(0, piece)
    (file.keep if is_kept else file.drop)()
    file.close()
    (root / "whole").write_bytes(WHOLE)

    async def stored(blob: Blob) -> Content | None:
        assert blob == BLOB
        return Stored((root / "whole").open("rb")) if there else None

    attribution = Attribution(cache, run, stored, Flag(root, "members"))
    for each in sent:
        attribution.received(NAME, each)
    await attribution.report_corrupt(BLOB, suspicions)
    if there:
        await asyncio.gather(*attribution._tasks)
    await attribution.close()
    run.close()
    return set(suspicions.reasons(0.0))


ALL = len(WHOLE)


async def test_n17_03_only_who_sent_something_else_is_blamed(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    piece = WHOLE[:1000] + b"wrong" + WHOLE[1005:]
    sent = (
        SentRange("one", 0, 1000, ALL),
        SentRange("two", 1000, 1500, ALL),
        SentRange("three", 1500, ALL, ALL),
        SentRange("none", 7, 7, ALL),
    )
    assert await suspected(tmp_path, piece, *sent) == {"two"}
    assert [each.levelno for each in caplog.records if "sent wrong bytes" in each.message] == [logging.ERROR]


async def test_n17_20_who_sent_right_bytes_of_a_wrong_size_is_blamed(tmp_path: Path) -> None:
    sent = SentRange("one", 0, 500, ALL), SentRange("two", 500, ALL, ALL + 1)
    assert await suspected(tmp_path, WHOLE, *sent) == {"two"}


async def test_n17_03_nobody_is_blamed_for_what_cannot_be_compared(tmp_path: Path) -> None:
    for number, (is_kept, there) in enumerate([(False, True), (True, False)]):
        root = tmp_path / str(number)
        root.mkdir()
        assert await suspected(root, b"wrong" * 100, SentRange("one", 0, 500, ALL), is_kept=is_kept, there=there) == set()
