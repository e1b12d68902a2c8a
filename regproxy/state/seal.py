"""Values that lie with strangers: encrypted, and bound to the name they lie under, so that none can be read, forged or moved."""

import hashlib
import hmac
import secrets

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

_NONCE = 12  # bytes; NIST SP 800-38D


class Seal:
    """Seals and opens with one key, which never leaves the process."""

    def __init__(self, key: str) -> None:
        """Take a key of any length; it should be long and random."""
        self._names = _derived(key, b"names")
        self._values = AESGCM(_derived(key, b"values"))

    def name(self, text: str) -> str:
        """Make a name that tells nothing of *text*, which may have a password in it."""
        return hmac.digest(self._names, text.encode(), hashlib.sha256).hex()

    def sealed(self, name: str, value: bytes) -> bytes:
        nonce = secrets.token_bytes(_NONCE)
        return nonce + self._values.encrypt(nonce, value, name.encode())

    def opened(self, name: str, sealed: bytes) -> bytes | None:
        """Give what was sealed under this very name; None for everything else."""
        try:
            return self._values.decrypt(sealed[:_NONCE], sealed[_NONCE:], name.encode())
        except (InvalidTag, ValueError):
            return None


def _derived(key: str, purpose: bytes) -> bytes:
    return hmac.digest(key.encode(), b"regproxy " + purpose, hashlib.sha256)
