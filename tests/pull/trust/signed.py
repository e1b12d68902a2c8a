"""A registry with signatures in it, and rules for a rig before it."""

from pathlib import Path

from regproxy.oci.descriptor import Descriptor
from regproxy.oci.digest import Digest
from tests.fakes.library import OCI_MANIFEST
from tests.fakes.registry import FakeRegistry
from tests.rig import Answer, Rig
from tests.trust.signing import EMPTY_CONFIG, Signer, payload, referrer, signature_manifest

NAME = "library/app"


def rules(upstream: FakeRegistry, *keys: Path, mode: str = "enforce", match: str = "library/*", **more: object) -> dict[str, object]:
    """Require a signature by one of *keys* of what *upstream* has, and ask it about a tag at every pull."""
    require = [{"match": match, "keys": [str(key) for key in keys], "mode": mode}]
    entry = {"hosts": [{"url": upstream.url}], "tags": [{"fresh_for": "0s"}], "require": require}
    return {"docker.io": entry | more}


def key_file(folder: Path, signer: Signer, name: str = "cosign.pub") -> Path:
    path = folder / name
    path.write_bytes(signer.pem)
    return path


def sign_by_tag(upstream: FakeRegistry, digest: Digest, *signers: Signer, at: Digest | None = None, name: str = NAME) -> Digest:
    """Put signatures of *digest* under the tag of cosign, or under that of another digest."""
    signed = payload(digest)
    upstream.add_blob(name, signed)
    upstream.add_blob(name, EMPTY_CONFIG)
    body = signature_manifest(*(signer.layer(signed) for signer in signers))
    return upstream.add_manifest(name, body, OCI_MANIFEST, f"sha256-{(at or digest).hex}.sig")


def sign_by_bundle(upstream: FakeRegistry, digest: Digest, signer: Signer, subject: Digest | None = None, name: str = NAME) -> Digest:
    """Put a bundle that signs *digest* beside it, or beside another *subject*."""
    return add_bundle(upstream, subject or digest, signer.bundle(digest), name)


def add_bundle(upstream: FakeRegistry, subject: Digest, body: bytes, name: str = NAME) -> Digest:
    upstream.add_blob(name, body)
    upstream.add_blob(name, EMPTY_CONFIG)
    return upstream.add_manifest(name, referrer(subject, 1, body), OCI_MANIFEST)


def add_multi(upstream: FakeRegistry, tag: str = "multi") -> tuple[Descriptor, list[Descriptor]]:
    """Add an index of two images."""
    children = [upstream.add_image(NAME, None, [f"layer {number} of {tag}".encode()]) for number in range(2)]
    return upstream.add_index(NAME, tag, children), children


async def pulled(proxy: Rig, target: object = "1", name: str = NAME) -> Answer:
    return await proxy.ask(f"/v2/{name}/manifests/{target}?ns=docker.io")
