"""What counts as upstream's word that a repository holds a manifest that is here already."""

from regproxy.oci.digest import Digest
from regproxy.oci.reference import Reference
from regproxy.ports import LocalResourceError, Registry, UpstreamError


async def is_named_by(registry: Registry, reference: Reference, digest: Digest) -> bool:
    """Report whether *registry* answers a HEAD with this very digest; everything else proves nothing, and the bytes have to."""
    try:
        return await registry.resolve(reference) == digest
    except LocalResourceError:
        raise
    except UpstreamError:
        return False
