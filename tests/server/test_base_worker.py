"""What a pool may rely on, whichever process a worker runs in."""

import asyncio

from regproxy.policy.fleet.traffic import Traffic
from regproxy.server.base_worker import Worker
from regproxy.server.status import WorkerStatus

_LONG, _SHORT = 300.0, 0.01  # seconds


class _Stubborn(Worker):
    """Ends when it is killed, and not before."""

    def __init__(self) -> None:
        self.counted = Traffic()
        super().__init__("0", 1, self.counted)
        self.signals: list[str] = []
        self._end = asyncio.Event()
        self.ended = asyncio.create_task(self._live())

    def beat(self) -> None: ...

    def leave(self) -> None:
        self.signals.append("leave")

    def kill(self) -> None:
        self.signals.append("kill")
        self._end.set()

    def says(self, *, is_accepting: bool) -> None:
        self._hear(WorkerStatus(is_accepting, {}, moved={"http://a": (1, 2)}))

    async def _live(self) -> int:
        await self._end.wait()
        return 7


async def test_it_accepts_once_it_has_said_so_and_until_it_has_ended() -> None:
    worker = _Stubborn()
    assert not await worker.accepts(_SHORT)
    worker.says(is_accepting=False)
    assert not await worker.accepts(_SHORT)
    worker.says(is_accepting=True)
    assert await worker.accepts(_LONG)
    assert worker.report is not None
    assert worker.counted.take() == {"http://a": (2, 4)}
    worker.kill()
    assert await worker.ended == 7
    assert not worker.is_accepting


async def test_nobody_waits_for_one_that_ended_before_it_accepted() -> None:
    worker = _Stubborn()
    worker.kill()
    assert not await worker.accepts(_LONG)


async def test_one_that_does_not_leave_in_time_is_killed() -> None:
    worker = _Stubborn()
    await worker.drain(-2.5)  # and five seconds beside it
    assert worker.signals == ["leave", "kill"]
    assert worker.ended.result() == 7
