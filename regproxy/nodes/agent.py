"""The program on each node that keeps its runtime's configuration: thin, as `client-config` writes and undoes it."""

import http.client
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn
from urllib.parse import urlsplit

from regproxy.nodes.guard import NodeGuard, Step

HOST_ADDRESS = "HOST_IP"  # stands in an endpoint for the node's own address, and is the variable that has it

INTERVAL = 5.0  # seconds between two looks at the cache
_PROBE_TIMEOUT = 5.0  # seconds: a cache that is stopped but connected has not answered
_UNDO_INTERVAL = 2.0
_COMMAND_TIMEOUT = 60.0


@dataclass(frozen=True, slots=True)
class Node:
    """A node's runtime, the directory of its configuration, and where changes are reported.

    *registries* are to come from the cache; all where there are none. *ca* is the file of the certificates to trust, if it exists.
    """

    runtime: str
    root: Path
    told: Callable[[str], None]
    registries: Sequence[str] = ()
    ca: Path | None = None

    def apply(self, endpoint: str) -> bool:
        named = [f"--registry={registry}" for registry in self.registries]
        trusted = [f"--ca={self.ca}"] if self.ca is not None and self.ca.exists() else []
        return self._run("--apply", f"--endpoint={endpoint}", *named, *trusted)

    def undo(self) -> bool:
        return self._run("--undo")

    def _run(self, *options: str) -> bool:
        """Run `client-config`, print its output, and report whether it succeeded."""
        command = [sys.executable, "-m", "regproxy", "client-config", self.runtime, f"--root={self.root}", *options]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=_COMMAND_TIMEOUT, check=False)  # noqa: S603
        except subprocess.TimeoutExpired:
            self.told(f"client-config {' '.join(options)}: no end within {_COMMAND_TIMEOUT:g} s")
            return False
        for line in (done.stdout + done.stderr).splitlines():
            self.told(line)
        return done.returncode == 0


def keep(node: Node, endpoint: str, silence: float, state: Path | None = None) -> NoReturn:
    """Keep *node* configured while *endpoint* answers; *state* is a file that records what was done last."""
    guard = NodeGuard(silence, time.monotonic())
    while True:
        began = time.monotonic()
        step = guard.step(began, has_answered=answers(endpoint))
        if step is not Step.NOTHING:
            node.told(f"the cache at {endpoint} " + ("answers" if step is Step.APPLY else f"has not answered for {silence:g} s"))
            if node.apply(endpoint) if step is Step.APPLY else node.undo():
                guard.done(step)
                _tell(state, "applied" if guard.is_applied else "withdrawn")
        time.sleep(max(0.0, INTERVAL - (time.monotonic() - began)))


def undo(node: Node, state: Path | None = None) -> None:
    """Undo *node*, again until it succeeds."""
    while not node.undo():
        time.sleep(_UNDO_INTERVAL)
    _tell(state, "undone")


def at_node(endpoint: str, address: str | None) -> str:
    """Put a node's *address* in its place in *endpoint*; raise ValueError where there is none to put."""
    if HOST_ADDRESS not in endpoint:
        return endpoint
    if not address:
        raise ValueError(f"{HOST_ADDRESS} is not in the environment, and the endpoint is at it: {endpoint}")
    return endpoint.replace(HOST_ADDRESS, f"[{address}]" if ":" in address else address)


def answers(endpoint: str) -> bool:
    """Ask *endpoint* as a runtime does, and report whether it serves registries. Its certificate is left to the runtime to verify."""
    url = urlsplit(endpoint)
    if url.scheme == "https":
        context = ssl._create_unverified_context()  # noqa: S323, SLF001  nothing is sent, and nothing believed but that it is there
        connection: http.client.HTTPConnection = http.client.HTTPSConnection(url.netloc, timeout=_PROBE_TIMEOUT, context=context)
    else:
        connection = http.client.HTTPConnection(url.netloc, timeout=_PROBE_TIMEOUT)
    try:
        connection.request("GET", "/v2/")
        response = connection.getresponse()
        return response.status in {200, 401} and "registry/2.0" in response.headers.get("Docker-Distribution-API-Version", "")
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _tell(state: Path | None, what: str) -> None:
    if state is not None:
        state.write_text(f"{what}\n")
