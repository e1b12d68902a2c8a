"""Images in a tar: the OCI image layout (image-spec, image-layout.md), and what `docker save` wrote before it wrote that too."""

from collections.abc import Iterable, Sequence

from regproxy.oci.descriptor import Descriptor
from regproxy.oci.digest import Digest
from regproxy.oci.manifest import OCI_INDEX, OCI_MANIFEST, parse_descriptor
from regproxy.oci.reference import Reference, Repository, parse_target

MARKER = ("oci-layout", b'{"imageLayoutVersion": "1.0.0"}')
_REF_NAME = "org.opencontainers.image.ref.name"
_FULL_NAME = "io.containerd.image.name"  # containerd: what `ctr images import` calls the image
_HUB = "docker.io"


def blob_path(digest: Digest) -> str:
    return f"blobs/{digest.algorithm}/{digest.hex}"


def index(images: Iterable[tuple[str, Descriptor]]) -> dict[str, object]:
    """Write index.json for images by their full names."""
    manifests = [{**written(descriptor), "annotations": {_REF_NAME: name, _FULL_NAME: name}} for name, descriptor in images]
    return {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": manifests}


def listed(document: object) -> list[tuple[str | None, Descriptor]]:
    """Read index.json: the images in it, by name where they have one."""
    found: list[tuple[str | None, Descriptor]] = []
    items = document.get("manifests") if isinstance(document, dict) else None
    for item in items if isinstance(items, list) else []:
        if (descriptor := parse_descriptor(item)) is not None:
            annotations = item.get("annotations")
            named = annotations if isinstance(annotations, dict) else {}
            name = named.get(_FULL_NAME) or named.get(_REF_NAME)
            found.append((name if isinstance(name, str) else None, descriptor))
    return found


def image_of(config: Descriptor, layers: Sequence[Descriptor]) -> dict[str, object]:
    """Write the manifest that an image of `docker save` lacks."""
    return {"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": written(config), "layers": [written(layer) for layer in layers]}


def full_reference(name: str) -> Reference:
    """Read a name as Docker does: `nginx` is docker.io/library/nginx:latest. Raise `InvalidName` or `InvalidDigest`."""
    path, at, target = name.rpartition("@")
    if not at:
        path, colon, target = name.rpartition(":")
        if not colon or "/" in target:
            path, target = name, "latest"
    registry, slash, rest = path.partition("/")
    if not slash or not ({".", ":"} & set(registry) or registry == "localhost"):
        registry, rest = _HUB, path if slash else f"library/{path}"
    return Reference(Repository(registry, rest), parse_target(target))


def written(descriptor: Descriptor) -> dict[str, object]:
    """Write a descriptor as JSON has it."""
    return {"mediaType": descriptor.media_type, "digest": str(descriptor.digest), "size": descriptor.size}
