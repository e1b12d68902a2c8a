"""Computers at one switch, each with a link of a rate, for benches of a fleet: namespaces that end with the bench, however that ends.

Nothing of it is seen outside, and all processes in it are killed with the first one. It needs root, iproute2 and the queueing discipline
tbf; links add no delay.
"""

import asyncio
import ctypes
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

SWITCH = "10.88.0.1"  # the bench itself, which no rate limits
_INSIDE = "REGPROXY_BENCH_NETWORK"
_NAMES = Path("/run/netns")
_BURST = "128kb"  # less would cut what the kernel sends at once (64 KiB) into packets, which costs more than all else
_QUEUE = "100ms"  # of bytes that wait at a link
_CLONE_NEWNET = 0x40000000


def enter(module: str) -> None:
    """Run *module* again, with the same arguments, in a network, with mounts and processes of its own; there, do nothing."""
    if _INSIDE in os.environ:
        return
    own = ("--net", "--mount", "--pid", "--kill-child", "--mount-proc")
    os.environ[_INSIDE] = "1"
    os.execvp("unshare", ["unshare", *own, "--", sys.executable, "-m", module, *sys.argv[1:]])  # noqa: S606 -- it takes our place


@dataclass(frozen=True)
class Computer:
    """A computer, and where its network is found."""

    number: int
    address: str
    namespace: Path

    def command(self, *words: str) -> list[str]:
        """Return the command that runs *words* there, as a process that is not one more."""
        return ["ip", "netns", "exec", self.namespace.name, *words]

    def unplug(self) -> None:
        """Let nothing pass from now on."""
        _run("ip", "link", "set", self.port, "down")

    @property
    def port(self) -> str:
        """Name its port at the switch."""
        return f"port{self.number}"


class Network:
    """A switch and computers; there is one at a time."""

    def __init__(self) -> None:
        """Begin with no computer."""
        self.computers: list[Computer] = []
        _NAMES.mkdir(exist_ok=True)
        _run("mount", "-t", "tmpfs", "none", str(_NAMES))
        _run("ip", "link", "set", "lo", "up")
        _run("ip", "link", "add", "switch", "type", "bridge")
        _run("ip", "address", "add", f"{SWITCH}/16", "dev", "switch")
        _run("ip", "link", "set", "switch", "up")

    def computer(self, rate: float) -> Computer:
        """Add one whose link carries *rate* bytes per second each way, headers included."""
        number = len(self.computers) + 1
        made = Computer(number, f"10.88.1.{number}", _NAMES / f"computer{number}")
        name = made.namespace.name
        _run("ip", "netns", "add", name)
        _run("ip", "link", "add", made.port, "type", "veth", "peer", "name", "eth0", "netns", name)
        _run("ip", "link", "set", made.port, "master", "switch", "up")
        _run("ip", "-netns", name, "address", "add", f"{made.address}/16", "dev", "eth0")
        for device in ("lo", "eth0"):
            _run("ip", "-netns", name, "link", "set", device, "up")
        limit = ("root", "tbf", "rate", f"{round(rate * 8)}bit", "burst", _BURST, "latency", _QUEUE)
        _run("tc", "qdisc", "add", "dev", made.port, *limit)
        _run("tc", "-netns", name, "qdisc", "add", "dev", "eth0", *limit)
        self.computers.append(made)
        return made

    async def sent(self) -> dict[Computer, int]:
        """Count the bytes that each computer has sent, by the kernel, which counts a header for what it sends at once (up to 64 KiB)."""
        program = await asyncio.create_subprocess_exec("ip", "-json", "-stats", "link", "show", stdout=asyncio.subprocess.PIPE)
        links = json.loads((await program.communicate())[0])
        came = {each["ifname"]: each["stats64"]["rx"]["bytes"] for each in links}
        return {each: came[each.port] for each in self.computers}


@contextmanager
def inside(namespace: str) -> Iterator[None]:
    """Make sockets in the network at the path *namespace* meanwhile; those made before and after are not in it (setns(2))."""
    with Path("/proc/thread-self/ns/net").open("rb") as ours, Path(namespace).open("rb") as other:
        _set_network(other.fileno())
        try:
            yield
        finally:
            _set_network(ours.fileno())


def _set_network(descriptor: int) -> None:
    if ctypes.CDLL(None, use_errno=True).setns(descriptor, _CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "setns")


def _run(*command: str) -> None:
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    if found.returncode:
        raise RuntimeError(f"{' '.join(command)}: {found.stderr.strip()}")
