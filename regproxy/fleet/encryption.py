"""Values that lie with strangers: none can be read, forged, moved or brought back when it is old.

They are encrypted, and bound to the place where they lie and to the time when they were sealed. Keys are derived by HKDF (RFC 5869), one
for each purpose. Of two keys the first seals, and either opens: so one is rotated out.
"""

import hashlib
import hmac
import secrets
import struct
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

_NONCE = 12  # bytes; NIST SP 800-38D
_HEAD = struct.Struct(">BQ")  # the version of this form, and the time in milliseconds since the epoch
_VERSION = 1
_MAC = 32  # bytes
_MAX_CLOCK_DIFFERENCE = 60.0  # seconds by which a value may be from the future


class Encryption:
    """Seals and opens with shared keys, which never leave the process."""

    def __init__(self, keys: str, purpose: str = "redis", *, is_bound: bool = False) -> None:
        """Derive the keys from *keys*: one text, or two separated by a comma, the first of which encrypts; others for each *purpose*.

        A value that *is_bound* opens only for who has the key and knows the text that it was sealed with.
        """
        found = [key.strip() for key in keys.split(",")]
        self._is_bound = is_bound
        self._names = [derived(key, f"{purpose} names") for key in found]
        self._values = [derived(key, f"{purpose} values") for key in found]
        self._marks = [derived(key, f"{purpose} locks") for key in found]

    def names(self, text: str) -> Sequence[str]:
        """Make opaque names for *text*, which may contain a password: one per key, the key that encrypts first."""
        return [hmac.digest(key, text.encode(), hashlib.sha256).hex() for key in self._names]

    def sealed(self, place: str, value: bytes, now: float, text: str = "") -> bytes:
        """Encrypt *value* for one *place*, named by *text*, at a time in seconds since the epoch."""
        head, nonce = _HEAD.pack(_VERSION, int(now * 1000)), secrets.token_bytes(_NONCE)
        return head + nonce + self._cipher(self._values[0], text).encrypt(nonce, value, head + place.encode())

    def opened(self, place: str, sealed: bytes, now: float, max_age: float, text: str = "") -> bytes | None:
        """Return what was sealed for this very *place* at most *max_age* seconds ago; None for everything else."""
        head, nonce, rest = sealed[: _HEAD.size], sealed[_HEAD.size : _HEAD.size + _NONCE], sealed[_HEAD.size + _NONCE :]
        if not _is_current(head, now, max_age):
            return None
        from cryptography.exceptions import InvalidTag  # noqa: PLC0415  with the cipher

        for key in self._values:
            try:
                return self._cipher(key, text).decrypt(nonce, rest, head + place.encode())
            except (InvalidTag, ValueError):
                continue
        return None

    def _cipher(self, key: bytes, text: str) -> "AESGCM":
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # noqa: PLC0415  5 MB that who shares nothing does without

        return AESGCM(hmac.digest(key, text.encode(), hashlib.sha256) if self._is_bound else key)

    def mark(self, place: str, now: float) -> bytes:
        """Make a mark that only who has the key can make, another one each time."""
        head = _HEAD.pack(_VERSION, int(now * 1000)) + secrets.token_bytes(_NONCE)
        return head + _mac(self._marks[0], place, head)

    def is_mark(self, place: str, mark: bytes, now: float, max_age: float) -> bool:
        """Report whether a mark was made for *place* at most *max_age* seconds ago, or as much in the future."""
        head, mac = mark[:-_MAC], mark[-_MAC:]
        is_ours = any(hmac.compare_digest(_mac(key, place, head), mac) for key in self._marks)
        return is_ours and _is_current(head[: _HEAD.size], now, max_age, max_age)


def derived(key: str, purpose: str) -> bytes:
    """Derive a key of 32 bytes for one purpose."""
    from cryptography.hazmat.primitives.hashes import SHA256  # noqa: PLC0415  with the cipher
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF  # noqa: PLC0415

    return HKDF(SHA256(), length=32, salt=None, info=f"regproxy {purpose} v{_VERSION}".encode()).derive(key.encode())


def _mac(key: bytes, place: str, head: bytes) -> bytes:
    return hmac.digest(key, place.encode() + b"\0" + head, hashlib.sha256)


def _is_current(head: bytes, now: float, max_age: float, ahead: float = _MAX_CLOCK_DIFFERENCE) -> bool:
    if len(head) != _HEAD.size:
        return False
    version, milliseconds = _HEAD.unpack(head)
    return bool(version == _VERSION and -ahead <= now - milliseconds / 1000 <= max_age)
