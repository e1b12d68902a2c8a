"""skopeo, which copies an image into a plain folder."""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

from .content import sha256
from .images import Image
from .processes import run
from .programs import program, require_root


class Skopeo:
    """Copies what is below *prefix*, such as `127.0.0.1:5000/registry.test`, all platforms of it."""

    def __init__(self, folder: Path, prefix: str, certificates: Path | None = None) -> None:
        """Trust who is vouched for in the folder *certificates*, or anyone where there is none."""
        self._skopeo: list[str | Path] = [program("skopeo", "skopeo"), "--policy", folder / "policy.json"]
        self._copies = folder / "copies"
        self._prefix = prefix
        self._trust = ["--src-tls-verify=false"] if certificates is None else [f"--src-cert-dir={certificates}"]
        (folder / "policy.json").write_text(json.dumps({"default": [{"type": "insecureAcceptAnything"}]}))
        self._copies.mkdir()

    def pull(self, image: Image, name: str = "") -> None:
        """Copy to a folder of the image's own, or called *name*."""
        source = f"docker://{image.at(self._prefix)}"
        self._run([*self._skopeo, "copy", "--all", *self._trust, source, f"dir:{self._copy(image, name)}"])

    def check(self, image: Image, name: str = "") -> None:
        """Find manifest.json in the `dir:` copy, and every other document and blob under the hex of its digest."""
        files = {path.name: path.read_bytes() for path in self._copy(image, name).iterdir()}
        documents = [*image.blobs, *image.manifests[:-1]]
        assert files["manifest.json"] == image.top.body
        for document in documents:
            hexadecimal = document.digest.removeprefix("sha256:")
            found = files.get(hexadecimal) or files[f"{hexadecimal}.manifest.json"]
            assert sha256(found) == document.digest

    def forget(self) -> None:
        shutil.rmtree(self._copies)
        self._copies.mkdir()

    def inspect(self, image: Image) -> dict[str, object]:
        source = f"docker://{image.at(self._prefix)}"
        told: dict[str, object] = json.loads(run([*self._skopeo, "inspect", "--tls-verify=false", source]))
        return told

    def _run(self, command: Sequence[str | Path]) -> None:
        run(command)

    def _copy(self, image: Image, name: str) -> Path:
        return self._copies / (name or image.repository.replace("/", "-"))


class SystemSkopeo(Skopeo):
    """skopeo on a machine of its own, whose /etc/containers is *configuration*: registries.conf.d is found where CRI-O finds it.

    CRI-O is not built here; it reads these files by the same library (containers/image, pkg/sysregistriesv2).
    """

    def __init__(self, folder: Path, registry: str, configuration: Path) -> None:
        require_root()
        super().__init__(folder, registry)
        self._trust = []
        self._configuration = configuration

    def _run(self, command: Sequence[str | Path]) -> None:
        run(["unshare", "--mount", "sh", "-ec", 'mount --bind "$0" /etc/containers; exec "$@"', self._configuration, *command])
