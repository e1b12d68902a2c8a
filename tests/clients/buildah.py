"""buildah, with storage of its own and a registries.conf that sends it to our mirror: what `buildah from` pulls."""

import json
from pathlib import Path

from .images import Image
from .processes import run
from .programs import program, require_root


class Buildah:
    """Pulls from *registry*, by what *configuration*, a whole registries.conf, says of it."""

    def __init__(self, folder: Path, registry: str, configuration: Path) -> None:
        require_root()
        self._buildah = program("buildah", "buildah")
        self._folder = folder
        self._registry = registry
        self._configuration = configuration
        self._container = ""
        (folder / "policy.json").write_text(json.dumps({"default": [{"type": "insecureAcceptAnything"}]}))

    def pull(self, image: Image) -> None:
        policy = self._folder / "policy.json"
        self._container = self._run("from", "--quiet", "--pull-always", "--signature-policy", policy, image.at(self._registry)).strip()

    def check(self, image: Image) -> None:
        told = json.loads(self._run("inspect", self._container))
        mounted = Path(self._run("mount", self._container).strip())
        assert told["FromImageDigest"] in {manifest.digest for manifest in image.manifests}
        assert (mounted / "bin" / "busybox").stat().st_size > 0

    def forget(self) -> None:
        self._run("rm", "--all")
        self._run("rmi", "--all", "--force")

    def _run(self, *words: str | Path) -> str:
        folders: list[str | Path] = ["--root", self._folder / "root", "--runroot", self._folder / "run", "--storage-driver", "vfs"]
        own = {"CONTAINERS_REGISTRIES_CONF": str(self._configuration), "HOME": str(self._folder)}
        return run([self._buildah, *folders, *words], own)
