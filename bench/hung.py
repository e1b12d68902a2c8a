"""An upstream that hangs: `python -m bench.hung [--seconds 6]`.

How long clients wait for a tag that is cached and has to be asked for again at each pull (`fresh_for: 0s`), while upstream takes the
question and says nothing; and how many questions it has at once.
"""

import argparse
import asyncio
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp

from bench.peers import Peer, Upstream, regproxy
from regproxy.oci.manifest import ACCEPT
from tests.fakes.deeds import Deed
from tests.fakes.registry import FakeRegistry
from tests.fakes.wire import Wire

_NAME = "library/app"
_BETWEEN = 0.05  # seconds between two pulls


@dataclass(frozen=True)
class Hung:
    """Seconds that the first pull waited, and the longest of those that followed; how many pulls; the most probes at once."""

    first: float
    following: float
    pulls: int
    probes: int


@dataclass
class _Silence(Deed):
    """Take questions, and never answer."""

    open: int = 0
    most: int = 0
    forever: asyncio.Event = field(default_factory=asyncio.Event)

    async def before(self, wire: Wire) -> None:  # noqa: ARG002
        self.open += 1
        self.most = max(self.most, self.open)
        try:
            await self.forever.wait()
        finally:
            self.open -= 1


async def _pulled(session: aiohttp.ClientSession, peer: Peer) -> float:
    began = time.perf_counter()
    async with session.get(peer.url(f"/v2/{_NAME}/manifests/1"), headers={"Accept": ACCEPT}) as answer:
        if answer.status != 200:
            raise RuntimeError(f"{answer.status}: {await answer.text()}")
        await answer.read()
    return time.perf_counter() - began


async def measured(seconds: float) -> Hung:
    """Pull once, then for so many seconds while upstream hangs."""
    silence = _Silence()
    with tempfile.TemporaryDirectory() as root:
        async with FakeRegistry("anonymous") as upstream, aiohttp.ClientSession() as session:
            upstream.add_image(_NAME, "1", [b"layer"])
            stale = {"docker.io": {"hosts": [{"url": upstream.url}], "tags": [{"match": "*", "fresh_for": "0s"}]}}
            async with regproxy(Upstream(upstream.url), Path(root), upstreams=stale) as peer:
                await _pulled(session, peer)
                upstream.misbehave(lambda entry: entry.kind == "manifests", silence)
                took, began = [], time.perf_counter()
                while time.perf_counter() - began < seconds:
                    took.append(await _pulled(session, peer))
                    await asyncio.sleep(_BETWEEN)
    return Hung(took[0], max(took[1:], default=0.0), len(took), silence.most)


def main() -> None:
    """Parse the arguments and measure once."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=6)
    print(asyncio.run(measured(parser.parse_args().seconds)))


if __name__ == "__main__":
    main()
