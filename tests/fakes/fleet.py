"""Several regproxies in this process that are one fleet."""

import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from tests.free_port import free_port
from tests.rig import LOOPBACK, PATIENT, Rig, rig

KEY = "canary-fleet-0123456789abcdef0123456789abcdef"


@asynccontextmanager
async def fleet(
    root: Path,
    upstreams: Mapping[str, object],
    count: int = 3,
    *,
    more: Sequence[str] = (),
    second_name: str | None = None,
    own: Mapping[int, Mapping[str, object]] | None = None,
    views: Mapping[int, Sequence[int]] | None = None,
    upstreams_of: Mapping[int, Mapping[str, object]] | None = None,
    clocks: Mapping[int, Callable[[], float]] | None = None,
    **settings: object,
) -> AsyncIterator[list[Rig]]:
    """Run *count* members below *root*; they take *more* URLs for members too, and each for another one by its *second_name*.

    Some have settings of `fleet` of their *own*, *views* of their own of who the members are, other *upstreams_of* their own, or other
    *clocks*.
    """
    ports = [free_port() for _ in range(count)]
    peers = [f"{'https' if 'tls' in settings else 'http'}://{LOOPBACK}:{port}" for port in ports]
    more = [*more, *(f"http://{second_name}:{port}" for port in ports if second_name)]
    async with AsyncExitStack() as stack:
        rigs = []
        for number, port in enumerate(ports):
            known = [peers[each] for each in (views or {}).get(number, range(count))]
            place = {"peers": [*known, *more], "advertise": peers[number], "key": KEY, "timeout": "60s", **(own or {}).get(number, {})}
            found = (upstreams_of or {}).get(number, upstreams)
            all_settings = {"listen": f"{LOOPBACK}:{port}", "fleet": place, "timeouts": PATIENT, **settings}
            clock = (clocks or {}).get(number, time.time)
            (root / str(number)).mkdir()
            rigs.append(await stack.enter_async_context(rig(root / str(number) / "store", found, clock, **all_settings)))
        yield rigs
