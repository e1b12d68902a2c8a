"""A blob, and where the store keeps it."""

from contextlib import suppress
from pathlib import Path

from regproxy.oci.digest import Digest

BODY = b"layer " * 10_000

DIGEST = Digest.of(BODY)


def path(tmp_path: Path, digest: Digest = DIGEST) -> Path:
    return tmp_path / "store" / "blobs" / digest.algorithm / digest.hex[:2] / digest.hex


def open_files(tmp_path: Path) -> int:
    """Count what this process has open below *tmp_path*: what other tests left open goes at any moment."""
    targets = []
    for descriptor in Path("/proc/self/fd").iterdir():
        with suppress(FileNotFoundError):  # it was closed as we looked
            targets.append(descriptor.readlink())
    return sum(target.is_relative_to(tmp_path) for target in targets)
