"""Pull an image through regproxy as a runtime does: every blob is read and compared with its digest. Standard library only."""

import hashlib
import json
import platform
import ssl
import sys
import urllib.request
from typing import Any

_INDEXES = ("application/vnd.oci.image.index.v1+json", "application/vnd.docker.distribution.manifest.list.v2+json")
_MANIFESTS = ("application/vnd.oci.image.manifest.v1+json", "application/vnd.docker.distribution.manifest.v2+json")
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm"}
_PIECE = 1 << 20
_TIMEOUT = 120.0  # seconds without a byte


def pull(endpoint: str, image: str) -> tuple[int, int]:
    """Return how many blobs the image has for this platform, and how many bytes; raise ValueError where one is wrong."""
    registry, _, rest = image.partition("/")
    name, _, tag = rest.rpartition(":")

    def opened(kind: str, target: str) -> Any:  # noqa: ANN401  a response of urllib
        request = urllib.request.Request(f"{endpoint}/v2/{name}/{kind}/{target}?ns={registry}")  # noqa: S310
        request.add_header("Accept", ", ".join(_INDEXES + _MANIFESTS))
        # Whether the content is right is told by its digest, and not by who sent it.
        context = ssl._create_unverified_context() if endpoint.startswith("https") else None  # noqa: S323, SLF001
        return urllib.request.build_opener(urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context)).open(
            request, timeout=_TIMEOUT
        )

    with opened("manifests", tag) as response:
        manifest = json.load(response)
    if "manifests" in manifest:
        machine = _ARCHITECTURES.get(platform.machine(), platform.machine())
        digest = next(each["digest"] for each in manifest["manifests"] if each.get("platform", {}).get("architecture") == machine)
        with opened("manifests", digest) as response:
            body = response.read()
        _check(digest, hashlib.sha256(body).hexdigest())
        manifest = json.loads(body)
    total = 0
    blobs = [manifest["config"], *manifest["layers"]]
    for blob in blobs:
        digest, hashed = blob["digest"], hashlib.sha256()
        with opened("blobs", digest) as response:
            while piece := response.read(_PIECE):
                hashed.update(piece)
                total += len(piece)
        _check(digest, hashed.hexdigest())
    return len(blobs), total


def _check(digest: str, found: str) -> None:
    if digest != f"sha256:{found}":
        raise ValueError(f"{digest} was asked for, and what came is sha256:{found}")


if __name__ == "__main__":
    count, size = pull(sys.argv[1], sys.argv[2])
    print(f"pulled {sys.argv[2]} by {sys.argv[1]}: {count} blobs, {size} bytes, all as their digests say")  # noqa: T201
