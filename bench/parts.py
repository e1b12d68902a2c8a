"""Parts of a cold image over a slow line that all share: `python -m bench.parts [--rate 4]`.

A client asks for small parts of three layers one after another, as lazy snapshotters do: how long all of them take directly, and through
regproxy with `uncached_ranges` as pass and as fill; then how long the fills behind them take.
"""

import argparse
import asyncio
import os
import random
import socket
import tempfile
import time
from pathlib import Path

import aiohttp

from tests.fakes.listener import Listener, closed
from tests.fakes.registry import FakeRegistry
from tests.rig import rig

_MB = 1_000_000
_NAME = "library/app"
_PIECE = 16 * 1024
_SIZES = (1 * _MB, 10 * _MB, 40 * _MB)
_PARTS = 20
_PART = 50_000  # bytes; a chunk of a stargz layer is 4 MiB at most, most are much smaller


class SharedLine(Listener):
    """Passes bytes both ways; *rate* bytes per second towards the clients, whom it serves in turn, after *delay* seconds."""

    def __init__(self, target: tuple[str, int], rate: float, delay: float) -> None:
        super().__init__()
        self._target = target
        self._rate = rate
        self._delay = delay
        self._line = asyncio.Lock()
        self.sent_down = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        sock = writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4 * _PIECE)  # what waits in here has not been sent
        writer.transport.set_write_buffer_limits(0)
        far_reader, far_writer = await asyncio.open_connection(*self._target)
        tasks = [asyncio.create_task(self._pass(reader, far_writer, None)), asyncio.create_task(self._pass(far_reader, writer, self._rate))]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            far_writer.transport.abort()
            await closed(far_writer)

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, rate: float | None) -> None:
        while piece := await reader.read(_PIECE):
            if rate is None:
                await asyncio.sleep(self._delay)
            else:
                async with self._line:
                    await asyncio.sleep(len(piece) / rate)
                self.sent_down += len(piece)
            writer.write(piece)
            await writer.drain()


async def _asked(port: int, digests: list[object], seed: int) -> list[float]:
    """Ask for the parts, and tell how long each of them took."""
    chance, took = random.Random(seed), []
    async with aiohttp.ClientSession() as session:
        for number in range(_PARTS):
            size = _SIZES[number % len(_SIZES)]
            start = chance.randrange(size - _PART)
            began = time.monotonic()
            url = f"http://127.0.0.1:{port}/v2/{_NAME}/blobs/{digests[number % len(_SIZES)]}"
            async with session.get(url, headers={"Range": f"bytes={start}-{start + _PART - 1}"}) as answer:
                if answer.status != 206 or len(await answer.read()) != _PART:
                    raise RuntimeError(f"{url} answered {answer.status}")
            took.append(time.monotonic() - began)
    return took


async def _measured(rate: float, delay: float, rounds: int) -> None:
    bodies = [os.urandom(size) for size in _SIZES]
    async with FakeRegistry() as upstream:
        digests: list[object] = [upstream.add_blob(_NAME, body) for body in bodies]
        host, _, port = upstream.url.removeprefix("http://").partition(":")
        for number in range(rounds):
            for mode in ("direct", "pass", "fill"):
                async with SharedLine((host, int(port)), rate, delay) as line:
                    if mode == "direct":
                        _told(mode, await _asked(line.port, digests, number))
                        continue
                    with tempfile.TemporaryDirectory() as root:
                        upstreams = {"docker.io": line.url}
                        async with rig(Path(root) / "store", upstreams, downloads={"uncached_ranges": mode}, timeouts={}) as proxy:
                            began = time.monotonic()
                            _told(mode, await _asked(proxy.port, digests, number))
                            if mode == "fill":
                                await proxy.settled()
                                print(f"        all of it after {time.monotonic() - began:.1f} s", flush=True)


def _told(mode: str, took: list[float]) -> None:
    print(f"{mode:<7} {sum(took):.2f} s in all, the longest {max(took):.2f} s", flush=True)


def main() -> None:
    """Parse the arguments and measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rate", type=float, default=4, help="MB/s of the line")
    parser.add_argument("--delay", type=float, default=0.01, help="seconds")
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    asyncio.run(_measured(arguments.rate * _MB, arguments.delay, arguments.rounds))


if __name__ == "__main__":
    main()
