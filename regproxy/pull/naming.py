"""Images as operators call them."""

from regproxy.ports import Image, Ledger


class UnknownImage(LookupError):
    """The store holds no such image."""


async def image_named(ledger: Ledger, name: str) -> Image:
    """Find an image by its full name or its digest; raise `UnknownImage`."""
    image = await ledger.image(name)
    if image is None:
        raise UnknownImage(f"the store holds no image {name[:200]}: name it in full, as docker.io/library/nginx:1.27, or by its digest")
    return image
