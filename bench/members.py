"""A fleet of node caches on a real network: `python -m bench.members [--members 16] [--megabytes 64] [--rate 8]`, as root.

Each member is a regproxy on a computer of its own (`bench.network`), whose link carries *rate* MB/s each way; so is the cluster's cache,
which is their only host, before a registry that no rate limits. A client on each computer pulls one cold blob through the member there,
all at once. Then the same without peers, with a smaller blob: it takes as many times the cluster's link as there are members. Then with
peers, two of which are dead, and one of which fetches wrong bytes, from the start.

Writes bench/results/members.md. It takes four minutes, in which the machine should have nothing else to do.
"""

import argparse
import asyncio
import os
import sys
import tempfile
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import yaml

from bench import network, processes
from bench.crowd import Asked, Seen, crowd
from bench.machine import Busy, described
from bench.network import SWITCH, Computer, Network
from bench.peers import RESULTS, Peer, complaints, running
from regproxy.oci.digest import Digest
from tests.fakes.deeds import Lie
from tests.fakes.registry import FakeRegistry

_MB = 1_000_000
_NAME = "library/app"
_PORT, _ADMIN_PORT = 5000, 5001
_KEY = "a-key-of-the-bench-0123456789abcdef0123456789abcdef"
_LONGEST = 200.0  # seconds
_COUNTED = {
    "busy": 'regproxy_fleet_requests_total{outcome="busy"}',
    "late": 'regproxy_fleet_requests_total{outcome="late"}',
    "failed": 'regproxy_fleet_requests_total{outcome="failed"}',
    "from above": 'regproxy_fleet_pieces_total{source="upstream"}',
}


@dataclass(frozen=True)
class Pull:
    """How one blob came to all members at once; bytes over those of the blob, seconds from when all asked."""

    name: str
    megabytes: float
    ideal: float  # seconds that one link takes
    right: Sequence[int]  # clients, at their first and second try
    clients: int
    first: float  # byte, at the last client
    last: float
    cluster: float  # what its cache sent
    busiest: float  # member, over the mean of what members sent
    ours: float  # cores that programs of the bench kept busy
    cores: float  # that anything did
    counted: Mapping[str, float]

    def row(self) -> str:
        cells = [
            self.name,
            f"{self.megabytes:g}",
            f"{' + '.join(map(str, self.right))} of {self.clients}",
            f"{self.last:.1f}",
            f"{self.last / self.ideal:.2f}",
            f"{self.first:.2f}",
            f"{self.cluster:.2f}x",
            f"{self.busiest:.2f}",
            f"{self.ours:.2f}",
            f"{self.cores:.2f}",
            *(f"{each:.0f}" for each in self.counted.values()),
        ]
        return f"| {' | '.join(cells)} |"


@dataclass(frozen=True)
class Fleet:
    """Members by their computers, and the cluster's cache."""

    members: Mapping[Computer, Peer]
    cluster: Computer


def _configured(root: Path, settings: Mapping[str, object]) -> Path:
    root.mkdir(parents=True)
    document = {
        "listen": f"0.0.0.0:{_PORT}",
        "admin_listen": f"0.0.0.0:{_ADMIN_PORT}",
        "workers": 1,
        "store": {"root": str(root / "store"), "high_watermark": "100%"},
        **settings,
    }
    config = root / "regproxy.yaml"
    config.write_text(yaml.safe_dump(document))
    return config


@asynccontextmanager
async def _regproxy(computer: Computer, root: Path, host: Mapping[str, object], **settings: object) -> AsyncIterator[Peer]:
    config = _configured(root, {"upstreams": {"docker.io": {"hosts": [host]}}, **settings})
    command = computer.command(sys.executable, "-P", "-m", "regproxy", "serve", "--config", str(config))
    async with running(command, root, _PORT, address=computer.address) as peer:
        yield replace(peer, admin_port=_ADMIN_PORT)


@asynccontextmanager
async def _fleet(
    computers: Sequence[Computer], root: Path, registry: str, *, wrong: str = "", dead: int = 0, is_peered: bool = True
) -> AsyncIterator[Fleet]:
    """Run the cluster's cache on the first computer, and members on the others, but for the last *dead*.

    The first one has *wrong* in place of the cluster's cache.
    """
    cluster, *others = computers
    peers = {"fleet": {"peers": [f"http://{each.address}:{_PORT}" for each in others], "key": _KEY}} if is_peered else {}
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(_regproxy(cluster, root / "cluster", {"url": registry}))
        host = {"url": f"http://{cluster.address}:{_PORT}", "kind": "cache"}
        starting = {}
        for each in others[: len(others) - dead]:
            host_of_it = {"url": wrong} if wrong and each is others[0] else host
            starting[each] = _regproxy(each, root / str(each.number), host_of_it, **peers)
        room = asyncio.Semaphore(os.cpu_count() or 1)

        async def start(each: AbstractAsyncContextManager[Peer]) -> Peer:
            async with room:
                return await stack.enter_async_context(each)

        started = await asyncio.gather(*(start(each) for each in starting.values()))
        yield Fleet(dict(zip(starting, started, strict=True)), cluster)


