"""What a notifier promises: everybody who waits is woken, once, and nobody has to wait for thousands."""

import asyncio

from regproxy.notify import Notifier


async def _told(notifier: Notifier, heard: list[int], number: int) -> None:
    await notifier.wait()
    heard.append(number)


async def _turns(count: int) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def test_everybody_who_waits_hears_of_it_in_order() -> None:
    notifier, heard = Notifier(), list[int]()
    waiting = [asyncio.create_task(_told(notifier, heard, number)) for number in range(1000)]
    await _turns(1)
    notifier.tell()
    await asyncio.gather(*waiting)
    assert heard == list(range(1000))


async def test_who_comes_after_the_news_waits_for_the_next() -> None:
    notifier, heard = Notifier(), list[int]()
    notifier.tell()
    late = asyncio.create_task(_told(notifier, heard, 1))
    await _turns(5)
    assert heard == []
    notifier.tell()
    await late
    assert heard == [1]


async def test_who_makes_the_news_has_a_turn_among_thousands_who_hear_them() -> None:
    notifier, heard = Notifier(), list[int]()
    waiting = [asyncio.create_task(_told(notifier, heard, number)) for number in range(1000)]
    await _turns(1)
    notifier.tell()
    at_turns = []
    while len(heard) < 1000:
        await _turns(1)
        at_turns.append(len(heard))
    steps = [after - before for before, after in zip([0, *at_turns], at_turns, strict=False)]
    assert max(steps) <= 64
    await asyncio.gather(*waiting)


async def test_whoever_hears_and_waits_again_does_not_keep_the_loop_busy() -> None:
    notifier, rounds = Notifier(), 0

    async def listen() -> None:
        nonlocal rounds
        while True:
            await notifier.wait()
            rounds += 1

    listening = [asyncio.create_task(listen()) for _ in range(200)]
    await _turns(1)
    notifier.tell()
    await _turns(50)
    assert rounds == 200
    notifier.tell()
    notifier.tell()
    await _turns(50)
    assert 400 <= rounds <= 600, "two pieces of notifier may be heard as one"
    for task in listening:
        task.cancel()
    await asyncio.gather(*listening, return_exceptions=True)


async def test_those_who_left_are_passed_over() -> None:
    notifier, heard = Notifier(), list[int]()
    waiting = [asyncio.create_task(_told(notifier, heard, number)) for number in range(300)]
    await _turns(1)
    for task in waiting[::2]:
        task.cancel()
    notifier.tell()
    await asyncio.gather(*waiting, return_exceptions=True)
    assert heard == list(range(300))[1::2]
