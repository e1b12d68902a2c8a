"""What the tests need of every client."""

from typing import Protocol

from .images import Image


class Client(Protocol):
    """A real program that pulls images, set up for one way of naming the registry."""

    def pull(self, image: Image) -> None:
        """Pull; raises RuntimeError with the program's words when that fails."""

    def check(self, image: Image) -> None:
        """Raise AssertionError unless what was pulled is *image*, whole and usable."""

    def forget(self) -> None:
        """Remove all that was pulled, so that the next pull needs every byte again."""
