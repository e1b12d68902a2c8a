"""dockerd with folders of its own and a daemon.json that makes our proxy its mirror, and the docker command that talks to it."""

from pathlib import Path

from .configured import write_configuration
from .images import Image
from .processes import Daemon, is_accepting, run
from .programs import program, require_root


class Docker:
    """A docker daemon; it asks a mirror for Docker Hub's images alone."""

    def __init__(self, folder: Path, mirror: str) -> None:
        """Pull by way of *mirror*, a URL."""
        require_root()
        self._docker = program("docker", "docker.io")
        self._folder = folder
        self.socket = folder / "docker.sock"
        self._host = f"unix://{self.socket}"
        write_configuration("docker", folder, mirror)
        self._daemon = Daemon([program("dockerd", "docker.io"), *self._options()], folder / "log")

    def start(self) -> None:
        self._daemon.start(lambda: is_accepting(self._folder / "docker.sock"))

    def stop(self) -> None:
        self._daemon.stop()

    def pull(self, image: Image) -> None:
        self._run("pull", "--quiet", self._reference(image))

    def check(self, image: Image) -> None:
        digests = self._run("image", "inspect", "--format", "{{.RepoDigests}}", self._reference(image))
        assert f"@{image.top.digest}" in digests
        assert self._run("run", "--rm", "--network", "none", self._reference(image)).strip() == image.says

    def forget(self) -> None:
        self._run("image", "prune", "--all", "--force")
        assert not self._run("image", "list", "--quiet")

    def _reference(self, image: Image) -> str:
        """Use the short name, as people write it: `hello:1`."""
        return image.name.removeprefix("library/")

    def _run(self, *words: str) -> str:
        return run([self._docker, "--host", self._host, *words], {"DOCKER_CONFIG": str(self._folder)})

    def _options(self) -> list[str | Path]:
        """Nothing shared with a docker that may run on this machine, and no network for containers."""
        folders: list[str | Path] = ["--data-root", self._folder / "data", "--exec-root", self._folder / "exec"]
        files: list[str | Path] = ["--config-file", self._folder / "daemon.json", "--pidfile", self._folder / "pid"]
        network = ["--iptables=false", "--ip6tables=false", "--bridge=none"]
        return ["--host", self._host, *folders, *files, *network]
