"""A part of a blob on its way here."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager

from regproxy.fill.piece import PieceDownload
from regproxy.fill.source import Late, Source
from regproxy.notify import Notifier
from regproxy.oci.digest import Digest
from regproxy.oci.reference import Repository
from regproxy.ports import BlobBody
from tests.fill.line import run
from tests.fill.test_download import FakeBody

DIGEST = Digest.of(b"blob")
APP = Repository("docker.io", "library/app")


class DueAtOnce:
    """The order of a piece that nothing is beside."""

    def is_front(self, piece: PieceDownload) -> bool:  # noqa: ARG002
        return True

    def due(self, piece: PieceDownload) -> float | None:  # noqa: ARG002
        return 0.0

    def began(self, piece: PieceDownload, body: BlobBody) -> None: ...

    def arrived(self, count: int) -> None: ...

    def gives_way(self) -> bool:
        return False

    async def passed(self) -> None: ...


class DueLater(DueAtOnce):
    """The order of a piece that gets more time, and then less, while it is waited for."""

    def __init__(self) -> None:
        self.judged_at: list[float] = []

    def due(self, piece: PieceDownload) -> float:  # noqa: ARG002
        self.judged_at.append(asyncio.get_running_loop().time())
        return (0.5, 9.0, 1.2)[len(self.judged_at) - 1]


class SilentBody(FakeBody):
    """Sends nothing, and judges whoever waits for it while that is being ended."""

    piece: PieceDownload

    async def chunks(self, ahead: int | None = None) -> AsyncGenerator[bytes, None]:  # noqa: ARG002
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.piece.judge()
            raise
        yield b""


class Silent:
    """An upstream whose one answer goes nowhere."""

    is_near = True

    def __init__(self) -> None:
        self.body = SilentBody(0, 4, 4, 0, 1)

    def has_others(self, repository: Repository) -> bool:  # noqa: ARG002
        return False

    def may_repeat(self) -> bool:
        return False

    @asynccontextmanager
    async def blob(
        self, repository: Repository, digest: Digest, start: int = 0, stop: int | None = None, last: str | None = None
    ) -> AsyncIterator[BlobBody]:
        assert (repository.name, digest, start, stop, last) == ("library/app", DIGEST, 0, 4, None)
        yield self.body


async def test_n12_a_part_that_is_late_may_be_judged_until_it_has_heard_of_it() -> None:
    """Others judge it when bytes of theirs come; a timeout that has passed takes no other time, and their fill failed."""
    upstream = Silent()
    piece = PieceDownload(Source(upstream, APP, DIGEST), DueAtOnce(), Notifier(), 0, 4, None)
    upstream.body.piece = piece
    async with asyncio.timeout(300):
        await piece.fetch()
    assert isinstance(piece.error, Late)


def test_n13_24_a_part_is_judged_again_when_it_is_due_and_every_second_until_then() -> None:
    """Others may have become as slow as it is, or silent, so that they tell nothing any more."""
    upstream, order = Silent(), DueLater()

    async def fetched() -> PieceDownload:
        piece = upstream.body.piece = PieceDownload(Source(upstream, APP, DIGEST), order, Notifier(), 0, 4, None)
        await piece.fetch()
        return piece

    assert isinstance(run(fetched).error, Late)
    assert order.judged_at == [0.0, 0.5, 1.5]


async def test_a_part_that_nobody_sends_tells_nothing_of_its_host() -> None:
    piece = PieceDownload(Source(Silent(), APP, DIGEST), DueAtOnce(), Notifier(), 0, 4, None)
    assert piece.transfer(0.0) is None
