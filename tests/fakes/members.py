"""Members of a fleet that share tags and tokens, and nothing else: each in this process, at a port of its own."""

import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field

from aiohttp import web

from regproxy.fleet.encryption import Encryption
from regproxy.fleet.key_values import MemoryKeyValues
from regproxy.peers.client import PeerClient
from regproxy.peers.keys import FleetKeys, NotOursError
from regproxy.peers.replicas import FleetLink, MemberFleet
from regproxy.policy.fleet.ring import Ring
from regproxy.web.fleet.key_values import KeyValueEndpoint
from tests.fakes.fleet import KEY
from tests.free_port import free_port
from tests.rig import LOOPBACK


@dataclass
class Member:
    """One member."""

    url: str
    kept: MemoryKeyValues
    fleet: MemberFleet
    runner: web.ServerRunner
    asked: list[str] = field(default_factory=list)  # methods and targets

    async def serve(self) -> None:
        await self.runner.setup()
        await web.TCPSite(self.runner, LOOPBACK, int(self.url.rpartition(":")[2])).start()

    async def die(self) -> None:
        """Answer nobody any more."""
        await self.runner.cleanup()


@asynccontextmanager
async def members(
    count: int = 2,
    *,
    keys: Sequence[str] = (),
    clock: Callable[[], float] = time.time,
    timeout: float = 12.0,
    more: Sequence[str] = (),
    is_shared: Callable[[str], bool] = lambda _: True,
) -> AsyncIterator[list[Member]]:
    """Run members that have *keys*, one each, and take *more* for members too; each call has *timeout* seconds."""
    urls = [f"http://{LOOPBACK}:{free_port()}" for _ in range(count)]
    async with AsyncExitStack() as stack:
        found = []
        for number, url in enumerate(urls):
            member = _member(url, keys[number] if keys else KEY, clock)
            await member.serve()
            stack.push_async_callback(member.die)
            key = keys[number] if keys else KEY
            ring = Ring([*urls, *more], url)
            client = PeerClient(FleetKeys(key, time.time), 60.0, time.time)
            stack.push_async_callback(client.close)
            encryption = Encryption(key, "fleet", is_bound=True)
            member.fleet.join(FleetLink(lambda ring=ring: ring, client, encryption, is_shared, timeout))  # type: ignore[misc]
            stack.push_async_callback(member.fleet.close)
            found.append(member)
        yield found


def _member(url: str, key: str, clock: Callable[[], float]) -> Member:
    kept = MemoryKeyValues()
    endpoint, signed = KeyValueEndpoint(kept), FleetKeys(key, time.time)
    asked: list[str] = []

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        try:
            sealed = signed.opened(request.headers["Regproxy-Fleet"], request.method, request.headers["Host"], request.raw_path, "")
        except NotOursError:
            return web.Response(status=401)
        asked.append(f"{request.method} {request.raw_path}")
        return await endpoint.answer(request, sealed)

    return Member(url, kept, MemberFleet(kept, clock), web.ServerRunner(web.Server(answer), shutdown_timeout=0.01), asked)
