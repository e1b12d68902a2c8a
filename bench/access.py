"""What a hit costs where regproxy asks who wants it, or is a member of a fleet: `python -m bench.access [--starts 6] [--pairs 16]`.

One version, set up several times before one registry. The set-up without `clients` and with `access: shared` is the mark: each other one
takes turns with it, and what counts is the ratio of each pair. Processor time per hit is a program's own, whatever else the machine does.
The mark stands beside itself as well, which tells what a ratio is worth.
"""

import argparse
import asyncio
import base64
import statistics
import tempfile
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import bcrypt

from bench.bursts import Turn, bursts
from bench.peers import Peer, Upstream, regproxy
from bench.ratios import Ratio
from tests.fakes.registry import FakeRegistry
from tests.free_port import free_port
from tests.rig import LOOPBACK

NAME = "team/app"
MARK, AGAIN = "nobody is asked", "nobody is asked, again"
_USER, _PASSWORD = "ann", "a password"
_KEY = "a-key-of-the-bench-0123456789abcdef0123456789abcdef"
_SMALL = 4_000  # bytes of the blob
_BURSTS = 40  # of a turn, which takes some 20 ms


@dataclass(frozen=True)
class SetUp:
    """A regproxy, and what its clients show."""

    peer: Peer
    shown: str | None = None


@dataclass(frozen=True)
class Pair:
    """What a hit cost in one turn of a set-up, in microseconds of processor time, and that over the mark's in the turn beside it."""

    case: str
    set_up: str
    cpu: float
    cpu_ratio: float
    rate_ratio: float


@dataclass(frozen=True)
class Cost:
    """What a hit costs in a set-up, over what it costs in the mark."""

    cpu: Ratio
    rate: Ratio
    microseconds: float


def costs(pairs: Sequence[Pair]) -> Mapping[tuple[str, str], Cost]:
    """Summarize the pairs of each case and set-up."""
    same: dict[tuple[str, str], list[Pair]] = {}
    for pair in pairs:
        same.setdefault((pair.case, pair.set_up), []).append(pair)
    return {key: _cost(found) for key, found in same.items()}


def _cost(pairs: Sequence[Pair]) -> Cost:
    cpu, rate = (Ratio.of([getattr(pair, name) for pair in pairs]) for name in ("cpu_ratio", "rate_ratio"))
    return Cost(cpu, rate, statistics.median(pair.cpu for pair in pairs))


def _basic(username: str, password: str) -> str:
    return f"Basic {base64.b64encode(f'{username}:{password}'.encode()).decode()}"


@asynccontextmanager
async def _set_up(upstream: FakeRegistry, public: FakeRegistry, root: Path) -> AsyncIterator[dict[str, SetUp]]:
    users = root / "users"
    users.write_text(f"{_USER}:{bcrypt.hashpw(_PASSWORD.encode(), bcrypt.gensalt(5)).decode()}\n")
    credentials = {"username": upstream.username, "password": upstream.password}
    shared = {"hosts": [{"url": upstream.url, "credentials": credentials}]}
    to_public, to_private = ({"hosts": [{"url": each.url}], "access": "proven"} for each in (public, upstream))

    async with AsyncExitStack() as stack:

        async def running(name: str, docker: object, clients: object = None, fleet: object = None, port: int | None = None) -> Peer:
            (root / name).mkdir()
            return await stack.enter_async_context(
                regproxy(
                    Upstream(upstream.url),
                    root / name,
                    port=port,
                    upstreams={"docker.io": docker},
                    clients=clients,
                    fleet=fleet,
                    insecure_credentials=True,
                    workers=1,
                )
            )

        async def member() -> Peer:
            """Run two members; those who do not ask one another for anything ask whether they live."""
            ports = [free_port(), free_port()]
            names = [f"http://{LOOPBACK}:{port}" for port in ports]
            fleets = [{"peers": names, "advertise": name, "key": _KEY} for name in names]
            one, _ = [await running(f"fleet {port}", shared, fleet=fleet, port=port) for port, fleet in zip(ports, fleets, strict=True)]
            return one

        yield {
            MARK: SetUp(await running("off", shared)),
            AGAIN: SetUp(await running("again", shared)),
            "htpasswd": SetUp(await running("htpasswd", shared, {"htpasswd": str(users)}), _basic(_USER, _PASSWORD)),
            "proven, public": SetUp(await running("public", to_public)),
            "member of a fleet": SetUp(await member()),
            "proven, private": SetUp(await running("private", to_private), _basic(**credentials)),
        }


async def measured(starts: int, pairs: int) -> list[Pair]:
    """Measure a manifest and a small blob: *pairs* of each set-up and the mark, after each of *starts*."""
    found: list[Pair] = []
    async with FakeRegistry("password") as upstream, FakeRegistry() as public:
        layer = bytes(_SMALL)
        for registry in (upstream, public):
            registry.add_image(NAME, "1", [layer])
            blob = registry.add_blob(NAME, layer)
        paths = {"manifest by tag": f"/v2/{NAME}/manifests/1", "blob of 4 KB": f"/v2/{NAME}/blobs/{blob}"}
        for _ in range(starts):
            with tempfile.TemporaryDirectory() as directory:
                async with _set_up(upstream, public, Path(directory)) as set_ups:
                    for case, path in paths.items():
                        found += await asyncio.to_thread(_compared, case, set_ups, path, pairs)
    for line in lines(found):
        print(line, flush=True)
    return found


def _compared(case: str, set_ups: Mapping[str, SetUp], path: str, pairs: int) -> list[Pair]:
    """Measure each set-up beside the mark, and beside the same again in turns."""
    found = []
    with ExitStack() as stack:
        asking = {name: stack.enter_context(bursts(each.peer, path, each.shown)) for name, each in set_ups.items()}
        marks = asking.pop(MARK), asking[AGAIN]
        for number in range(pairs):
            for name, other in asking.items():
                mark = marks[number // 2 % 2] if name != AGAIN else marks[0]
                both = (mark, other) if number % 2 else (other, mark)
                turns = {each: each.turn(_BURSTS) for each in both}
                found.append(_pair(case, name, turns[mark], turns[other]))
    return found


def _pair(case: str, name: str, mark: Turn, other: Turn) -> Pair:
    return Pair(case, name, 1e6 * other.cpu / other.hits, other.cpu / mark.cpu, mark.seconds / other.seconds)


def lines(pairs: Sequence[Pair]) -> list[str]:
    """Say what came out, a line for each case and set-up."""
    return [
        f"{case:<16} {name:<24} CPU per hit {cost.cpu} of the mark's, rate {cost.rate}; {cost.microseconds:.1f} us"
        for (case, name), cost in costs(pairs).items()
    ]


def main() -> None:
    """Parse the arguments and measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--starts", type=int, default=6, help="of the programs: where one lies in memory makes some percent")
    parser.add_argument("--pairs", type=int, default=16, help="after each start")
    arguments = parser.parse_args()
    asyncio.run(measured(arguments.starts, arguments.pairs))


if __name__ == "__main__":
    main()
