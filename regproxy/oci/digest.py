"""The name of content: an algorithm and a hash (image-spec, descriptor.md, Digests)."""

import hashlib
import re
from dataclasses import dataclass
from typing import Self

# image-spec, Digests: the registered algorithms, and what their hex looks like.
_REGISTERED = {"sha256": re.compile(r"[a-f0-9]{64}"), "sha512": re.compile(r"[a-f0-9]{128}")}


class InvalidDigest(ValueError):
    """The text is not a digest of a registered algorithm."""


class DigestMismatch(ValueError):
    """The content is not what its digest promised."""


@dataclass(frozen=True, slots=True, order=True)
class Digest:
    """An algorithm and the lower-case hex of a hash, text only at an edge."""

    algorithm: str
    hex: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `algorithm:hex`, or raise `InvalidDigest`."""
        algorithm, _, encoded = text.partition(":")
        if not is_encoded(algorithm, encoded):
            raise InvalidDigest(f"{text[:160]!r} is not a sha256 or sha512 digest")
        return cls(algorithm, encoded)

    @classmethod
    def of(cls, body: bytes, algorithm: str = "sha256") -> Self:
        """Name *body*."""
        return cls(algorithm, hashlib.new(algorithm, body).hexdigest())

    def verifier(self) -> "Verifier":
        return Verifier(self)

    def __str__(self) -> str:
        return f"{self.algorithm}:{self.hex}"


def is_encoded(algorithm: str, encoded: str) -> bool:
    """Report whether *encoded* is what comes behind a registered *algorithm* in a digest."""
    pattern = _REGISTERED.get(algorithm)
    return pattern is not None and pattern.fullmatch(encoded) is not None


class Verifier:
    """Hashes content as it is received, and compares it with its digest at the end."""

    def __init__(self, digest: Digest) -> None:
        self._digest = digest
        self._hash = hashlib.new(digest.algorithm)

    def update(self, chunk: bytes | memoryview) -> None:
        self._hash.update(chunk)

    def check(self) -> None:
        """Raise `DigestMismatch` unless all that was hashed is the content of the digest."""
        found = self._hash.hexdigest()
        if found != self._digest.hex:
            raise DigestMismatch(f"expected {self._digest}, got {self._digest.algorithm}:{found}")
