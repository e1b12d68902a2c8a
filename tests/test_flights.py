import asyncio
import gc
import logging

import pytest

from regproxy.flights import Flights


class Call:
    """A call that ends when it is told to, and counts how often it was made."""

    def __init__(self) -> None:
        self.made = 0
        self.cancelled = False
        self.answer: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    async def __call__(self) -> str:
        self.made += 1
        try:
            return await asyncio.shield(self.answer)
        except asyncio.CancelledError:
            self.cancelled = True
            raise


async def settled() -> None:
    """Let everything that can go on go on."""
    for _ in range(5):
        await asyncio.sleep(0)


async def no_task_left() -> bool:
    await settled()
    return asyncio.all_tasks() == {asyncio.current_task()}


def join(flights: Flights[str, str], call: Call, callers: int = 1, key: str = "key") -> list[asyncio.Task[str]]:
    return [asyncio.create_task(flights.join(key, call)) for _ in range(callers)]


async def test_callers_of_one_key_share_one_call() -> None:
    flights, call = Flights[str, str](), Call()
    callers = join(flights, call, 3)
    await settled()
    assert len(flights) == 1
    call.answer.set_result("answer")
    assert await asyncio.gather(*callers) == ["answer"] * 3
    assert call.made == 1
    assert len(flights) == 0
    assert await no_task_left()


async def test_callers_of_different_keys_share_nothing() -> None:
    flights, one, other = Flights[str, str](), Call(), Call()
    callers = join(flights, one, key="one") + join(flights, other, key="other")
    await settled()
    assert len(flights) == 2
    one.answer.set_result("one")
    assert await callers[0] == "one"
    assert not callers[1].done()
    other.answer.set_result("other")
    assert await callers[1] == "other"


async def test_whoever_comes_after_the_end_starts_another_call() -> None:
    flights = Flights[str, str]()
    for answer in ("first", "second"):
        call = Call()
        call.answer.set_result(answer)
        assert await flights.join("key", call) == answer


async def test_a_caller_that_leaves_does_not_disturb_the_others() -> None:
    flights, call = Flights[str, str](), Call()
    first, *others = join(flights, call, 3)
    await settled()
    first.cancel()
    await settled()
    assert first.cancelled()
    assert not call.cancelled
    call.answer.set_result("answer")
    assert await asyncio.gather(*others) == ["answer"] * 2


async def test_a_caller_that_leaves_as_the_call_ends_does_not_disturb_the_others() -> None:
    async def call() -> str:
        asyncio.get_running_loop().call_soon(first.cancel)
        return "answer"

    flights = Flights[str, str]()
    first, other = (asyncio.create_task(flights.join("key", call)) for _ in range(2))
    assert await other == "answer"
    assert first.cancelled()
    assert len(flights) == 0


async def test_a_call_goes_on_when_all_its_callers_have_left() -> None:
    flights, call = Flights[str, str](), Call()
    callers = join(flights, call, 3)
    await settled()
    for caller in callers:
        caller.cancel()
    await asyncio.gather(*callers, return_exceptions=True)
    assert len(flights) == 1
    [late] = join(flights, call)
    await settled()
    call.answer.set_result("answer")
    assert await late == "answer"
    assert call.made == 1
    assert await no_task_left()


async def test_an_error_reaches_every_caller_and_the_key_is_free_again() -> None:
    flights, call = Flights[str, str](), Call()
    callers = join(flights, call, 3)
    await settled()
    call.answer.set_exception(LookupError("no such thing"))
    told = await asyncio.gather(*callers, return_exceptions=True)
    assert [repr(each) for each in told] == ["LookupError('no such thing')"] * 3
    assert len(flights) == 0
    second = Call()
    second.answer.set_result("answer")
    assert await flights.join("key", second) == "answer"


async def test_a_call_that_fails_before_it_awaits_is_an_error_as_well() -> None:
    def fail() -> asyncio.Future[str]:
        raise LookupError

    flights = Flights[str, str]()
    with pytest.raises(LookupError):
        await flights.join("key", fail)
    assert len(flights) == 0


async def test_an_error_that_nobody_waits_for_is_dropped_in_silence(caplog: pytest.LogCaptureFixture) -> None:
    """Its callers have left: some before it came, one as it came."""
    gc.collect()  # what earlier tests left
    caplog.clear()
    flights, call = Flights[str, str](), Call()
    early, late = join(flights, call, 2)
    await settled()
    early.cancel()
    await settled()
    [flight] = flights._tasks
    flight.add_done_callback(lambda _: late.cancel())
    call.answer.set_exception(LookupError("no such thing"))
    await asyncio.gather(early, late, return_exceptions=True)
    assert late.cancelled()
    del flight, call
    with caplog.at_level(logging.ERROR, "asyncio"):
        gc.collect()
    assert caplog.records == []


async def test_a_call_that_is_cancelled_cancels_its_callers() -> None:
    flights, call = Flights[str, str](), Call()
    callers = join(flights, call, 2)
    await settled()
    call.answer.cancel()
    await settled()
    assert all(caller.cancelled() for caller in callers)
    assert len(flights) == 0


async def test_closing_ends_calls_and_lets_their_callers_go() -> None:
    flights, one, other = Flights[str, str](), Call(), Call()
    callers = join(flights, one, 2, key="one") + join(flights, other, key="other")
    await settled()
    await flights.close()
    assert one.cancelled
    assert other.cancelled
    assert len(flights) == 0
    await settled()
    assert all(caller.cancelled() for caller in callers)
    assert await no_task_left()


async def test_closing_ends_a_call_that_has_not_begun() -> None:
    flights, call = Flights[str, str](), Call()
    [caller] = join(flights, call)
    await asyncio.sleep(0)  # the caller waits, its call's task has yet to run
    await flights.close()
    await settled()
    assert call.made == 0
    assert caller.cancelled()
    assert len(flights) == 0


async def test_closing_without_calls_does_nothing() -> None:
    await Flights[str, str]().close()


async def test_a_flight_is_a_task_that_tells_its_key() -> None:
    flights, call = Flights[str, str](), Call()
    [caller] = join(flights, call, key="sha256:abc")
    await settled()
    assert "flight sha256:abc" in {task.get_name() for task in asyncio.all_tasks()}
    call.answer.set_result("answer")
    await caller


async def test_nothing_is_kept_for_callers_that_left() -> None:
    flights, call = Flights[str, str](), Call()
    callers = join(flights, call, 1000)
    await settled()
    for caller in callers[1:]:
        caller.cancel()
    await settled()
    assert len(flights._waiters["key"]) == 1
    call.answer.set_result("answer")
    assert await callers[0] == "answer"
