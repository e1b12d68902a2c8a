"""What a piece of a blob is, by its hash, as a cache further up has signed it: any member may pass that on, and none can forge it."""

from dataclasses import dataclass

from regproxy.oci.digest import Digest

HASH = 32  # bytes of a SHA-256
_SIGNATURE = 64  # bytes; Ed25519 (RFC 8032, 5.1.6)
LENGTH = HASH + _SIGNATURE
KEY = 32  # bytes of a public key
_PURPOSE = "regproxy piece v1"


@dataclass(frozen=True, slots=True)
class Part:
    """Bytes *start* to *stop* of a blob of *size* bytes."""

    digest: Digest
    size: int
    start: int
    stop: int

    def message(self, hash_: bytes) -> bytes:
        """Return what is signed of its *hash*."""
        return f"{_PURPOSE} {self.digest} {self.start}-{self.stop}/{self.size} {hash_.hex()}".encode()


@dataclass(frozen=True, slots=True)
class SignedHash:
    """The SHA-256 of a part, and the signature of that."""

    hash: bytes
    signature: bytes

    def encode(self) -> bytes:
        return self.hash + self.signature

    @classmethod
    def decode(cls, encoded: bytes) -> "SignedHash | None":
        """Read what `encode` wrote; None where it is something else, or nothing but zeros."""
        if len(encoded) != LENGTH or not any(encoded):
            return None
        return cls(encoded[:HASH], encoded[HASH:])


@dataclass(frozen=True, slots=True)
class Statement:
    """What a cache says of a part: how long the blob is, and by which *public key* that and the hash are signed."""

    size: int
    signed: SignedHash
    public_key: bytes
