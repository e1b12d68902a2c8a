"""Images as operators call them."""

from dataclasses import replace

from regproxy.oci.errors import RegistryError
from regproxy.policy.routing import Routes
from regproxy.ports import Image, Ledger


class UnknownImage(LookupError):
    """The store holds no such image."""


async def image_named(ledger: Ledger, routes: Routes, name: str) -> Image:
    """Find an image by its name, which may be short as for docker pull, or by its digest; raise `UnknownImage`."""
    image = await ledger.image(name)
    if image is None and (full := _full(routes, name)) is not None:
        image = await ledger.image(full)
    if image is None:
        raise UnknownImage(f"the store holds no image {name[:200]}: `regproxy store ls` lists what it holds")
    return image


async def image_under_name(ledger: Ledger, routes: Routes, name: str) -> Image:
    """Find an image as `image_named` does, and call it by *name* alone; by its digest it keeps all its names."""
    image = await image_named(ledger, routes, name)
    asked = {name, _full(routes, name)}
    return replace(image, names=tuple(each for each in image.names if each in asked) or image.names)


def _full(routes: Routes, name: str) -> str | None:
    try:
        return str(routes.image(name)[1])
    except RegistryError:
        return None
