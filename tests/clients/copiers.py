"""crane, oras, regctl and skopeo: how each lists tags, and how those of today copy an image into a folder of its layout."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeAlias

from .go_programs import go_program
from .images import Image
from .processes import run
from .programs import program

List: TypeAlias = Callable[[str], list[str]]


def by_crane(repository: str) -> list[str]:
    return run([go_program("crane"), "ls", "--insecure", repository]).split()


def by_oras(repository: str) -> list[str]:
    return run([go_program("oras"), "repo", "tags", "--plain-http", repository]).split()


def by_regctl(repository: str) -> list[str]:
    return run([go_program("regctl"), "tag", "ls", "--host", _plain(repository), repository]).split()


def by_skopeo(repository: str) -> list[str]:
    """List them as the JSON document that skopeo prints has them."""
    printed = run([program("skopeo", "skopeo"), "list-tags", "--tls-verify=false", f"docker://{repository}"])
    return [line.strip().strip('",') for line in printed.partition("[")[2].partition("]")[0].splitlines() if line.strip()]


LISTS: Mapping[str, List] = {"crane": by_crane, "oras": by_oras, "regctl": by_regctl, "skopeo": by_skopeo}


class LayoutClient:
    """Copies what is below *prefix*, such as `127.0.0.1:5000/registry.test`, into an image layout; *copy* says by which program."""

    def __init__(self, folder: Path, prefix: str, copy: Callable[[str, Path, str], list[str | Path]]) -> None:
        self._folder = folder
        self._prefix = prefix
        self._copy = copy
        self._pulls = 0

    def pull(self, image: Image) -> None:
        self._pulls += 1
        run(self._copy(image.at(self._prefix), self._layout(), image.reference))

    def check(self, image: Image) -> None:
        """Find every document and blob under its digest (image-spec, image-layout.md)."""
        for document in (*image.blobs, *image.manifests):
            assert (self._layout() / "blobs" / document.digest.replace(":", "/")).read_bytes() == document.body

    def forget(self) -> None:
        """Copy to another folder next time."""
        self._pulls += 1

    def _layout(self) -> Path:
        return self._folder / f"layout-{self._pulls}"


def crane_copy(source: str, layout: Path, _: str) -> list[str | Path]:
    return [go_program("crane"), "pull", "--insecure", "--format", "oci", source, layout]


def oras_copy(source: str, layout: Path, reference: str) -> list[str | Path]:
    target = f"{layout}:copied" if ":" in reference else f"{layout}:{reference}"
    return [go_program("oras"), "copy", "--from-plain-http", "--to-oci-layout", source, target]


def regctl_copy(source: str, layout: Path, _: str) -> list[str | Path]:
    return [go_program("regctl"), "image", "copy", "--host", _plain(source), source, f"ocidir://{layout}:copied"]


def _plain(name: str) -> str:
    return f"reg={name.partition('/')[0]},tls=disabled"
