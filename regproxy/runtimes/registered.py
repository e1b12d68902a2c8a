"""Every runtime that can be configured, by the name that the commands give it."""

from typing import Final

from regproxy.runtimes.containerd import CONTAINERD
from regproxy.runtimes.model import Runtime

RUNTIMES: Final[dict[str, Runtime]] = {runtime.name: runtime for runtime in (CONTAINERD,)}