async def _pulled(name: str, net: Network, fleet: Fleet, clients: Sequence[Computer], body: bytes, rate: float) -> Pull:
    """Let a client on each of some computers pull the blob, all at once, and those who did not get it try again, once."""
    digest = str(Digest.of(body))
    before, busy = await net.sent(), Busy()
    spent = [processes.cpu(each.pid) for each in fleet.members.values()]
    tries = [await _tried(clients, digest)]
    if missing := [each for each, seen in zip(clients, tries[0], strict=True) if not seen.is_right]:
        tries.append(await _tried(missing, digest))
    took = sum(max(each.last for each in seen) for seen in tries)
    ours = sum(processes.cpu(each.pid) for each in fleet.members.values()) - sum(spent)
    cores = busy.cores()
    sent = {each: count - before[each] for each, count in (await net.sent()).items()}
    members = [sent[each] for each in fleet.members]
    counted = {key: sum([await each.metric(metric) for each in fleet.members.values()]) for key, metric in _COUNTED.items()}
    return Pull(
        name,
        len(body) / _MB,
        len(body) / rate,
        [sum(each.is_right for each in seen) for seen in tries],
        len(clients),
        max(each.first for each in tries[0]),
        took,
        sent[fleet.cluster] / len(body),
        max(members) / (sum(members) / len(members)),
        ours / took,
        cores,
        counted,
    )


async def _tried(clients: Sequence[Computer], digest: str) -> list[Seen]:
    places = tuple(str(each.namespace) for each in clients)
    return await crowd(Asked(_PORT, f"/v2/{_NAME}/blobs/{digest}", digest, len(places), seconds=_LONGEST, every=1, namespaces=places))


async def _measured(members: int, megabytes: float, rate: float, root: Path, *, says: bool) -> list[Pull]:
    net = Network()
    computers = [net.computer(rate) for _ in range(members + 1)]
    others, found = computers[1:], []
    async with FakeRegistry(address=SWITCH) as registry, FakeRegistry(address=SWITCH) as wrong:
        wrong.misbehave("/blobs/", Lie(lambda body: bytes(len(body))))

        def blob(size: float) -> bytes:
            body = os.urandom(int(size))
            for each in (registry, wrong):
                each.add_blob(_NAME, body)
            return body

        async def pull(name: str, fleet: Fleet, clients: Sequence[Computer], body: bytes) -> None:
            found.append(await _pulled(name, net, fleet, clients, body, rate))
            print(found[-1].row(), flush=True)
            if says:
                print("\n".join(await asyncio.to_thread(complaints, root)), flush=True)

        size = megabytes * _MB
        print(_HEAD, flush=True)
        async with _fleet(computers, root / "peers", registry.url) as fleet:
            await pull(f"{members} members", fleet, others, blob(size))
        async with _fleet(computers, root / "alone", registry.url, is_peered=False) as fleet:
            await pull(f"{members} without peers", fleet, others, blob(size / _SMALLER))
        computers[-1].unplug()
        async with _fleet(computers, root / "trouble", registry.url, wrong=wrong.url, dead=_DEAD) as fleet:
            await pull(f"{_DEAD} dead, one lies", fleet, others[1 : members - _DEAD], blob(size))
    return found


_SMALLER = 8  # times, the blob that comes without peers
_DEAD = 2
_COLUMNS = ("", "MB", "right", "seconds", "of one link", "first byte, s", "cluster", "busiest", "their cores", "all cores", *_COUNTED)
_HEAD = f"| {' | '.join(_COLUMNS)} |\n|---|{'--:|' * (len(_COLUMNS) - 1)}"


def _simulated(members: int, megabytes: float, rate: float) -> str:
    """Say what the simulation makes of the same, where numpy is installed."""
    try:
        from bench.swarm import GBIT, simulated  # noqa: PLC0415
    except ModuleNotFoundError:
        return ""
    found = simulated(members, rate / GBIT, 0.0, megabytes / 1000)
    return f"\n\nSimulated (`bench.swarm`): {found.last:.2f} of one link, {found.upstream:.2f}x, busiest {found.busiest:.2f}."


def _page(rows: Sequence[Pull], members: int, rate: float) -> str:
    about = _ABOUT.format(members=members, rate=rate / _MB, smaller=_SMALLER) + _simulated(members, rows[0].megabytes, rate)
    return "\n".join([f"# A fleet on a real network\n\n{about}\n\n{described()}\n\n{_HEAD}", *(each.row() for each in rows)]) + "\n"


_ABOUT = """\
By `python -m bench.members`. {members} node caches and the cluster's cache, each in a network namespace of its own behind a link of
{rate:g} MB/s each way (`tbf` at both ends of each wire, headers included); all programs share one machine. A client beside each member
pulls one cold blob through it, all at once, and looks at every byte. Without peers the blob is {smaller} times smaller. The member that
lies fetches zeros in place of the cluster's bytes; nobody pulls through that one. One of the dead refuses connections, the other one is
not on the network.

- `right`: clients that got all bytes, right, at the first try and at the second one, which those make at once who did not.
- `seconds`: until the last client was done, with its second try. `first byte`: of the first try, at the last client.
- `of one link`: those seconds, over those that the blob takes on one link.
- `cluster`: what the cluster's cache sent, over the blob.
- `busiest`: what the busiest member sent, over the mean.
- `their cores`, `all cores`: how many cores the members, and all that runs on the machine, kept busy.
- `busy`, `late`, `failed`: how requests between members ended that brought nothing, or not all; `from above`: pieces that came from the
  cluster's cache."""


def main() -> None:
    """Parse the arguments, and measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--members", type=int, default=16)
    parser.add_argument("--megabytes", type=float, default=64)
    parser.add_argument("--rate", type=float, default=8, help="MB/s of each link")
    parser.add_argument("--log", action="store_true", help="tell what the programs complained of, since the first began")
    arguments = parser.parse_args()
    network.enter("bench.members")
    with tempfile.TemporaryDirectory() as root:
        found = asyncio.run(_measured(arguments.members, arguments.megabytes, arguments.rate * _MB, Path(root), says=arguments.log))
    (RESULTS / "members.md").write_text(_page(found, arguments.members, arguments.rate * _MB))


if __name__ == "__main__":
    main()
