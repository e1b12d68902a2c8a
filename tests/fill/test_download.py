"""Whatever hosts do, a blob arrives in order and every byte of it once."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from regproxy.fill.download import Download
from regproxy.fill.passed_parts import First
from regproxy.fill.source import Sender
from regproxy.fill.spill import AHEAD
from regproxy.oci.digest import Digest
from regproxy.oci.reference import Repository
from regproxy.ports import Corrupt, Ingest, Unavailable
from tests.fill.memory_ingest import MemoryIngest

MIB = 1024 * 1024
REPOSITORY = Repository("docker.io", "library/app")
BLOB = b"".join(number.to_bytes(8, "big") for number in range(13 * MIB // 8))
DIGEST = Digest.of(BLOB)

Answer: TypeAlias = Literal["right", "short", "whole", "refuses", "of another size"]


@dataclass
class FakeBody:
    """A part as one host sends it."""

    start: int
    stop: int | None
    size: int | None
    sent: int  # bytes after which it breaks off
    pace: int  # bytes at a time
    delay: float = 0.0  # seconds after the first of them

    def __str__(self) -> str:
        return "fake"

    async def chunks(self, ahead: int | None = None) -> AsyncGenerator[bytes, None]:
        assert ahead in {None, AHEAD}
        stop = len(BLOB) if self.stop is None else self.stop
        for at in range(self.start, min(self.start + self.sent, stop), self.pace):
            await asyncio.sleep(self.delay if at == self.start + self.pace else 0)
            yield BLOB[at : min(at + self.pace, self.start + self.sent, stop)]
        if self.start + self.sent < stop:
            raise Unavailable("broke off")

    is_untrusted = False

    def pause(self) -> None: ...

    def confirm(self) -> None: ...

    def reject(self) -> None: ...

    def suspect(self) -> None: ...


@dataclass
class FakeSender:
    """Answers by a script, and rightly once that is over."""

    first: int  # bytes of the first answer
    script: list[tuple[Answer, int]]
    is_near: bool = False
    asked: list[int] = field(default_factory=list)
    lengths: list[int] = field(default_factory=list)
    under_way: int = 0
    most: int = 0  # that were under way at once

    def has_others(self, repository: Repository) -> bool:  # noqa: ARG002
        return False

    def may_repeat(self) -> bool:
        return True

    @asynccontextmanager
    async def blob(
        self, repository: Repository, digest: Digest, start: int = 0, stop: int | None = None, last: str | None = None
    ) -> AsyncIterator[FakeBody]:
        assert (repository, digest, last) == (REPOSITORY, DIGEST, None)
        self.asked.append(start)
        self.lengths.append((len(BLOB) if stop is None else stop) - start)
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        try:
            async with self._answered(start, stop) as body:
                yield body
        finally:
            self.under_way -= 1

    @asynccontextmanager
    async def _answered(self, start: int, stop: int | None) -> AsyncIterator[FakeBody]:
        await asyncio.sleep(0)
        if len(self.asked) == 1:
            # A slow beginning, so that other connections join this one.
            yield FakeBody(start, stop, len(BLOB), self.first, 64 * 1024, delay=0.15)
            return
        answer, number = self.script.pop() if self.script else ("right", 64 * 1024)
        match answer:
            case "refuses":
                raise Corrupt("sent it from elsewhere on")
            case "of another size":
                yield FakeBody(start, stop, len(BLOB) + 1, 0, MIB)
            case "whole":
                yield FakeBody(0, len(BLOB), len(BLOB), len(BLOB), max(number, 64 * 1024))
            case "short":
                yield FakeBody(start, stop, len(BLOB), number, 64 * 1024)
            case "right":
                yield FakeBody(start, stop, len(BLOB), len(BLOB), max(number, 64 * 1024))


@dataclass
class Others:
    """Go first from the *number*th time on that somebody asks whether they do, until they are `over`."""

    number: int
    over: asyncio.Event = field(default_factory=asyncio.Event)
    waited_for: asyncio.Event = field(default_factory=asyncio.Event)
    followed: bool = True

    def is_followed(self) -> bool:
        return self.followed

    def holds(self) -> bool:
        self.number -= 1
        return self.number <= 0 and not self.over.is_set()

    async def passed(self) -> None:
        self.waited_for.set()
        await self.over.wait()


async def _download(sender: Sender, start: int, connections: int, first: First | None = None, ingest: Ingest | None = None) -> bytes:
    received = bytearray()
    download = Download(sender, REPOSITORY, DIGEST, start, connections=connections, stall_timeout=60, first=first)
    if ingest is not None:
        download.spill.open(ingest)

    async def put(chunk: bytes) -> None:
        received.extend(chunk)
        await asyncio.sleep(0)
        download.advance(len(chunk))

    try:
        await download.begin()
        await download.run(put)
    finally:
        await download.close()
    return bytes(received)


BREAKING = st.tuples(st.sampled_from(["right", "short", "whole"]), st.integers(1, 2 * MIB))
FUTILE = st.tuples(st.sampled_from(["refuses", "of another size"]), st.just(0))  # each costs a pause


@settings(max_examples=25, deadline=None)
@given(
    start=st.integers(0, len(BLOB) - 1) | st.just(0),
    connections=st.integers(1, 12),
    first=st.integers(1, 5 * MIB),
    breaking=st.lists(BREAKING, max_size=20),
    futile=st.lists(FUTILE, max_size=1),
)
def test_every_download_gives_each_byte_exactly_once(
    start: int, connections: int, first: int, breaking: list[tuple[Answer, int]], futile: list[tuple[Answer, int]]
) -> None:
    sender = FakeSender(first, breaking + futile)
    assert asyncio.run(_download(sender, start, connections)) == BLOB[start:]


@settings(max_examples=25, deadline=None)
@given(
    connections=st.integers(2, 12),
    breaking=st.lists(BREAKING, max_size=20),
    refused_at=st.none() | st.integers(0, 12),
    lost_at=st.none() | st.integers(0, 12),
)
def test_every_download_gives_each_byte_exactly_once_by_way_of_a_disk(
    connections: int, breaking: list[tuple[Answer, int]], refused_at: int | None, lost_at: int | None
) -> None:
    """Also where the disk refuses what is ahead of its turn, or has lost it when it is its turn."""
    ingest = MemoryIngest(len(BLOB), refused_at, lost_at)
    assert asyncio.run(_download(FakeSender(MIB, breaking), 0, connections, ingest=ingest)) == BLOB


def test_what_is_ahead_of_its_turn_waits_on_the_disk() -> None:
    ingest, sender = MemoryIngest(len(BLOB)), FakeSender(len(BLOB), [])
    assert asyncio.run(_download(sender, 0, 12, ingest=ingest)) == BLOB
    assert ingest.scattered > len(BLOB) // 2
    assert sum(sender.lengths) == len(BLOB)


def test_what_comes_beside_the_first_piece_waits_on_the_disk_too() -> None:
    """It was lost where the process was killed: up to a fifth of a blob of 8 MB."""
    ingest, sender = MemoryIngest(len(BLOB)), FakeSender(len(BLOB), [])
    assert asyncio.run(_download(sender, 0, 1, ingest=ingest)) == BLOB
    assert len(sender.asked) == 2
    assert ingest.scattered > 0


def test_a_slow_beginning_is_joined_by_other_connections() -> None:
    """Or the test above would look at one connection only."""
    sender = FakeSender(len(BLOB), [])
    assert asyncio.run(_download(sender, 0, 12)) == BLOB
    assert len(sender.asked) > 6


@pytest.mark.parametrize("is_followed", [True, False])
def test_n13_23_a_slow_download_that_nobody_reads_takes_one_connection(*, is_followed: bool) -> None:
    """Parts that clients wait for would come behind all that others have begun."""
    sender, others = FakeSender(len(BLOB), []), Others(0, followed=is_followed)
    others.over.set()
    assert asyncio.run(_download(sender, 0, 12, others)) == BLOB
    assert (sender.most > 1) is is_followed


@pytest.mark.parametrize("number", [1, 2, 5, 30])
async def test_n13_23_a_download_lets_others_go_first(number: int) -> None:
    sender, others = FakeSender(len(BLOB), []), Others(number)
    download = asyncio.create_task(_download(sender, 0, 4, others))
    await others.waited_for.wait()
    assert not sender.asked or number > 1
    assert not download.done()
    others.over.set()
    assert await download == BLOB
