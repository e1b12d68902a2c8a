"""An image of blobs of all sizes, in a registry and as plain files."""

import json
import random
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from bench.peers import Peer
from regproxy.oci.digest import Digest
from regproxy.oci.manifest import OCI_MANIFEST

NAME = "library/app"
TAG = "1"


@dataclass(frozen=True)
class Image:
    """A manifest, and its layers by what they are called here."""

    manifest: bytes
    blobs: Mapping[str, bytes]

    def paths(self) -> dict[str, str]:
        """Name what can be asked for."""
        manifests = {"manifest by tag": f"manifests/{TAG}", "manifest by digest": f"manifests/{Digest.of(self.manifest)}"}
        blobs = {name: f"blobs/{Digest.of(body)}" for name, body in self.blobs.items()}
        return {name: f"/v2/{NAME}/{path}" for name, path in (manifests | blobs).items()}


def image(sizes: Mapping[str, int], seed: int = 0) -> Image:
    """Make an image of layers of so many bytes."""
    chance = random.Random(seed)
    blobs = {name: chance.randbytes(size) for name, size in sizes.items()}
    layers = [_descriptor("application/vnd.oci.image.layer.v1.tar", body) for body in blobs.values()]
    config = b"{}"
    described = _descriptor("application/vnd.oci.image.config.v1+json", config)
    document = {"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": described, "layers": layers}
    return Image(json.dumps(document).encode(), {**blobs, "config": config})


def push(registry: Peer, pushed: Image) -> None:
    """Upload the blobs, then the manifest (distribution-spec, Pushing manifests)."""
    for body in pushed.blobs.values():
        begun = _ask("POST", registry.url(f"/v2/{NAME}/blobs/uploads/"), b"", "application/octet-stream")
        _ask("PUT", f"{begun}&digest={Digest.of(body)}", body, "application/octet-stream")
    _ask("PUT", registry.url(f"/v2/{NAME}/manifests/{TAG}"), pushed.manifest, OCI_MANIFEST)


def lay_out(root: Path, laid: Image) -> None:
    """Write files where a server of files finds what the paths name."""
    bodies = {"manifest by tag": laid.manifest, "manifest by digest": laid.manifest, **laid.blobs}
    for name, path in laid.paths().items():
        file = root / path.removeprefix("/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(bodies[name])


def _descriptor(media_type: str, body: bytes) -> dict[str, object]:
    return {"mediaType": media_type, "digest": str(Digest.of(body)), "size": len(body)}


def _ask(method: str, url: str, body: bytes, media_type: str) -> str:
    request = urllib.request.Request(url, data=body, method=method, headers={"Content-Type": media_type})
    with urllib.request.urlopen(request, timeout=60) as answer:
        return str(answer.headers.get("Location", ""))
