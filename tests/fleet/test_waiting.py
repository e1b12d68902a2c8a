import asyncio

from regproxy.fleet.waiting import is_done


async def test_what_does_not_come_is_waited_for_so_long() -> None:
    assert not await is_done(asyncio.get_running_loop().create_future(), 0.01)


async def test_what_has_come_while_our_loop_stood_still_is_found() -> None:
    answer = asyncio.get_running_loop().create_future()
    asyncio.get_running_loop().call_later(0.06, answer.set_result, None)
    assert await is_done(answer, 0.1)
    assert await is_done(answer, 0.0)
