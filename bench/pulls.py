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
from collections.abc import Iterator
from contextlib import contextmanager
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


async def measured(megabytes: int, layers: int, rounds: int) -> None:
    """Pull directly and through regproxy in turns, and print the ratio of each pair."""
    with tempfile.TemporaryDirectory() as directory:
        served, root = image(megabytes, layers), Path(directory)
        (root / "origin").mkdir()
        size = sum(map(len, served.blobs.values()))
        async with origin(root / "origin") as registry:
            await asyncio.to_thread(push, registry, served)
            for name, settings in _SETTINGS.items():
                await asyncio.to_thread(started, settings, registry)  # what is read for the first time
                ratios, factors = [], []
                for number in range(rounds):
                    (cold := root / f"{name} {number}").mkdir()
                    async with regproxy(Upstream(registry.url("")), cold) as peer:
                        turns = [peer, registry] if number % 2 else [registry, peer]
                        took = {each.port: await asyncio.to_thread(started, settings, each) for each in turns}
                        factors.append(await peer.metric("regproxy_upstream_bytes_total") / size)
                    shutil.rmtree(cold)
                    ratios.append(took[peer.port] / took[registry.port])
                    print(f"{name}: {took[registry.port]:.2f} s directly, {took[peer.port]:.2f} s through, {factors[-1]:.3f}x", flush=True)
                print(
                    f"{megabytes} MB, {layers} layers, {name}: through/directly {Ratio.of(ratios)}, {max(factors):.3f}x the bytes",
                    flush=True,
                )


def main() -> None:
    """Parse the arguments and measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--megabytes", type=int, default=500)
    parser.add_argument("--layers", type=int, default=12)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    asyncio.run(measured(arguments.megabytes, arguments.layers, arguments.rounds))


if __name__ == "__main__":
    main()
