"""An image of blobs of all sizes, in a registry and as plain files."""

import asyncio
import json
import random
import time
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import aiohttp

from bench.peers import Peer
from regproxy.oci.digest import Digest
from regproxy.oci.manifest import ACCEPT, OCI_MANIFEST

NAME = "library/app"
TAG = "1"
_LARGEST = 100_000_000  # bytes that `randbytes` is asked for at once; 256 MiB are too many
_AT_ONCE = 3  # layers (containerd, max_concurrent_downloads)


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
    blobs = {name: b"".join(map(chance.randbytes, _pieces(size))) for name, size in sizes.items()}
    layers = [_descriptor("application/vnd.oci.image.layer.v1.tar", body) for body in blobs.values()]
    config = b"{}"
    described = _descriptor("application/vnd.oci.image.config.v1+json", config)
    document = {"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": described, "layers": layers}
    return Image(json.dumps(document).encode(), {**blobs, "config": config})


def _pieces(size: int) -> list[int]:
    """Cut *size* into pieces that `random.Random.randbytes` makes."""
    return [min(_LARGEST, size - start) for start in range(0, size, _LARGEST)]


def push(registry: Peer, pushed: Image) -> None:
    """Upload the blobs, then the manifest (distribution-spec, Pushing manifests)."""
    for body in pushed.blobs.values():
        begun = _ask("POST", registry.url(f"/v2/{NAME}/blobs/uploads/"), b"", "application/octet-stream")
        _ask("PUT", f"{begun}&digest={Digest.of(body)}", body, "application/octet-stream")
    _ask("PUT", registry.url(f"/v2/{NAME}/manifests/{TAG}"), pushed.manifest, OCI_MANIFEST)


async def pull(peer: Peer, pulled: Image) -> float:
    """Pull all of it as containerd does, a few layers at once, each hashed; return how many seconds that took."""
    digests = [Digest.of(body) for body in pulled.blobs.values()]
    began, turns = time.perf_counter(), asyncio.Semaphore(_AT_ONCE)
    async with aiohttp.ClientSession(headers={"Accept": ACCEPT}, timeout=aiohttp.ClientTimeout()) as session:

        async def fetch(path: str, digest: Digest) -> None:
            async with turns, session.get(peer.url(f"/v2/{NAME}/{path}")) as answer:
                answer.raise_for_status()
                hashing = sha256()
                async for chunk in answer.content.iter_any():
                    hashing.update(chunk)
            if hashing.hexdigest() != digest.hex:
                raise RuntimeError(f"{path} came as sha256:{hashing.hexdigest()}")

        await fetch(f"manifests/{TAG}", Digest.of(pulled.manifest))
        await asyncio.gather(*(fetch(f"blobs/{digest}", digest) for digest in digests))
    return time.perf_counter() - began


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
