"""A lazy pull by a real stargz snapshotter, BuildKit's: `python -m bench.lazy [--megabytes 62] [--rate 5] [--delay 0.05] [--rounds 3]`.

An image of one eStargz layer that nobody has is run, and reads some of its files, over a line that all connections share: directly, and
through a regproxy that has nothing. Seconds from the pull to the end of what was run, and what the line carried.
"""

import argparse
import asyncio
import random
import shutil
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from yarl import URL

from bench import estargz
from bench.origin import Image, push
from bench.parts import SharedLine
from bench.peers import Upstream, origin, regproxy
from bench.ratios import Ratio
from tests.clients.buildkit import BuildKit
from tests.clients.content import OCI_CONFIG, OCI_MANIFEST, config, document
from tests.clients.processes import unmount_below
from tests.rig import LOOPBACK

_MB = 1_000_000
_FILES = 62
_READ = (5, 17, 18, 30, 44, 61)  # of the files, which lie all over the layer


@dataclass(frozen=True)
class Lazy:
    """Seconds that it took directly and through regproxy, and how many times the layer the line carried meanwhile."""

    round: int
    direct: float
    through: float
    direct_bytes: float
    through_bytes: float


def image(megabytes: int) -> Image:
    """Make an image of a program, which is fetched at once, and of files."""
    chance = random.Random(62)
    files = {f"file-{number}": chance.randbytes(megabytes * _MB // _FILES) for number in range(_FILES)}
    layer, toc = estargz.layer({"bin/busybox": Path("/bin/busybox").read_bytes()}, files)
    settings = config(OCI_CONFIG, ["/bin/busybox"], [layer])
    described = {**layer.blob.descriptor, "annotations": {estargz.TOC_DIGEST: toc}}
    top = document(OCI_MANIFEST, {"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": settings.descriptor, "layers": [described]})
    return Image(top.body, {"layer": layer.blob.body, "config": settings.body})


def ran(mirror: str) -> float:
    """Run the image by a BuildKit that has nothing, by way of *mirror*; return how many seconds that took."""
    folder = Path(tempfile.mkdtemp(prefix="l-", dir="/tmp"))  # of a short name, for its socket
    buildkit = BuildKit(folder, "docker.io", mirror, snapshotter="stargz")
    buildkit.start()
    try:
        began = time.monotonic()
        buildkit.run("docker.io/library/app:1", ["/bin/busybox", "wc", "-c", *(f"/file-{number}" for number in _READ)])
        return time.monotonic() - began
    finally:
        buildkit.stop()
        unmount_below(folder)
        shutil.rmtree(folder)


async def measured(megabytes: int, rate: float, delay: float, rounds: int) -> list[Lazy]:
    """Run in turns over a line of *rate* bytes per second for all, and *delay* seconds before a request."""
    served, found = image(megabytes), []
    size = len(served.blobs["layer"])
    with tempfile.TemporaryDirectory() as directory:
        (root := Path(directory) / "origin").mkdir()
        async with origin(root) as registry:
            await asyncio.to_thread(push, registry, served)
            port = URL(registry.url("")).port or 0
            for number in range(rounds):
                async with SharedLine((LOOPBACK, port), rate, delay) as line:
                    direct, direct_bytes = await asyncio.to_thread(ran, line.url), line.sent_down / size
                (cold := Path(directory) / str(number)).mkdir()
                async with SharedLine((LOOPBACK, port), rate, delay) as line, regproxy(Upstream(line.url), cold) as peer:
                    through, through_bytes = await asyncio.to_thread(ran, peer.url("")), line.sent_down / size
                found.append(Lazy(number, direct, through, direct_bytes, through_bytes))
                print(found[-1], flush=True)
    return found


def main() -> None:
    """Parse the arguments and measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--megabytes", type=int, default=62)
    parser.add_argument("--rate", type=float, default=5, help="MB/s of the line")
    parser.add_argument("--delay", type=float, default=0.05, help="seconds")
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    found = asyncio.run(measured(arguments.megabytes, arguments.rate * _MB, arguments.delay, arguments.rounds))
    print(f"lazy pull through regproxy over direct: {Ratio.of([each.through / each.direct for each in found])}")


if __name__ == "__main__":
    main()
