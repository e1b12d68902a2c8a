"""No byte of a blob leaves an object store that was not verified."""

import random
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import pytest

from regproxy.behind.body import ObjectBody
from regproxy.oci.digest import Digest
from regproxy.policy.store.pieces import PieceSums, hash_of, piece_size
from regproxy.ports import Gone, StoreError, Unavailable

BODY = random.Random(20).randbytes(3_500_000)
PIECE = piece_size(len(BODY))
SUMS = PieceSums(len(BODY), PIECE, b"".join(hash_of(BODY[start : start + PIECE]) for start in range(0, len(BODY), PIECE)))


@dataclass
class Told:
    """What was reported."""

    damaged: list[str] = field(default_factory=list)
    late: list[str] = field(default_factory=list)

    def report_damaged(self, _: Digest, reason: str) -> None:
        self.damaged.append(reason)

    def report_late(self, _: Digest, reason: str) -> None:
        self.late.append(reason)


async def sent(body: bytes, size: int, error: Exception | None = None) -> AsyncIterator[bytes]:
    for start in range(0, len(body), size):
        yield body[start : start + size]
    if error is not None:
        raise error


def opened(told: Told, chunks: AsyncIterator[bytes], start: int = 0, stop: int = len(BODY)) -> ObjectBody:
    return ObjectBody(told, Digest.of(BODY), SUMS, start, stop, chunks)


async def received(body: ObjectBody) -> tuple[bytes, str]:
    """Read to the end, and tell why it came too early."""
    got = bytearray()
    try:
        async for chunk in body.chunks():
            got += chunk
    except Unavailable as error:
        return bytes(got), str(error)
    return bytes(got), ""


PARTS = [(0, len(BODY)), (5, 6), (PIECE, 2 * PIECE), (PIECE - 1, PIECE + 1), (len(BODY) - 1, len(BODY))]


@pytest.mark.parametrize("size", [100, PIECE - 1, PIECE, PIECE + 1, 10 * PIECE])
@pytest.mark.parametrize(("start", "stop"), PARTS)
async def test_n17_04_what_was_asked_for_is_given(size: int, start: int, stop: int) -> None:
    told, (begin, end) = Told(), SUMS.bounds(start, stop)
    assert await received(opened(told, sent(BODY[begin:end], size), start, stop)) == (BODY[start:stop], "")
    assert told == Told()


@pytest.mark.parametrize("place", [0, PIECE + 7, len(BODY) - 1])
async def test_n17_04_nothing_is_given_of_a_piece_that_is_wrong(place: int) -> None:
    told, wrong = Told(), bytearray(BODY)
    wrong[place] ^= 1
    got, why = await received(opened(told, sent(bytes(wrong), 100_000)))
    assert got == BODY[: place - place % PIECE]
    assert "wrong bytes" in why
    assert (len(told.damaged), told.late) == (1, [])


@pytest.mark.parametrize(
    ("error", "is_damaged"), [(None, False), (StoreError("broken"), False), (Gone("it was deleted"), True)], ids=["ends", "breaks", "goes"]
)
async def test_n17_04_what_comes_short_is_told(error: Exception | None, is_damaged: bool) -> None:
    told = Told()
    got, why = await received(opened(told, sent(BODY[: PIECE + 10], 100_000, error)))
    assert got == BODY[:PIECE]
    assert why
    assert (bool(told.damaged), bool(told.late)) == (is_damaged, not is_damaged)


async def test_n17_04_what_comes_beyond_the_end_is_not_read() -> None:
    told = Told()

    async def endless() -> AsyncIterator[bytes]:
        yield BODY
        while True:
            yield bytes(1000)

    assert await received(opened(told, endless())) == (BODY, "")
    assert told == Told()
