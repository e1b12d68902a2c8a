"""Signatures of what pieces are (Ed25519, RFC 8032): by replicas that share a key, and for whoever has their public one."""

from typing import TYPE_CHECKING

from cachetools import LRUCache

from regproxy.fleet.encryption import derived
from regproxy.policy.fleet.signed_hash import Part, SignedHash

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

_MAX_KEYS = 8  # of a cluster's caches: of two while a key is changed, or of some that share none


class HashSigner:
    """Signs hashes of what one upstream sends, by a key that never leaves the process.

    Each upstream has another key: of one that sends wrong bytes they are signed before anybody knows, which says nothing of another one.
    """

    def __init__(self, keys: str, upstream: str) -> None:
        """Derive the key of *upstream* from *keys*: one text, or the first of two separated by a comma."""
        self._secret = keys.partition(",")[0].strip()
        self._purpose = f"piece hashes of {upstream}"
        self._key: Ed25519PrivateKey | None = None

    @property
    def public_key(self) -> bytes:
        return self._opened().public_key().public_bytes_raw()

    def signed(self, part: Part, hash_: bytes) -> SignedHash:
        return SignedHash(hash_, self._opened().sign(part.message(hash_)))

    def _opened(self) -> "Ed25519PrivateKey":
        if self._key is None:
            from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey  # noqa: PLC0415  most are never asked to sign

            self._key = Ed25519PrivateKey.from_private_bytes(derived(self._secret, self._purpose))
        return self._key


class PublicKeys:
    """The keys of those whose word counts, the last ones that were learnt."""

    def __init__(self) -> None:
        """Know none."""
        self._keys: LRUCache[bytes, Ed25519PublicKey] = LRUCache(_MAX_KEYS)

    def learn(self, key: bytes) -> None:
        """Believe whoever has signed by *key*; raise `ValueError` where it is none."""
        if key not in self._keys:
            from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey  # noqa: PLC0415  as above

            self._keys[key] = Ed25519PublicKey.from_public_bytes(key)

    def have_signed(self, part: Part, signed: SignedHash) -> bool:
        """Report whether one of them has signed that hash of *part*."""
        from cryptography.exceptions import InvalidSignature  # noqa: PLC0415  as above

        message = part.message(signed.hash)
        for key in self._keys.values():
            try:
                key.verify(signed.signature, message)
            except InvalidSignature:
                continue
            return True
        return False
