"""A blob, and where the store keeps it."""

from pathlib import Path

from regproxy.oci.digest import Digest

BODY = b"layer " * 10_000

DIGEST = Digest.of(BODY)


def path(tmp_path: Path, digest: Digest = DIGEST) -> Path:
    return tmp_path / "store" / "blobs" / digest.algorithm / digest.hex[:2] / digest.hex
