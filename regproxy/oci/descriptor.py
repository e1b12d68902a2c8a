"""A pointer to content: what it is, what it hashes to, how long it is (image-spec, descriptor.md)."""

from dataclasses import dataclass

from regproxy.oci.digest import Digest


@dataclass(frozen=True, slots=True)
class Descriptor:
    """A media type, a digest and a size in bytes."""

    media_type: str
    digest: Digest
    size: int
