"""A machine for a node: network, mounts and processes of its own, which end with it. Only the wire to it is in the tests' network."""

import contextlib
import os
import signal
from collections.abc import Sequence
from pathlib import Path

from tests.clients.processes import Daemon, run
from tests.clients.programs import require_root

_NUMBER = int(os.environ.get("CLUSTER_NODE", "0"))  # of those that run at a time
NETWORK = f"10.77.{_NUMBER}"
OUTSIDE = f"{NETWORK}.1"  # the tests' end of the wire: registries listen there
ADDRESS = f"{NETWORK}.2"

# What programs of a node read and write at places that no option moves, or that the chart names.
_OWN = ("etc/containerd", "run", "var/lib/cni", "var/lib/containerd", "var/lib/kubelet", "var/lib/regproxy", "var/log")


class Traces:
    """What nodes need and leave on the machine of the tests: places to mount at, and control groups. One for all that run at a time."""

    def __init__(self) -> None:
        self._others = set(_cgroups())
        self._made = [place for own in _OWN if not (place := Path("/") / own).exists()]
        for place in self._made:
            place.mkdir()

    def remove(self) -> None:
        for place in reversed(self._made):
            place.rmdir()
        for group in _cgroups():
            if group not in self._others:
                with contextlib.suppress(OSError):  # whoever runs on this machine may have made it since
                    group.rmdir()


class Computer:
    """Namespaces, kept by a process that waits: whatever runs in them is killed with it, and mounts and interfaces go too."""

    def __init__(self, folder: Path, number: int = _NUMBER, own: Sequence[str] = _OWN) -> None:
        """Have a network by *number*, and files of its own at the places *own*, which have to exist."""
        require_root()
        self.root = folder / "node"
        self.outside, self.address = f"10.77.{number}.1", f"10.77.{number}.2"
        self._wire = f"rp-node{number}"
        self._own = own
        # The first process of a namespace reaps what others leave behind.
        waits = ["bash", "-c", "trap exit TERM; while :; do sleep infinity & wait $!; done"]
        command = ["unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", *waits]
        self._first = Daemon(command, folder / "machine.log")
        self._pid = 0

    def start(self) -> None:
        for own in self._own:
            (self.root / own).mkdir(parents=True)
        self._first.start(self._is_up)
        for own in self._own:
            self.run("mount", "--bind", self.root / own, Path("/") / own)
        run(["ip", "link", "add", self._wire, "type", "veth", "peer", "name", "eth0", "netns", str(self._pid)])
        run(["ip", "address", "add", f"{self.outside}/24", "dev", self._wire])
        run(["ip", "link", "set", self._wire, "up"])
        self.run("ip", "link", "set", "lo", "up")
        self.run("ip", "address", "add", f"{self.address}/24", "dev", "eth0")
        self.run("ip", "link", "set", "eth0", "up")
        self.run("ip", "route", "add", "default", "via", self.outside)
        self.run("sh", "-c", "echo 1 >/proc/sys/net/ipv4/ip_forward")

    def stop(self) -> None:
        """Kill all that runs in it; a second time it does nothing."""
        if self._pid:
            os.kill(self._pid, signal.SIGKILL)
        self._pid = 0
        self._first.stop()

    def command(self, *words: str | Path) -> list[str | Path]:
        """Return the command that runs *words* in the machine."""
        return ["nsenter", f"--target={self._pid}", "--net", "--mount", "--pid", "--", *words]

    def network_command(self, *words: str | Path) -> list[str | Path]:
        """Return the command that runs *words* in the machine's network alone: a signal to it reaches the program."""
        return ["nsenter", f"--target={self._pid}", "--net", "--", *words]

    def run(self, *words: str | Path) -> str:
        return run(self.command(*words))

    def _is_up(self) -> bool:
        process = self._first.pid
        children = Path(f"/proc/{process}/task/{process}/children").read_text().split()
        if not children:
            return False
        self._pid = int(children[0])
        # unshare enters all namespaces and mounts /proc before it becomes the program that waits.
        return Path(f"/proc/{self._pid}/comm").read_text().strip() == "bash"


def _cgroups() -> list[Path]:
    """List the control groups of containerd's Pods, the innermost first: who is killed with a machine leaves them empty."""
    tops = [Path(folder) for folder, folders, _ in os.walk("/sys/fs/cgroup") if "k8s.io" in folders]
    found = [Path(folder) for top in tops for folder, _, _ in os.walk(top / "k8s.io", topdown=False)]
    return sorted(found, key=lambda each: -len(each.parts))
