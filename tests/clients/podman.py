"""podman, with storage of its own and a registries.conf that sends it to our mirror."""

import json
from pathlib import Path

from .images import Image
from .processes import run
from .programs import program, require_root

_MIRRORED = """
[[registry]]
location = "{registry}"

[[registry.mirror]]
location = "{mirror}"
insecure = {insecure}
"""


class Podman:
    """Pulls from *registry* by way of *mirror*, which is a host and port, maybe with a path."""

    def __init__(
        self, folder: Path, registry: str, mirror: str, certificates: Path | None = None, configuration: Path | None = None
    ) -> None:
        """Trust who is vouched for in the folder *certificates*, or anyone; *configuration* is a whole registries.conf."""
        require_root()
        self._registry = registry
        self._folder = folder
        self._podman = program("podman", "podman")
        program("runc", "runc")
        mirrored = _MIRRORED.format(registry=registry, mirror=mirror, insecure=str(not certificates).lower())
        (folder / "registries.conf").write_text(configuration.read_text() if configuration else mirrored)
        self._trust = [f"--cert-dir={certificates}"] if certificates else []
        (folder / "policy.json").write_text(json.dumps({"default": [{"type": "insecureAcceptAnything"}]}))

    def pull(self, image: Image) -> None:
        policy = self._folder / "policy.json"
        self._run("pull", "--quiet", *self._trust, "--signature-policy", policy, image.at(self._registry))

    def check(self, image: Image) -> None:
        told = json.loads(self._run("image", "inspect", image.at(self._registry)))
        assert f"{self._registry}/{image.repository}@{image.top.digest}" in told[0]["RepoDigests"]
        assert self._start(image).strip() == image.says

    def forget(self) -> None:
        self._run("rmi", "--all", "--force")

    def _start(self, image: Image) -> str:
        # podman's own limits are above those of a sandbox that may not raise them, hence ours.
        limits = ["--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1024:1024"]
        return self._run("run", "--rm", "--network", "none", *limits, image.at(self._registry))

    def _run(self, *words: str | Path) -> str:
        folders: list[str | Path] = ["--root", self._folder / "root", "--runroot", self._folder / "run"]
        how = ["--runtime", "runc", "--storage-driver", "vfs", "--cgroup-manager", "cgroupfs", "--events-backend", "file"]
        env = {"CONTAINERS_REGISTRIES_CONF": str(self._folder / "registries.conf"), "HOME": str(self._folder)}
        return run([self._podman, *folders, "--tmpdir", self._folder / "tmp", *how, *words], env)
