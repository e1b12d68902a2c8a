"""buildkitd with folders of its own, and buildctl, which has it build an image from the one that is wanted: it pulls nothing else."""

import json
from collections.abc import Mapping, Sequence
from itertools import count
from pathlib import Path

from .configured import write_configuration
from .content import Blob
from .go_programs import go_program
from .images import Image
from .processes import Daemon, is_accepting, run
from .programs import program, require_root

# A command is run in it, so that every layer is there and unpacked.
_DOCKERFILE = """
FROM {image}
RUN ["/bin/busybox", "sh", "-c", "/bin/busybox echo built >/built"]
"""


class BuildKit:
    """A BuildKit daemon that asks a mirror for the images of *registry*."""

    def __init__(self, folder: Path, registry: str, mirror: str, snapshotter: str = "native") -> None:
        """Pull by way of *mirror*, a URL; the *snapshotter* stargz fetches what of an eStargz layer is read (FUSE)."""
        require_root()
        program("runc", "runc")
        self._registry, self._folder = registry, folder
        self._builds = count(1)
        self._built = folder / "built-0"
        self.socket = folder / "buildkitd.sock"
        configuration = write_configuration("buildkit", folder, mirror, "--registry", registry) / "buildkitd.toml"
        worker = ["--containerd-worker=false", "--oci-worker-gc=false", f"--oci-worker-snapshotter={snapshotter}", "--oci-worker-net=host"]
        command: list[str | Path] = [go_program("buildkitd"), "--config", configuration, "--root", folder / "root", *worker]
        self._daemon = Daemon([*command, "--addr", f"unix://{self.socket}"], folder / "log")

    def start(self) -> None:
        self._daemon.start(lambda: is_accepting(self.socket))

    def stop(self) -> None:
        self._daemon.stop()

    def pull(self, image: Image, *options: str) -> None:
        """Build from an image, with more of buildctl's *options*."""
        self._built = self._folder / f"built-{next(self._builds)}"
        self._build(_DOCKERFILE.format(image=image.at(self._registry)), f"--output=type=local,dest={self._built}", *options)

    def run(self, reference: str, command: Sequence[str]) -> None:
        """Run a command in an image, and take nothing of it home."""
        self._build(f"FROM {reference}\nRUN {json.dumps(command)}\n")

    def _build(self, dockerfile: str, *options: str) -> None:
        context = self._folder / f"context-{next(self._builds)}"
        context.mkdir()
        (context / "Dockerfile").write_text(dockerfile)
        self._run("build", "--frontend=dockerfile.v0", f"--local=context={context}", f"--local=dockerfile={context}", *options)

    def export_cache(self, image: Image, repository: str) -> Image:
        """Build from an image, and return the build's cache as an image of a *repository*: an OCI manifest, as `mode=max` has it."""
        layout = self._folder / f"cache-{next(self._builds)}"
        self.pull(image, f"--export-cache=type=local,dest={layout},mode=max,image-manifest=true")
        [described] = json.loads((layout / "index.json").read_text())["manifests"]
        top = _blob(layout, described)
        document = json.loads(top.body)
        return Image(repository, "1", tuple(_blob(layout, each) for each in (document["config"], *document["layers"])), (top,))

    def check(self, image: Image) -> None:
        """Find in what was built what the image has, and what the build put there."""
        assert (self._built / "repository").read_bytes() == image.repository.encode()
        assert (self._built / "bin/busybox").stat().st_size > 0
        assert (self._built / "built").read_text() == "built\n"

    def forget(self) -> None:
        self._run("prune", "--all")
        assert "Total:\t\t0B" in self._run("du")

    def _run(self, *words: str) -> str:
        return run([go_program("buildctl"), f"--addr=unix://{self.socket}", *words], {"HOME": str(self._folder)})


def _blob(layout: Path, descriptor: Mapping[str, str]) -> Blob:
    return Blob(descriptor["mediaType"], (layout / "blobs" / descriptor["digest"].replace(":", "/")).read_bytes())
