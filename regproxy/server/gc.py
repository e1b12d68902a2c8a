"""Garbage in cycles, looked for by the clock.

While Python looks, nothing else happens. It looks at all that lives once enough is new, 60 ms for each thousand clients, and that is when
they come. It counts what is freed against what is new, so where thousands leave it looks late, at a hundred thousand objects at once. Here
the young, who are most of the garbage, are looked at often and so are few; and everything while few clients wait. Where hardly anything
is new, the next look comes later: a process that has nothing to do sleeps.

What is freed then stays with the process: buffers of downloads lie between what is small and lasts, so that most of its heap may be holes
(54 of 81 MB after ten minutes of hostile clients). They are given back once a minute, which takes 6 ms, and first a second after the start,
which leaves holes as well.
"""

import asyncio
import ctypes
import gc
import sys
from collections.abc import Callable
from itertools import count

_EVERY = 0.02  # seconds between two looks at what is new since the last one
_FEW_NEW = 700  # objects since the last look, after which the next one comes later
_CALM = 3  # ... by this factor
_MIDDLING = 3  # looks until one at what has outlived a look
_OLD = 3_000  # ... until one at everything: a minute
_FEW = 200  # clients, for whom that takes 12 ms
_OVERDUE = 10 * _OLD  # looks until one at everything whoever waits: ten minutes, as each connection that ends leaves a kilobyte
_COUNTED = 50  # looks until memory is counted: a second, as that takes a tenth of a millisecond
_MAX_GROWTH = 500_000  # blocks of memory, some 100 MB, after which everything is looked at sooner, whoever waits: clients choose what ends

_trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # malloc_trim(3) of glibc; musl gives back by itself


async def collect(clients: Callable[[], int], every: float = _EVERY, max_growth: int = _MAX_GROWTH) -> None:
    """Look for garbage for ever, knowing how many clients are connected; what there is already is not looked at again.

    Garbage that has outlived two looks takes *max_growth* blocks at most.
    """
    gc.disable()
    gc.collect()
    gc.freeze()
    now, due, counted, trimmed = 0, _OLD, 0, _COUNTED - _OLD  # in times of *every*
    blocks, pause = sys.getallocatedblocks(), 1
    for look in count(1):
        await asyncio.sleep(pause * every)
        now += pause
        pause = 1 if gc.get_count()[0] > _FEW_NEW else _CALM
        has_grown = False
        if now >= counted + _COUNTED:
            has_grown, counted = sys.getallocatedblocks() > blocks + max_growth, now
        if has_grown or (now >= due and (clients() < _FEW or now >= due + _OVERDUE)):
            gc.collect()
            due, blocks = now + _OLD, sys.getallocatedblocks()
        else:
            gc.collect(0 if look % _MIDDLING else 1)
        if now >= trimmed + _OLD and _trim is not None:
            trimmed = now
            _trim(0)
