"""Every runtime that can be configured, by the name that the commands give it."""

from typing import Final

from regproxy.runtimes.buildkit import BUILDKIT
from regproxy.runtimes.containerd import CONTAINERD
from regproxy.runtimes.containers import CRI_O, PODMAN
from regproxy.runtimes.docker import DOCKER
from regproxy.runtimes.dragonfly import DRAGONFLY
from regproxy.runtimes.k3s import K3S, RKE2
from regproxy.runtimes.model import Runtime
from regproxy.runtimes.spegel import SPEGEL

_ALL = (CONTAINERD, K3S, RKE2, CRI_O, PODMAN, DOCKER, BUILDKIT, DRAGONFLY, SPEGEL)
RUNTIMES: Final[dict[str, Runtime]] = {runtime.name: runtime for runtime in _ALL}
