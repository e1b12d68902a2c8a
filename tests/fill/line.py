"""A host at the end of a line that all connections share, in virtual time: seconds pass as soon as nobody has anything to do."""

import asyncio
import selectors
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import TypeVar

from regproxy.oci.digest import Digest
from regproxy.oci.reference import Repository
from tests.fill.test_download import BLOB, FakeBody

Result = TypeVar("Result")
_CHUNK = 32 * 1024
_FIRST = 10  # times what others have: congestion control gives most to who sends already when they begin


class _Clock(selectors.DefaultSelector):
    """Waits for no time at all, and counts what it would have waited."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        assert timeout is not None, "nobody has anything to do, ever"
        self.now += timeout
        return super().select(0)


class _Loop(asyncio.SelectorEventLoop):
    """Takes its time from a clock."""

    def __init__(self) -> None:
        super().__init__(clock := _Clock())
        self.time = lambda: clock.now  # type: ignore[method-assign]


def run(main: Callable[[], Coroutine[None, None, Result]]) -> Result:
    """Run *main* in virtual time."""
    with asyncio.Runner(loop_factory=_Loop) as runner:
        return runner.run(main())


class LineBody(FakeBody):
    """Comes at its share of the line."""

    line: "Line"
    number: int

    async def chunks(self, ahead: int | None = None) -> AsyncGenerator[bytes, None]:  # noqa: ARG002
        stop = len(BLOB) if self.stop is None else self.stop
        self.line.shares[self.number] = 1 if self.start else _FIRST
        try:
            for at in range(self.start, stop, _CHUNK):
                chunk = BLOB[at : min(at + _CHUNK, stop)]
                await self.line.carried(len(chunk), self.number)
                yield chunk
        finally:
            self.line.shares.pop(self.number, None)


class Line:
    """A host (port Registry, as far as it sends blobs) that carries *rate* bytes per second."""

    is_near = False

    def __init__(self, rate: float, *, has_others: bool = False) -> None:
        self.rate = rate
        self.slow: dict[int, float] = {}  # bytes per second of some connections, by the number of the request
        self.dies_at: int | None = None  # bytes after which what is open brings nothing any more
        self.requested = 0  # bytes
        self.requests = 0
        self.carried_bytes = 0
        self.shares: dict[int, int] = {}  # of the line, by the requests whose bodies are sent
        self._has_others = has_others
        self._dead = 0  # the requests up to this one

    def has_others(self, repository: Repository) -> bool:  # noqa: ARG002
        return self._has_others

    def may_repeat(self) -> bool:
        return True

    @asynccontextmanager
    async def blob(
        self, repository: Repository, digest: Digest, start: int = 0, stop: int | None = None, last: str | None = None
    ) -> AsyncIterator[LineBody]:
        del repository, digest, last
        self.requests += 1
        self.requested += (len(BLOB) if stop is None else stop) - start
        body = LineBody(start, stop, len(BLOB), len(BLOB), _CHUNK)
        body.line, body.number = self, self.requests
        await asyncio.sleep(0.02)
        yield body

    async def carried(self, count: int, number: int) -> None:
        """Wait until the request of that *number* has brought *count* bytes more."""
        share = self.shares[number] / sum(self.shares.values())
        await asyncio.sleep(count / self.slow.get(number, self.rate * share))
        if self.dies_at is not None and self.carried_bytes >= self.dies_at:
            self.dies_at, self._dead = None, self.requests
        if number <= self._dead:
            del self.shares[number]
            await asyncio.Event().wait()
        self.carried_bytes += count
