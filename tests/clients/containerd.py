"""containerd, with folders of its own and hosts.toml files that know no host but ours."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from .images import Image
from .processes import Daemon, is_accepting, run
from .programs import SEARCHED, program, require_root

_CONFIGURATION = """
version = 2
root = "{folder}/root"
state = "{folder}/state"
disabled_plugins = [{disabled}"io.containerd.internal.v1.opt"]

[grpc]
  address = "{folder}/containerd.sock"

[ttrpc]
  address = "{folder}/ttrpc.sock"
"""
_NO_CRI = '"io.containerd.grpc.v1.cri", '
_CRI = """
[plugins."io.containerd.grpc.v1.cri".registry]
  config_path = "{certs}"
"""

# The server is ours too: without it containerd would go on to the registry itself.
_HOSTS = """
server = "{url}"
override_path = {verbatim}

[host."{url}"]
  capabilities = ["pull", "resolve"]
  override_path = {verbatim}
{known}
"""


def _of_debian(name: str) -> Path:
    return program(name, "containerd")


class Containerd:
    """A containerd daemon; its socket's path must be short, so *folder* must be. *find* says where its programs are.

    With *certs*, the directory of hosts.toml files, it serves CRI as well; *settings* come after those of its configuration.
    """

    def __init__(self, folder: Path, find: Callable[[str], Path] = _of_debian, certs: Path | None = None, settings: str = "") -> None:
        require_root()
        program("runc", "runc")
        self._ctr = find("ctr")
        self._folder = folder
        self.socket = folder / "containerd.sock"
        self._containers = count()
        configuration = folder / "config.toml"
        configuration.write_text(
            _CONFIGURATION.format(folder=folder, disabled="" if certs else _NO_CRI) + (_CRI.format(certs=certs) if certs else "") + settings
        )
        path = os.pathsep.join([str(find("containerd-shim-runc-v2").parent), SEARCHED])
        self._daemon = Daemon([find("containerd"), "--config", configuration], folder / "log", {"PATH": path})

    def start(self) -> None:
        self._daemon.start(lambda: is_accepting(self.socket))

    def stop(self) -> None:
        self._daemon.stop()

    def ctr(self, *words: str | Path) -> str:
        return run([self._ctr, "--address", self.socket, *words])

    def run(self, reference: str) -> str:
        """Run an image's program to its end and give back what it says; ctr itself loses that of one that ends before ctr reads."""
        name = f"container-{next(self._containers)}"
        said = self._folder / f"{name}.log"
        self.ctr("run", "--rm", "--log-uri", f"file://{said}", reference, name)
        return said.read_text()


@dataclass(frozen=True, slots=True)
class ContainerdPull:
    """Pulls from one registry by containerd, with the hosts.toml files below *hosts*; *how* are more of ctr's options."""

    containerd: Containerd
    hosts: Path
    registry: str
    how: tuple[str, ...] = ()

    def pull(self, image: Image) -> None:
        self.containerd.ctr("images", "pull", *self.how, "--hosts-dir", self.hosts, image.at(self.registry))

    def check(self, image: Image) -> None:
        listed = self.containerd.ctr("images", "list", f"name=={image.at(self.registry)}")
        assert image.top.digest in listed
        assert self.containerd.run(image.at(self.registry)).strip() == image.says

    def check_content(self, image: Image) -> None:
        """Check an image that has nothing to run."""
        listed = self.containerd.ctr("images", "check", f"name=={image.at(self.registry)}")
        assert image.top.digest in listed
        assert "complete" in listed

    def remove(self, image: Image) -> None:
        self.containerd.ctr("images", "remove", "--sync", image.at(self.registry))

    def forget(self) -> None:
        for name in self.containerd.ctr("images", "list", "--quiet").split():
            self.containerd.ctr("images", "remove", "--sync", name)
        assert not self.containerd.ctr("content", "list", "--quiet")


def write_hosts(folder: Path, name: str, url: str, *, verbatim: bool = False, known: str = "") -> Path:
    """Send the pulls of the registry *name*, or `_default`, to *url*; *verbatim* adds no /v2 to it (override_path).

    *known* says by which certificates the two know each other.
    """
    (folder / name).mkdir(parents=True)
    (folder / name / "hosts.toml").write_text(_HOSTS.format(url=url, verbatim=str(verbatim).lower(), known=known))
    return folder
