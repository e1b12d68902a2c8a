"""A tag looked up upstream because an operator wants it, however fresh its record is."""

from regproxy.oci import errors
from regproxy.oci.reference import Tag
from regproxy.policy.routing import Routes
from regproxy.pull.freezes import Freezes
from regproxy.pull.manifests import Manifests


class Refresher:
    """Refreshes tags."""

    def __init__(self, routes: Routes, manifests: Manifests, freezes: Freezes) -> None:
        """Find images by *routes*, and ask by *manifests*; *freezes* keep tags as they are."""
        self._routes = routes
        self._manifests = manifests
        self._freezes = freezes

    async def refresh(self, image: str) -> dict[str, object]:
        """Ask upstream what a tag means now; raise `RegistryError` or `UpstreamError`."""
        route, reference = self._routes.image(image)
        if not isinstance(reference.target, Tag):
            raise errors.name_invalid(f"{reference} has a digest: upstream cannot change what that means")
        if await self._freezes.of(reference) is not None:
            raise errors.RegistryError("DENIED", 409, f"{reference} is frozen: unfreeze it first")
        pulled = await self._manifests.refresh(route, reference, reference.target)
        return {"name": str(reference), "digest": str(pulled.manifest.descriptor.digest), "outcome": pulled.cache_status.value}
