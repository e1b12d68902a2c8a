"""Cold images by a real containerd 2: `python -m bench.pulls [--megabytes 500] [--layers 12] [--rounds 3]`.

From a registry on this machine directly and through a regproxy that has nothing, whole layers and parts of them at once
(`concurrent_layer_fetch_buffer`): seconds from the pull to the output of a container of it, and what upstream sent.
"""

import argparse
import asyncio
import random
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.origin import Image as Pushed
from bench.origin import push
from bench.peers import Peer, Upstream, origin, regproxy
from bench.ratios import Ratio
from tests.clients.containerd import Containerd, write_hosts
from tests.clients.content import OCI_CONFIG, OCI_LAYER, OCI_MANIFEST, Layer, config, gzip_layer, manifest, plain_layer
from tests.clients.go_programs import go_program
from tests.clients.processes import unmount_below

_MB = 1_000_000
_IMAGE = "docker.io/library/app:1"
_SAYS = "ready"
_PARTS = """
[plugins."io.containerd.transfer.v1.local"]
  max_concurrent_downloads = 8
  concurrent_layer_fetch_buffer = 8388608
"""
_SETTINGS = {"whole layers": "", "parts": _PARTS}


@dataclass(frozen=True)
class Pull:
    """What one image took from the pull to its first word, in seconds: directly, through a regproxy without it, and with it.

    *upstream* is what the registry had to send meanwhile, in times the image.
    """

    how: str
    round: int
    direct: float
    cold: float
    hot: float
    upstream: float


def image(megabytes: int, layers: int) -> Pushed:
    """Make an image of as many layers, of which one can be run, and nothing makes the others smaller."""
    chance = random.Random(20)
    size = megabytes * _MB // (layers - 1)
    made: list[Layer] = [gzip_layer(f"{OCI_LAYER}+gzip", {"bin/busybox": Path("/bin/busybox").read_bytes()})]
    made += [plain_layer({f"filler-{number}": chance.randbytes(size)}) for number in range(1, layers)]
    settings = config(OCI_CONFIG, ["/bin/busybox", "echo", _SAYS], made)
    blobs = {str(number): layer.blob.body for number, layer in enumerate(made)}
    return Pushed(manifest(OCI_MANIFEST, settings, [layer.blob for layer in made]).body, blobs | {"config": settings.body})


@contextmanager
def _daemon(settings: str) -> Iterator[Containerd]:
    """Run a containerd that has nothing, in a folder of a short name."""
    folder = Path(tempfile.mkdtemp(prefix="b-", dir="/tmp"))
    containerd = Containerd(folder, go_program, settings=settings)
    containerd.start()
    try:
        yield containerd
    finally:
        containerd.stop()
        unmount_below(folder)
        shutil.rmtree(folder)


def started(settings: str, source: Peer) -> float:
    """Pull by way of *source* and run, and return how many seconds that took."""
    with _daemon(settings) as containerd, tempfile.TemporaryDirectory() as directory:
        hosts = write_hosts(Path(directory) / "hosts", "docker.io", source.url(""))
        began = time.monotonic()
        containerd.ctr("images", "pull", "--hosts-dir", hosts, _IMAGE)
        said = containerd.run(_IMAGE).strip()
        took = time.monotonic() - began
        if said != _SAYS:
            raise RuntimeError(f"the container said {said!r}")
        return took


async def measured(megabytes: int, layers: int, rounds: int) -> list[Pull]:
    """Pull directly and through regproxy in turns, then once more what regproxy has."""
    found: list[Pull] = []
    with tempfile.TemporaryDirectory() as directory:
        served, root = image(megabytes, layers), Path(directory)
        (root / "origin").mkdir()
        size = sum(map(len, served.blobs.values()))
        async with origin(root / "origin") as registry:
            await asyncio.to_thread(push, registry, served)
            for name, settings in _SETTINGS.items():
                await asyncio.to_thread(started, settings, registry)  # what is read for the first time
                for number in range(rounds):
                    (cold := root / f"{name} {number}").mkdir()
                    async with regproxy(Upstream(registry.url("")), cold) as peer:
                        turns = [peer, registry] if number % 2 else [registry, peer]
                        took = {each.port: await asyncio.to_thread(started, settings, each) for each in turns}
                        hot = await asyncio.to_thread(started, settings, peer)
                        factor = await peer.metric("regproxy_upstream_bytes_total") / size
                    shutil.rmtree(cold)
                    found.append(Pull(name, number, took[registry.port], took[peer.port], hot, factor))
                    print(found[-1], flush=True)
    return found


def ratios(pulls: Sequence[Pull]) -> Mapping[str, tuple[Ratio, Ratio, float]]:
    """Sum up by how the layers were fetched: cold and hot over direct, and the most that the registry had to send."""
    by_way: dict[str, list[Pull]] = {}
    for pull in pulls:
        by_way.setdefault(pull.how, []).append(pull)
    return {
        how: (
            Ratio.of([each.cold / each.direct for each in same]),
            Ratio.of([each.hot / each.direct for each in same]),
            max(each.upstream for each in same),
        )
        for how, same in by_way.items()
    }


def main() -> None:
    """Parse the arguments and measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--megabytes", type=int, default=500)
    parser.add_argument("--layers", type=int, default=12)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    pulls = asyncio.run(measured(arguments.megabytes, arguments.layers, arguments.rounds))
    for how, (cold, hot, factor) in ratios(pulls).items():
        print(f"{how}: cold over direct {cold}; hot over direct {hot}; {factor:.3f}x the bytes")


if __name__ == "__main__":
    main()
